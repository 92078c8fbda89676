"""Whether scores tell a text about music from one that is about anything else.

Legend: T tracks, E embedding width, Q texts.
"""

from __future__ import annotations

import numpy as np

from models.interface import MusicTextEncoder
from models.relevance import scale_from_scores
from service.evaluation.music import LabelledMusic
from service.evaluation.ranks import roc_auc, table

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
