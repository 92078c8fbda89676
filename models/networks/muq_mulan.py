"""MuQ-MuLan: music and text in one embedding space.

Legend: N clips or texts, T samples, M mel bins, F frames, S states, L tokens, D width,
E embedding width.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from models.audio.mel import check_audio
from models.audio.samples import check_sample_count, plan_windows
from models.errors import EmptyTextError, TextTooLongError, WindowLengthError
from models.losses import ContrastiveLoss
from models.networks.config import MuQMuLanConfig, require
from models.networks.muq import MuQ
from models.networks.term_reader import TermReader
from models.networks.text_encoder import TextEncoder, TextStates, masked_mean
from models.networks.tower_layers import TowerTransformer
from models.networks.weight_norm import unit

# Windows of a long track that are embedded at a time, so that memory does not grow with the track.
WINDOWS_PER_BATCH = 8


class AudioTower(nn.Module):
    """Normalised log-mel [N, M, F] (or audio [N, T]) to unit vectors [N, E].

    This is what an exported graph holds: the mel stays outside it.
    """

    def __init__(self, config: MuQMuLanConfig) -> None:
        super().__init__()
        self.layer_index = config.audio_layer_index
        self.muq = MuQ(config.muq)
        self.projection = nn.Linear(config.muq.conformer.width, config.audio_transformer.dim)
        self.transformer = TowerTransformer(config.audio_transformer)
        self.to_embedding = nn.Linear(config.audio_transformer.dim, config.embed_dim)

    def forward(self, inputs: Tensor) -> Tensor:
        """[N, M, F] or [N, T] to [N, E]; gradients reach all of MuQ."""
        states = self.muq.hidden_states(inputs)[self.layer_index]
        states = self.transformer(self.projection(states))
        return unit(self.to_embedding(states.mean(dim=1)))


class TextTower(nn.Module):
    """Token ids [N, L] and their mask [N, L] to unit vectors [N, E].

    Agrees with the published package for a text alone. Departure: the mask reaches every layer
    and the mean, so that a text embeds the same in any batch. A frozen encoder runs without
    gradients and without dropout.
    """

    def __init__(self, config: MuQMuLanConfig, encoder: nn.Module) -> None:
        super().__init__()
        width = config.text_transformer.dim
        self.encoder = encoder
        self.encoder_frozen = config.freeze_text_encoder
        self.projection = nn.Linear(config.text_width, width) if config.text_projection else None
        self.transformer = TowerTransformer(config.text_transformer)
        self.to_embedding = nn.Linear(width, config.embed_dim)
        reader = config.term_reader
        self.term_reader = TermReader(reader, width, config.embed_dim) if reader else None

    def forward(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """[N, L] and [N, L] to [N, E]."""
        mask = mask.bool()
        states = self.sentence_states(token_ids, mask)
        vectors = unit(self.to_embedding(states))
        if self.term_reader is None:
            return vectors
        read: Tensor = self.term_reader(vectors, states, token_ids, mask)
        return read

    def sentence_states(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """What the last map is given [N, D] of token ids and their mask [N, L]."""
        mask = mask.bool()
        states = self._encode(token_ids, mask)
        if self.projection is not None:
            states = self.projection(states)
        return masked_mean(self.transformer(states, mask), mask)

    def train(self, mode: bool = True) -> "TextTower":
        """Training mode for all but a frozen encoder."""
        super().train(mode)
        if self.encoder_frozen:
            self.encoder.eval()
        return self

    def _encode(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        with torch.no_grad() if self.encoder_frozen else nullcontext():
            encoded: TextStates = self.encoder(token_ids, mask)
        return encoded.last_hidden_state


class MuQMuLan(nn.Module):
    """An audio tower over MuQ, a text tower over a text encoder, and their contrastive loss.

    Source: muq paper, section on MuQ-MuLan; agrees with the published package in evaluation.
    `text_encoder` replaces the configured one by any module that behaves as a `TextBackbone`.
    """

    def __init__(
        self, config: MuQMuLanConfig | None = None, text_encoder: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.config = config or MuQMuLanConfig()
        if text_encoder is None:
            require(self.config.text is not None, "a text encoder is needed: config.text is None")
            text_encoder = TextEncoder(self.config.text)
        self.audio = AudioTower(self.config)
        self.text = TextTower(self.config, text_encoder)
        self.contrastive = ContrastiveLoss(self.config.contrastive)

    def forward(self, audio: Tensor, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Contrastive loss of pairs: audio [N, T] or mel [N, M, F], ids and mask [N, L]."""
        loss: Tensor = self.contrastive(self.audio(audio), self.text(token_ids, mask))
        return loss

    @torch.no_grad()
    def audio_embedding(self, audio: Tensor) -> Tensor:
        """Embedding [E] of a whole track [T]: the mean of its windows' unit vectors.

        As published: consecutive windows of `clip_s` seconds, the last one completed with the
        start of the track; the mean is not renormalised. Memory is bounded whatever T is.
        Raises InputError for audio that is empty, too short, not finite or not floating point.
        """
        if audio.ndim != 1:
            raise WindowLengthError(f"a track is [T], not {tuple(audio.shape)}")
        # A short track is repeated once, so that half the shortest audio is enough.
        check_audio(audio, self._min_clip_samples)
        windows = plan_windows(audio.shape[0], self.config.clip_samples)
        embeddings = []
        for start in range(0, len(windows), WINDOWS_PER_BATCH):
            batch = windows[start : start + WINDOWS_PER_BATCH]
            clips = [torch.cat((audio[w.start : w.stop], audio[: w.wrapped])) for w in batch]
            embeddings.append(self.audio(torch.stack(clips)))
        return torch.cat(embeddings).mean(dim=0)

    @torch.no_grad()
    def embed_audio_clips(self, audio: Tensor) -> Tensor:
        """Unit vectors [N, E] of clips [N, T] of one window at most, each as if it were alone.

        Clips shorter than a window are completed with their own start, as published.
        Raises InputError for clips that are empty, too short or long, or not finite.
        """
        if audio.ndim != 2:
            raise WindowLengthError(f"clips are [N, T], not {tuple(audio.shape)}")
        if audio.shape[1] > self.config.clip_samples:
            raise WindowLengthError(
                f"clips of {audio.shape[1]} samples are longer than a window of "
                f"{self.config.clip_samples}; embed a whole track with audio_embedding"
            )
        check_sample_count(audio.shape[1], self._min_clip_samples)
        (window,) = plan_windows(audio.shape[1], self.config.clip_samples)
        embeddings: Tensor = self.audio(torch.cat((audio, audio[:, : window.wrapped]), dim=1))
        return embeddings

    @torch.no_grad()
    def text_embedding(self, token_ids: Tensor, mask: Tensor) -> Tensor:
        """Unit vectors [N, E] of token ids [N, L]; mask [N, L] is true (or 1) for tokens.

        Raises EmptyTextError for a text without tokens and TextTooLongError for one with more
        than the text encoder reads.
        """
        mask = mask.bool()
        lengths = mask.sum(dim=1).tolist()
        if not lengths:
            raise EmptyTextError("there are no texts")
        for index, tokens in enumerate(lengths):
            if tokens == 0:
                raise EmptyTextError(f"text {index} has no tokens")
            if self.config.text and tokens > self.config.text.max_tokens:
                raise TextTooLongError(
                    index=index, tokens=int(tokens), max_tokens=self.config.text.max_tokens
                )
        embeddings: Tensor = self.text(token_ids, mask)
        return embeddings

    @property
    def _min_clip_samples(self) -> int:
        return (self.config.muq.mel.min_samples + 1) // 2
