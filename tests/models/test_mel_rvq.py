"""Mel-RVQ: its lookups, gradients, stale codes, and that it learns."""

import pytest
import torch

from models.networks.config import ConfigError, MelRVQConfig
from models.networks.mel_rvq import MelRVQ, fold_frames, replace_stale_codes
from tests.models.shapes import noise


def small_rvq(codebooks: int = 3, tolerance: int = 3, codes: int = 16) -> MelRVQ:
    torch.manual_seed(0)
    return MelRVQ(
        MelRVQConfig(
            input_dim=12,
            codebooks=codebooks,
            codebook_size=codes,
            codebook_dim=4,
            stale_tolerance=tolerance,
        )
    )


def test_shapes_and_summed_losses() -> None:
    result = small_rvq()(noise(2, 12, 5))
    assert result.codes.shape == (2, 3, 5)
    assert result.codes.dtype == torch.long
    assert result.quantized.shape == (2, 12, 5)
    assert result.latents.shape == (2, 12, 5)
    expected = 0.25 * result.commitment_loss + result.codebook_loss + result.reconstruction_loss
    assert torch.equal(result.loss, expected)


def test_lookup_goes_by_direction_not_by_length() -> None:
    rvq = small_rvq(codebooks=1)
    book = rvq.stages[0].codebook
    with torch.no_grad():
        book.vectors.weight[7] *= 100.0
    latents = book.vectors.weight[[7, 3]].T[None] * 0.001
    assert book.lookup(latents).tolist() == [[7, 3]]


def test_gradients_reach_every_stage_and_the_input() -> None:
    rvq, frames = small_rvq(), noise(2, 12, 5).requires_grad_()
    rvq(frames).loss.backward()
    assert frames.grad is not None
    for name, parameter in rvq.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_fewer_codebooks_decode_to_a_coarser_sum() -> None:
    rvq, frames = small_rvq(), noise(1, 12, 6)
    result = rvq(frames)
    assert torch.allclose(rvq.decode(result.codes), result.quantized, atol=1e-6)
    first = rvq.stages[0](frames).quantized
    assert torch.allclose(rvq.decode(result.codes[:, :1]), first, atol=1e-6)


def test_frames_are_stacked_in_order() -> None:
    mel = torch.arange(2 * 8).reshape(1, 2, 8).float()
    folded = fold_frames(mel, 4)
    assert folded.shape == (1, 8, 2)
    assert folded[0, :, 0].tolist() == [0, 8, 1, 9, 2, 10, 3, 11]
    with pytest.raises(ValueError, match="7 mel frames"):
        fold_frames(mel[:, :, :7], 4)


def test_stale_codes_are_replaced_after_their_tolerance_and_not_before() -> None:
    rvq, frames = small_rvq(codebooks=1, tolerance=3), noise(1, 12, 4)
    used = rvq(frames).codes.unique()
    book = rvq.stages[0].codebook
    before = book.vectors.weight.clone()
    unused = [code for code in range(16) if code not in used]
    assert [replace_stale_codes(rvq, rvq(frames)) for _ in range(2)] == [0, 0]
    assert torch.equal(book.vectors.weight, before)
    assert book.stale_counter[unused].tolist() == [2] * len(unused)
    generator = torch.Generator().manual_seed(0)
    assert replace_stale_codes(rvq, rvq(frames), generator) == len(unused)
    assert torch.equal(book.vectors.weight[used], before[used])
    assert torch.allclose(book.vectors.weight[unused].norm(dim=1), torch.ones(len(unused)))
    assert book.stale_counter.sum() == 0


def test_a_hit_clears_the_count() -> None:
    rvq = small_rvq(codebooks=1)
    book = rvq.stages[0].codebook
    book.stale_counter.fill_(2)
    result = rvq(noise(1, 12, 4))
    replace_stale_codes(rvq, result)
    assert (book.stale_counter[result.codes.unique()] == 0).all()


def test_it_learns_to_reconstruct() -> None:
    torch.manual_seed(0)
    centres = torch.randn(6, 12)
    frames = centres[torch.randint(0, 6, (8, 20))].transpose(1, 2)
    rvq = small_rvq(tolerance=20)
    optimiser = torch.optim.Adam(rvq.parameters(), lr=1e-2)
    first = rvq(frames).reconstruction_loss.item()
    for _ in range(300):
        result = rvq(frames)
        optimiser.zero_grad()
        result.loss.backward()
        optimiser.step()
        replace_stale_codes(rvq, result)
    assert rvq(frames).reconstruction_loss.item() < 0.35 * first


def test_a_quantizer_needs_a_codebook() -> None:
    with pytest.raises(ConfigError):
        MelRVQConfig(codebooks=0)
