"""What the networks promise beyond agreeing with published values."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from models.errors import (
    AudioTooShortError,
    EmptyTextError,
    InputError,
    NonFiniteAudioError,
    TextTooLongError,
    WindowLengthError,
)
from models.networks.config import ConfigError, MuQConfig, MuQMuLanConfig, config_from_dict, to_dict
from models.networks.conformer import Conformer
from models.networks.muq import MuQ
from models.networks.muq_mulan import MuQMuLan
from models.networks.text_encoder import TextEncoder, TextStates
from tests.models.shapes import (
    noise,
    small_mulan,
    small_mulan_config,
    small_muq,
    small_muq_config,
)


@torch.no_grad()
def test_precomputed_mel_gives_what_its_audio_gives() -> None:
    muq, audio = small_muq(), noise(2, 24_000)
    from_audio = muq(audio)
    from_mel = muq(muq.front_end(audio))
    assert torch.equal(from_audio.logits, from_mel.logits)
    assert torch.equal(from_audio.features, from_mel.features)
    assert torch.equal(muq.target_codes(audio), muq.target_codes(from_mel.features))


@pytest.mark.parametrize(("label_rate_hz", "tokens"), [(25, 25), (50, 50)])
@torch.no_grad()
def test_token_rates(label_rate_hz: int, tokens: int) -> None:
    output = small_muq(label_rate_hz)(noise(1, 24_000))
    assert output.conv_out.shape == (1, tokens, 16)
    assert output.logits.shape == (1, tokens, 96)
    assert [state.shape[1] for state in output.hidden_states] == [tokens] * 3
    assert small_muq(label_rate_hz).target_codes(noise(1, 24_000)).shape == (1, 3, tokens)


@pytest.mark.parametrize("samples", [1025, 1200, 24_001, 24_240])
@torch.no_grad()
def test_any_length_from_the_shortest_is_encoded(samples: int) -> None:
    output = small_muq()(noise(1, samples))
    assert output.last_hidden_state.shape[1] == -(-(samples // 240) // 4)
    assert torch.isfinite(output.logits).all()


@torch.no_grad()
def test_a_clip_embeds_the_same_in_any_batch() -> None:
    mulan, clips = small_mulan(), noise(5, 48_000)
    clips[3] = 0.0
    clips[4] *= 8.0
    together = mulan.embed_audio_clips(clips)
    alone = torch.cat([mulan.embed_audio_clips(clip[None]) for clip in clips])
    assert (together - alone).abs().max() < 1e-6
    assert torch.allclose(together.norm(dim=1), torch.ones(5), atol=1e-6)


@pytest.mark.parametrize("samples", [600, 12_000, 24_000, 30_000, 47_999, 48_000])
def test_a_short_clip_embeds_as_the_track_that_it_is(samples: int) -> None:
    mulan, track = small_mulan(), noise(1, samples)[0]
    assert torch.allclose(
        mulan.embed_audio_clips(track[None])[0], mulan.audio_embedding(track), atol=1e-6
    )


def test_a_track_is_the_mean_of_its_windows_whatever_the_batch() -> None:
    mulan, track = small_mulan(), noise(1, 48_000 * 9 + 7)[0]
    windows = [track[start : start + 48_000] for start in range(0, len(track), 48_000)]
    windows[-1] = torch.cat((windows[-1], track[: 48_000 - 7]))
    expected = torch.cat([mulan.embed_audio_clips(w[None]) for w in windows]).mean(dim=0)
    actual = mulan.audio_embedding(track)
    assert torch.allclose(actual, expected, atol=1e-6)
    assert actual.norm() < 1.0


def unusable_tracks() -> list[tuple[type[InputError], Tensor]]:
    nan, infinite = noise(1, 5000)[0], noise(1, 5000)[0]
    nan[4999], infinite[0] = float("nan"), float("inf")
    return [
        (NonFiniteAudioError, nan),
        (NonFiniteAudioError, infinite),
        (AudioTooShortError, torch.zeros(0)),
        (AudioTooShortError, torch.zeros(1)),
        (AudioTooShortError, torch.zeros(512)),
        (InputError, torch.zeros(5000, dtype=torch.int16)),
    ]


@pytest.mark.parametrize(("error", "track"), unusable_tracks())
def test_unusable_audio_is_refused_by_every_way_in(error: type[InputError], track: Tensor) -> None:
    mulan = small_mulan()
    with pytest.raises(error):
        mulan.audio_embedding(track)
    with pytest.raises(error):
        mulan.embed_audio_clips(track[None])
    with pytest.raises(error):
        mulan.audio.muq(track[None])


def test_clips_of_the_wrong_form_are_refused() -> None:
    mulan = small_mulan()
    with pytest.raises(WindowLengthError, match="longer than a window"):
        mulan.embed_audio_clips(torch.zeros(1, 48_001))
    with pytest.raises(WindowLengthError):
        mulan.embed_audio_clips(torch.zeros(48_000))
    with pytest.raises(WindowLengthError):
        mulan.audio_embedding(torch.zeros(1, 48_000))
    with pytest.raises(ValueError, match=r"\[B, T\]"):
        mulan.audio.muq(torch.zeros(48_000))


def test_texts_of_the_wrong_form_are_refused() -> None:
    mulan = small_mulan()
    ids = torch.full((2, 19), 5)
    mask = torch.ones(2, 19, dtype=torch.bool)
    with pytest.raises(TextTooLongError, match="text 0 has 19 tokens; the model reads 18"):
        mulan.text_embedding(ids, mask)
    mask[:, 18:] = False
    assert mulan.text_embedding(ids, mask).shape == (2, 6)
    mask[1] = False
    with pytest.raises(EmptyTextError, match="text 1"):
        mulan.text_embedding(ids, mask)
    with pytest.raises(EmptyTextError, match="no texts"):
        mulan.text_embedding(ids[:0], mask[:0])


def test_padding_on_the_left_changes_nothing() -> None:
    mulan, ids = small_mulan(), torch.tensor([[0, 7, 9, 2]])
    alone = mulan.text_embedding(ids, torch.ones_like(ids))
    padded = torch.cat((torch.full((1, 3), 11), ids), dim=1)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1]])
    assert torch.allclose(mulan.text_embedding(padded, mask), alone, atol=1e-6)


def test_bert_positions_start_at_zero() -> None:
    config = replace(small_mulan_config().text, first_position=0, pad_token_id=0)
    encoder = TextEncoder(config).eval()
    ids, mask = torch.tensor([[3, 4, 5]]), torch.ones(1, 3, dtype=torch.bool)
    before = encoder(ids, mask).last_hidden_state
    with torch.no_grad():
        encoder.embeddings.positions.weight[3:] = 0.0
    assert torch.equal(encoder(ids, mask).last_hidden_state, before)
    with torch.no_grad():
        encoder.embeddings.positions.weight[2] += torch.arange(10.0)
    changed = encoder(ids, mask).last_hidden_state
    assert not torch.allclose(changed, before)


class CountingBackbone(nn.Module):
    """A text encoder of the caller's own."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.table = nn.Embedding(50, width)

    def forward(self, token_ids: Tensor, mask: Tensor) -> TextStates:
        return TextStates(self.table(token_ids))


def test_another_text_encoder_can_be_plugged_in_and_trained() -> None:
    config = replace(small_mulan_config(), text=None, text_width=8, freeze_text_encoder=False)
    mulan = MuQMuLan(config, text_encoder=CountingBackbone(8))
    loss = mulan(noise(3, 9600), torch.randint(0, 50, (3, 6)), torch.ones(3, 6, dtype=torch.bool))
    loss.backward()
    table = mulan.text.encoder.table.weight
    assert table.grad is not None
    assert table.grad.abs().sum() > 0
    with pytest.raises(ConfigError, match="text encoder is needed"):
        MuQMuLan(config)


def test_a_frozen_text_encoder_gets_no_gradients_and_no_dropout() -> None:
    mulan = small_mulan().train()
    ids, mask = torch.randint(3, 50, (4, 6)), torch.ones(4, 6, dtype=torch.bool)
    mulan(noise(4, 9600), ids, mask).backward()
    assert all(parameter.grad is None for parameter in mulan.text.encoder.parameters())
    trained = [name for name, p in mulan.named_parameters() if p.grad is not None]
    assert any(name.startswith("text.transformer") for name in trained)
    assert any(name.startswith("audio.muq.stem") for name in trained)
    assert "contrastive.log_temperature" in trained
    assert not mulan.text.encoder.training
    first, second = (mulan.text.encoder(ids, mask).last_hidden_state for _ in range(2))
    assert torch.equal(first, second)
    mulan.audio.muq.conformer.train()
    states = noise(1, 10, 16)
    assert not torch.equal(
        mulan.audio.muq.conformer(states)[-1], mulan.audio.muq.conformer(states)[-1]
    )


@torch.no_grad()
def test_bfloat16_stays_close() -> None:
    mulan, clips = small_mulan(), noise(2, 48_000)
    exact = mulan.embed_audio_clips(clips)
    rounded = mulan.to(torch.bfloat16).embed_audio_clips(clips)
    assert rounded.dtype == torch.bfloat16
    assert torch.cosine_similarity(exact, rounded.float()).min() > 0.999


def test_layer_drop_skips_layers_in_training_alone() -> None:
    config = replace(small_muq_config().conformer, layer_drop=1.0, hidden_dropout=0.0)
    conformer, states = Conformer(config), noise(1, 7, 16)
    assert torch.equal(conformer.train()(states)[-1], conformer.norm(states))
    assert not torch.equal(conformer.eval()(states)[-1], conformer.norm(states))


def test_the_layer_that_the_tower_reads_is_configurable() -> None:
    config = replace(small_mulan_config(), audio_layer_index=1)
    torch.manual_seed(0)
    first = MuQMuLan(config).eval()
    last = small_mulan()
    audio = noise(1, 9600)
    assert not torch.allclose(first.audio(audio), last.audio(audio))
    with pytest.raises(ConfigError, match="audio_layer_index 3"):
        replace(config, audio_layer_index=3)


def test_targets_need_a_quantizer_that_fits_the_head() -> None:
    with pytest.raises(ConfigError, match="without a target quantizer"):
        MuQ(replace(small_muq_config(), rvq=None)).target_codes(noise(1, 9600))
    misfit = replace(small_muq_config(), head_dim=64, target_codebooks=4)
    with pytest.raises(ConfigError, match="cannot predict"):
        MuQ(misfit).target_codes(noise(1, 9600))
    with pytest.raises(ValueError, match="cannot be stacked by 4"):
        small_muq().target_codes(noise(1, 9600 + 240))


@pytest.mark.parametrize("config", [MuQMuLanConfig(), small_mulan_config()])
def test_configurations_survive_json_values(config: MuQMuLanConfig) -> None:
    assert config_from_dict(MuQMuLanConfig, to_dict(config)) == config
    without = replace(config.muq, rvq=None)
    assert config_from_dict(MuQConfig, to_dict(without)) == without
    with pytest.raises(ConfigError, match="unknown fields in MuQConfig: depth"):
        config_from_dict(MuQConfig, {"depth": 3})
