"""The self-test of a loaded bundle: a model that computes something else must not serve.

Legend: K texts, E embedding width.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.bundle.golden import GOLDEN_TEXTS, Golden, golden_clip
from models.errors import BundleSelfTestError, InputError
from models.interface import MusicTextEncoder

Vectors = NDArray[np.float32]

# Above this cosine two unrelated texts count as one: the text tower has collapsed.
MAX_TEXT_COSINE = 0.99
MIN_BATCH_COSINE = 0.99999
MIN_GOLDEN_COSINE = 0.9999
# bf16 arithmetic moves the vectors of the published shapes by 4e-5, int8 weights by 2e-4, those of
# a tiny model by more; what is not the same model differs by far more still.
MIN_GOLDEN_COSINE_REDUCED = 0.99
MAX_NORM_ERROR = 1e-3


def run_self_test(
    encoder: MusicTextEncoder, golden: Golden | None, *, reduced_precision: bool
) -> None:
    """Raise BundleSelfTestError unless the encoder computes what its bundle was saved with.

    One clip and a few texts: finite unit vectors, unrelated texts apart, a text the same alone
    and in a batch, and the golden vectors (None where a bundle has none) met.
    """
    texts = list(golden.texts if golden is not None else GOLDEN_TEXTS)
    samples = round(encoder.clip_s * encoder.sample_rate_hz)
    try:
        text_vectors = encoder.embed_text(texts)
        alone = encoder.embed_text(texts[:1])
        clips = encoder.embed_clips(golden_clip(samples, encoder.sample_rate_hz)[None])
    except InputError as error:
        raise BundleSelfTestError(f"the golden inputs cannot be embedded: {error}") from error
    _require_unit("texts", text_vectors, encoder.embed_dim)
    _require_unit("clips", clips, encoder.embed_dim)
    _require_apart(text_vectors)
    require_cosine("a text alone and in a batch", alone, text_vectors[:1], MIN_BATCH_COSINE)
    if golden is not None:
        floor = MIN_GOLDEN_COSINE_REDUCED if reduced_precision else MIN_GOLDEN_COSINE
        require_cosine("texts and their golden vectors", text_vectors, golden.text_vectors, floor)
        require_cosine("the clip and its golden vector", clips, golden.clips, floor)


def _require_unit(what: str, vectors: Vectors, embed_dim: int) -> None:
    if vectors.shape[1:] != (embed_dim,):
        raise BundleSelfTestError(f"{what} embed in {vectors.shape[1:]} values, not {embed_dim}")
    if not np.isfinite(vectors).all():
        raise BundleSelfTestError(f"{what} embed to values that are not finite")
    error = float(np.abs(np.linalg.norm(vectors, axis=1) - 1).max())
    if error > MAX_NORM_ERROR:
        raise BundleSelfTestError(f"vectors of {what} are {error:.2g} away from unit norm")


def _require_apart(vectors: Vectors) -> None:
    cosines = vectors @ vectors.T
    np.fill_diagonal(cosines, -1)
    if float(cosines.max()) > MAX_TEXT_COSINE:
        raise BundleSelfTestError(
            f"unrelated texts embed at cosine {cosines.max():.4f}: the text tower has collapsed"
        )


def require_cosine(what: str, found: Vectors, expected: Vectors, floor: float) -> None:
    """Raise BundleSelfTestError unless every pair of rows agrees to a cosine of `floor`."""
    if found.shape != expected.shape:
        raise BundleSelfTestError(f"{what}: shapes {found.shape} and {expected.shape} differ")
    lowest = float(np.sum(found * expected, axis=1).min())
    # Written so that a NaN fails.
    if not lowest >= floor:
        raise BundleSelfTestError(f"{what} agree to cosine {lowest:.5f} only; {floor} is needed")
