"""Whether scores tell a text about music from one that is about anything else, and the chance that
two different pieces look like copies.

Legend: T tracks, E embedding width, Q texts.
"""

from __future__ import annotations

import numpy as np

from models.interface import MusicTextEncoder
from models.relevance import scale_from_scores
from service.evaluation.music import Floats, LabelledMusic
from service.evaluation.ranks import roc_auc, table
from service.search.copies import LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE

ABOUT_MUSIC = (
    "piano", "sad", "workout", "rainy day", "epic battle", "lullaby", "driving at night",
    "spooky halloween", "christmas", "medieval tavern", "chiptune", "meditation", "heavy metal",
    "jazz trio", "string quartet", "8-bit game music", "choir in a church", "fast techno",
    "surf rock", "flute solo", "slow blues with slide guitar", "an orchestra before a battle",
    "drum and bass with deep bass", "a child's music box", "funky slap bass", "gregorian chant",
    "happy ukulele", "dark ambient drone", "polka with accordion", "solo cello, melancholic",
)  # fmt: skip
ABOUT_OTHER_THINGS = (
    "how to file a tax return", "a recipe for potato soup", "vacuum cleaner", "parking ticket",
    "quarterly earnings report", "asdf qwer zxcv", "screwdriver set with 24 pieces", "12345",
    "the mitochondria is the powerhouse of the cell", "terms and conditions", "a photo of a cat",
    "please reset my password", "list of prime numbers", "weather tomorrow", "used car prices",
    "wedding invitation template", "lorem ipsum dolor sit amet", "the treaty of Westphalia",
    "knee pain after running", "dishwasher will not drain", "best pizza near me", "tomato",
    "how tall is that mountain", "advice about a rental contract", "milk, eggs, bread",
    "football results", "blue paint", "error 404 not found", "a dictionary of verbs", "zip code",
)  # fmt: skip


def nonsense_table(music: LabelledMusic, encoder: MusicTextEncoder) -> str:
    """What the best hit and the reference music say of texts about music and about other things."""
    texts = [*ABOUT_MUSIC, *ABOUT_OTHER_THINGS]
    vectors = encoder.embed_text(texts).astype(np.float64)
    about = np.arange(len(texts)) < len(ABOUT_MUSIC)
    scores = music.means() @ vectors.T
    reference = encoder.reference.astype(np.float64) @ vectors.T
    relevances = [
        scale_from_scores(reference[:, q]).relevance(float(scores[:, q].max()))
        for q in range(len(texts))
    ]
    measures = {
        "relevance of the best hit": np.array(relevances),
        "score of the best hit": scores.max(axis=0),
        "best score over reference mean, in spreads": (scores.max(axis=0) - reference.mean(axis=0))
        / reference.std(axis=0),
        "99th percentile of reference scores": np.quantile(reference, 0.99, axis=0),
        "spread of reference scores": reference.std(axis=0),
    }
    rows = [
        [
            name,
            float(np.median(values[about])),
            float(np.median(values[~about])),
            roc_auc(values, about),
        ]
        for name, values in measures.items()
    ]
    header = ["measure", "median, about music", "median, about other things", "area under ROC"]
    return table(header, rows)


def relevance_table(music: LabelledMusic, encoder: MusicTextEncoder) -> str:
    """How often unrelated texts and clips reach a relevance: 1 - bar, if relevance means a rank.

    Each text is paired with every clip, each clip with every clip of other tracks, whatever they
    sound like. The reference is other music.
    """
    texts = [*ABOUT_MUSIC, *ABOUT_OTHER_THINGS]
    clips = np.concatenate([track.clips for track in music.tracks]).astype(np.float64)
    scores = clips @ encoder.embed_text(texts).astype(np.float64).T
    reference = encoder.reference.astype(np.float64)
    by_text = [
        scale_from_scores(reference @ vector).relevances_of(scores[:, q])
        for q, vector in enumerate(encoder.embed_text(texts).astype(np.float64))
    ]
    owners = np.repeat(np.arange(len(music.tracks)), [len(track.clips) for track in music.tracks])
    likes = np.arange(len(clips))[:: max(1, len(clips) // len(texts))][: len(texts)]
    by_clip = [
        scale_from_scores(reference @ clips[like]).relevances_of(
            clips[owners != owners[like]] @ clips[like]
        )
        for like in likes
    ]
    rows = [
        [bar, 1 - bar, *_shares_above(by_text, bar), *_shares_above(by_clip, bar)]
        for bar in (0.5, 0.9, 0.95, 0.99, 0.999)
    ]
    header = [
        "relevance above", "expected", f"of {len(texts)} texts x {len(clips)} clips",
        "per text, 10th to 90th percentile", f"of {len(likes)} clips x {len(clips)} clips",
        "per clip, 10th to 90th percentile",
    ]  # fmt: skip
    return table(header, rows)


def _shares_above(relevances: list[Floats], bar: float) -> tuple[str, str]:
    shares = np.array([(values > bar).mean() for values in relevances])
    low, high = np.quantile(shares, [0.1, 0.9])
    return f"{shares.mean():.4f}", f"{low:.4f} to {high:.4f}"


def lookalike_table(music: LabelledMusic) -> str:
    """Pairs of different recordings whose vectors reach a cosine, of any and of like lengths."""
    means = music.means()
    directions = means / np.linalg.norm(means, axis=1, keepdims=True)
    lengths = np.array([track.entry.duration_s for track in music.tracks])
    upper = np.triu_indices(len(lengths), 1)
    cosines = (directions @ directions.T)[upper]
    alike = _like_lengths(lengths)[upper]
    rows = [
        [bar, int((cosines >= bar).sum()), int((cosines[alike] >= bar).sum())]
        for bar in (0.9, 0.95, 0.97, 0.98, 0.985, 0.99)
    ]
    header = ["cosine at least", f"of {len(cosines)} pairs", f"of {alike.sum()} of like length"]
    return table(header, rows)


def _like_lengths(lengths: Floats) -> np.ndarray[tuple[int, int], np.dtype[np.bool_]]:
    longer = np.maximum(lengths[:, np.newaxis], lengths[np.newaxis])
    tolerance = np.maximum(LENGTH_TOLERANCE_S, LENGTH_TOLERANCE_SHARE * longer)
    near: np.ndarray[tuple[int, int], np.dtype[np.bool_]] = (
        np.abs(lengths[:, np.newaxis] - lengths[np.newaxis]) <= tolerance
    )
    return near
