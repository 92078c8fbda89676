"""Our networks against the outputs of the published package, in every golden folder there is."""

from pathlib import Path

import pytest
import torch

from models.audio.mel_numpy import log_mel
from models.losses import ContrastiveLoss, masked_prediction
from models.networks.config import ContrastiveKind
from models.networks.masking import block_size, token_mask
from tests.models.golden import COMMITTED, Golden, assert_close, golden_roots, outside_folder


@pytest.fixture(scope="module", params=golden_roots(), ids=lambda root: root.name)
def golden(request: pytest.FixtureRequest) -> Golden:
    root: Path = request.param
    return Golden(root)


def test_golden_data_outside_the_repository_were_found() -> None:
    if not any(not root.is_relative_to(COMMITTED) for root in golden_roots()):
        pytest.skip(
            f"ONLY THE COMMITTED GOLDEN DATA WERE COMPARED: there are none in {outside_folder()}; "
            "set MUQUERY_GOLDEN_DIR"
        )


def test_mel(golden: Golden) -> None:
    audio = golden["muq.wav"]
    front_end = golden.muq.front_end
    assert_close(front_end.decibels(audio), golden["muq.mel_db"])
    assert_close(front_end(audio), golden["muq.mel_normalised"])
    in_numpy = torch.from_numpy(log_mel(audio.numpy(), golden.muq.config.mel))
    assert_close(in_numpy, golden["muq.mel_normalised"])


@torch.no_grad()
def test_muq(golden: Golden) -> None:
    output = golden.muq(golden["muq.wav"])
    assert_close(output.features, golden["muq.mel_normalised"])
    assert_close(output.conv_out, golden["muq.conv_out"])
    states = golden.numbered("muq.hidden.")
    assert len(output.hidden_states) == len(states)
    for actual, expected in zip(output.hidden_states, states, strict=True):
        assert_close(actual, expected)
    assert_close(output.last_hidden_state, golden["muq.last_hidden_state"])
    assert_close(output.logits[:, :5], golden["muq.logits_first5"])


@torch.no_grad()
def test_mel_rvq(golden: Golden) -> None:
    frames = golden["rvq.input"].transpose(1, 2)
    rvq = golden.muq.rvq
    assert rvq is not None
    result = rvq(frames)
    assert torch.equal(result.codes, golden["rvq.codes"])
    assert torch.equal(rvq.encode(frames), golden["rvq.codes"])
    assert_close(result.quantized, golden["rvq.quantized"])
    assert_close(rvq.decode(result.codes), golden["rvq.quantized"])
    assert_close(result.latents, golden["rvq.latents"])
    assert_close(result.commitment_loss[None], golden["rvq.commitment_loss"])
    assert_close(result.codebook_loss[None], golden["rvq.codebook_loss"])
    assert_close(result.loss[None], golden["rvq.loss"])


@torch.no_grad()
def test_targets_are_the_codes_of_the_clean_audio(golden: Golden) -> None:
    expected = golden["rvq.codes"][:, : golden.muq.config.target_codebooks]
    assert torch.equal(golden.muq.target_codes(golden["muq.wav"]), expected)


@torch.no_grad()
def test_masked_prediction(golden: Golden) -> None:
    if golden.muq.config.label_rate_hz != 25:
        pytest.skip("the published mask is misaligned at other label rates; ours is not")
    logits = golden.muq(golden["ssl.masked_wav"]).logits
    codes = golden.muq.target_codes(golden["muq.wav"])
    tokens_per_block = block_size(golden.muq.config).tokens
    mask = token_mask(golden["ssl.block_mask"], tokens_per_block, logits.shape[1])
    prediction = masked_prediction(logits, codes, mask)
    assert_close(prediction.loss[None], golden["ssl.loss"])
    assert_close(prediction.accuracy[None], golden["ssl.accuracy"])
    assert_close(prediction.codebook_losses.mean()[None], golden["ssl.loss"])


def test_audio_embeddings_of_all_lengths(golden: Golden) -> None:
    lengths = golden.suffixes("mulan.wav.")
    assert lengths
    for length in lengths:
        audio = golden[f"mulan.wav.{length}"]
        assert_close(golden.mulan.audio_embedding(audio), golden[f"mulan.audio.{length}"])
        if audio.shape[0] <= golden.mulan.config.clip_samples:
            batch = golden.mulan.embed_audio_clips(torch.stack([audio, -audio, audio]))
            assert_close(batch[0], golden[f"mulan.audio.{length}"])
            assert_close(batch[2], golden[f"mulan.audio.{length}"])


def test_silence(golden: Golden) -> None:
    silence = golden["mulan.audio.silence_10"]
    assert_close(golden.mulan.audio_embedding(torch.zeros(240_000)), silence)


def test_texts_alone(golden: Golden) -> None:
    for token_ids, expected in zip(
        golden.numbered("text.ids."), golden.numbered("text.latent."), strict=True
    ):
        mask = torch.ones(1, len(token_ids), dtype=torch.long)
        assert_close(golden.mulan.text_embedding(token_ids[None], mask)[0], expected)


@pytest.mark.parametrize("padding", [0, 1, 7])
@pytest.mark.parametrize("extra", [0, 5])
def test_texts_in_a_batch_give_the_values_they_give_alone(
    golden: Golden, padding: int, extra: int
) -> None:
    texts = golden.numbered("text.ids.")
    longest = max(len(text) for text in texts) + extra
    token_ids = torch.full((len(texts), longest), padding)
    mask = torch.zeros(len(texts), longest, dtype=torch.bool)
    for row, text in enumerate(texts):
        token_ids[row, : len(text)], mask[row, : len(text)] = text, True
    expected = torch.stack(golden.numbered("text.latent."))
    assert_close(golden.mulan.text_embedding(token_ids, mask), expected, tolerance=1e-5)


def test_contrastive_loss_and_its_gradients(golden: Golden) -> None:
    kind: ContrastiveKind = golden.mulan.config.contrastive
    audio, text = golden["dcl.audio"].clone(), golden["dcl.text"].clone()
    contrast = ContrastiveLoss(kind)
    loss = contrast(audio.requires_grad_(), text.requires_grad_())
    loss.backward()
    assert_close(loss.detach()[None], golden["dcl.loss"])
    assert audio.grad is not None
    assert text.grad is not None
    assert_close(audio.grad, golden["dcl.grad_audio"])
    assert_close(text.grad, golden["dcl.grad_text"])
    assert contrast.log_temperature.grad is not None
    assert_close(contrast.log_temperature.grad[None], golden["dcl.grad_temperature"])
