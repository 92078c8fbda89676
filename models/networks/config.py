"""Shapes of the networks, as frozen values that need no torch.

The defaults are those of the published large models (`MuQ-large-msd-iter`, `MuQ-MuLan-large`);
smaller networks are the same classes with other numbers. `to_dict` and `config_from_dict` carry a
configuration through JSON.
"""

import dataclasses
import types
import typing
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

Activation = Literal["swish", "silu", "gelu", "relu"]
ContrastiveKind = Literal["decoupled", "softmax", "sigmoid"]

ConfigT = TypeVar("ConfigT")


class ConfigError(ValueError):
    """A configuration asks for something that these networks do not do."""


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with `message` unless `condition` holds."""
    if not condition:
        raise ConfigError(message)


@dataclass(frozen=True)
class MelConfig:
    """Log-mel front end: 24 kHz audio to 100 frames a second, normalised by one global scalar."""

    sample_rate_hz: int = 24_000
    fft_samples: int = 2048
    hop_samples: int = 240
    mel_bins: int = 128
    mean_db: float = 6.768444971712967
    std_db: float = 18.417922652295623

    def __post_init__(self) -> None:
        require(self.hop_samples > 0, "hop_samples must be positive")
        require(self.mel_bins > 0, "mel_bins must be positive")
        require(self.std_db > 0, "std_db must be positive")

    @property
    def min_samples(self) -> int:
        """The shortest audio that reflect padding by half a window allows, in samples."""
        return self.fft_samples // 2 + 1

    @property
    def frame_rate_hz(self) -> float:
        return self.sample_rate_hz / self.hop_samples


@dataclass(frozen=True)
class MelRVQConfig:
    """Residual vector quantizer over stacked mel frames, or over latents of another network."""

    input_dim: int = 512
    codebooks: int = 8
    codebook_size: int = 1024
    codebook_dim: int = 16
    projection_layers: int = 1
    projection_hidden: int = 128
    stale_tolerance: int = 100

    def __post_init__(self) -> None:
        require(self.codebooks >= 1, "codebooks must be at least 1")
        require(self.projection_layers >= 1, "projection_layers must be at least 1")


@dataclass(frozen=True)
class ConformerConfig:
    """Rotary conformer encoder with the semantics of wav2vec2-conformer.

    `norm_eps` is that of the encoder's last layer norm only: every norm inside the layers keeps
    1e-5, as published. `position_kernel` and `position_groups` shape a convolution that published
    checkpoints carry and never call; they matter only when such a checkpoint is written.
    """

    width: int = 1024
    layers: int = 12
    heads: int = 16
    feed_forward: int = 4096
    depthwise_kernel: int = 31
    activation: Activation = "swish"
    rotary: bool = True
    rotary_base: float = 10_000.0
    norm_eps: float = 1e-5
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    conv_dropout: float = 0.1
    layer_drop: float = 0.0
    position_kernel: int = 128
    position_groups: int = 16

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "conformer width must be a multiple of its heads")
        require(self.depthwise_kernel % 2 == 1, "depthwise_kernel must be odd")
        require(
            not self.rotary or (self.width // self.heads) % 2 == 0,
            "rotary positions need an even width per head",
        )


@dataclass(frozen=True)
class MaskingConfig:
    """Blocks of the input that are hidden from the encoder in masked prediction."""

    block_s: float = 0.4
    probability: float = 0.6
    noise_std: float = 0.1


@dataclass(frozen=True)
class MuQConfig:
    """MuQ: mel, convolutional stem, conformer, prediction head, and its target quantizer.

    `label_rate_hz` is the token rate: 25 folds four mel frames into a token, 50 two. The head's
    `head_dim` logits are those of `target_codebooks` codebooks, which are the first ones of `rvq`;
    `rvq` is None for a network whose targets come from elsewhere.
    """

    mel: MelConfig = field(default_factory=MelConfig)
    conv_dim: int = 512
    conformer: ConformerConfig = field(default_factory=ConformerConfig)
    label_rate_hz: int = 25
    head_dim: int = 8192
    target_codebooks: int = 8
    rvq: MelRVQConfig | None = field(default_factory=MelRVQConfig)
    masking: MaskingConfig = field(default_factory=MaskingConfig)

    def __post_init__(self) -> None:
        require(self.label_rate_hz in (25, 50), "label_rate_hz must be 25 or 50")
        require(self.mel.mel_bins % 4 == 0, "mel_bins must be a multiple of 4")
        require(self.target_codebooks >= 1, "target_codebooks must be at least 1")
        require(
            self.head_dim % self.target_codebooks == 0,
            f"head_dim {self.head_dim} does not divide into {self.target_codebooks} codebooks",
        )

    @property
    def frames_per_token(self) -> int:
        return 100 // self.label_rate_hz

    def check_head_fits(self, rvq: MelRVQConfig) -> None:
        """Raise ConfigError unless the head can predict the codes of this quantizer."""
        codes = self.head_dim // self.target_codebooks
        require(
            rvq.codebooks >= self.target_codebooks and rvq.codebook_size == codes,
            f"a head for {self.target_codebooks} codebooks of {codes} codes cannot predict "
            f"{rvq.codebooks} codebooks of {rvq.codebook_size}",
        )


@dataclass(frozen=True)
class TransformerConfig:
    """Pre-norm layers that a tower puts on its encoder's states; no positions, no biases."""

    dim: int = 768
    depth: int = 8
    heads: int = 8
    head_dim: int = 64
    feed_forward_mult: int = 4
    attention_dropout: float = 0.0
    feed_forward_dropout: float = 0.0

    @property
    def feed_forward(self) -> int:
        return int(self.dim * self.feed_forward_mult * 2 / 3)


@dataclass(frozen=True)
class TextEncoderConfig:
    """Post-norm text encoder: XLM-R, RoBERTa or BERT, which differ in `first_position` alone."""

    vocab_size: int = 250_002
    width: int = 768
    layers: int = 12
    heads: int = 12
    feed_forward: int = 3072
    max_positions: int = 514
    first_position: int = 2
    token_types: int = 1
    pad_token_id: int = 1
    activation: Activation = "gelu"
    norm_eps: float = 1e-5
    hidden_dropout: float = 0.1
    attention_dropout: float = 0.1
    pooler: bool = True

    def __post_init__(self) -> None:
        require(self.width % self.heads == 0, "text encoder width must be a multiple of its heads")

    @property
    def max_tokens(self) -> int:
        return self.max_positions - self.first_position


@dataclass(frozen=True)
class TermReaderConfig:
    """A list of plain terms that a text may mean without saying them, read by single pieces.

    `vocab_size` is the tokenizer's, `pieces` how many of its tokens have a vector of `piece_width`.
    At least `least_kept` of a text's own vector stays, whatever it means.
    """

    vocab_size: int
    pieces: int
    piece_width: int
    terms: int
    least_kept: float = 0.1

    def __post_init__(self) -> None:
        sizes = (self.vocab_size, self.pieces, self.piece_width, self.terms)
        require(min(sizes) >= 1, "a term reader needs tokens, pieces, a width and terms")
        require(0.0 <= self.least_kept <= 1.0, "least_kept is a share between 0 and 1")


@dataclass(frozen=True)
class MuQMuLanConfig:
    """MuQ-MuLan: an audio tower over MuQ and a text tower over a text encoder.

    `text` is None when the caller brings its own text encoder of `text_width` values per token.
    `text_projection` is the published package's optional linear map from the text encoder's width
    to that of the layers behind it; it is needed where the two differ. `term_reader` is a second
    way of reading, which published models do not have.
    """

    muq: MuQConfig = field(default_factory=MuQConfig)
    audio_layer_index: int = -1
    audio_transformer: TransformerConfig = field(default_factory=lambda: TransformerConfig(depth=0))
    text: TextEncoderConfig | None = field(default_factory=TextEncoderConfig)
    text_width: int = 768
    text_projection: bool = False
    text_transformer: TransformerConfig = field(default_factory=TransformerConfig)
    freeze_text_encoder: bool = True
    embed_dim: int = 512
    clip_s: int = 10
    contrastive: ContrastiveKind = "decoupled"
    term_reader: TermReaderConfig | None = None

    def __post_init__(self) -> None:
        require(self.clip_s > 0, "clip_s must be positive")
        states = self.muq.conformer.layers + 1
        require(
            -states <= self.audio_layer_index < states,
            f"audio_layer_index {self.audio_layer_index} is outside the {states} hidden states",
        )
        require(
            self.text is None or self.text.width == self.text_width,
            "text_width must be the text encoder's width",
        )
        require(
            self.text_projection or self.text_width == self.text_transformer.dim,
            f"a text encoder of width {self.text_width} needs text_projection to feed layers of "
            f"width {self.text_transformer.dim}",
        )

    @property
    def clip_samples(self) -> int:
        return self.clip_s * self.muq.mel.sample_rate_hz


def to_dict(config: Any) -> dict[str, Any]:
    """A configuration as plain JSON values."""
    return dataclasses.asdict(config)


def config_from_dict(kind: type[ConfigT], values: dict[str, Any]) -> ConfigT:
    """The configuration of class `kind` that `to_dict` wrote.

    Raises ConfigError for fields that the class does not have; fields left out take their default.
    """
    hints = typing.get_type_hints(kind)
    unknown = sorted(set(values) - set(hints))
    require(not unknown, f"unknown fields in {kind.__name__}: {', '.join(unknown)}")
    return kind(**{name: _revive(hints[name], value) for name, value in values.items()})


def _revive(hint: Any, value: Any) -> Any:
    if typing.get_origin(hint) in (types.UnionType, typing.Union):
        if value is None:
            return None
        hint = next(option for option in typing.get_args(hint) if option is not type(None))
    if dataclasses.is_dataclass(hint) and isinstance(value, dict):
        return config_from_dict(typing.cast(type[Any], hint), value)
    return value
