"""What the card of a bundle says that is not measured: sources of knowledge, and licences."""

from __future__ import annotations

TEACHER = (
    "Teacher: the four taggers of musicnn 0.1.0 (ISC), trained on MagnaTagATune and the Million "
    "Song Dataset, whose audio is not free. Their tags and embeddings were distilled, listeners' "
    "words read as tags by a glossary of ours (`models/training/teacher/glossary.txt`); they "
    "scored nothing above except the column that says so."
)

TEXT_ENCODER = (
    "Text encoder: the Universal Sentence Encoder, multilingual, version 3 (Google, Apache-2.0), "
    "frozen, its table packed to 4 bits."
)

SOURCES = (
    "Each recording's package, version, licence, attribution and checksum stand in "
    "`models/training/corpus/sources.jsonl`; `muquery train corpus build` makes the same corpus "
    "again, `muquery train bundled` this bundle. Nearly all recordings are music of free games: "
    "expect that taste."
)

# Why the weights have the licence that they have, by that licence.
LICENCE_REASONS = {
    "GPL-3.0-only": (
        "Whether audio binds the weights that learned from it is not settled. So as to be on the "
        "safe side, recordings under terms that cannot be combined were left out (GPL version 2 "
        "only, non-commercial, unclear ones), and the trained weights are offered under one "
        "licence that everything kept can flow into: GPL version 3. (GPL-2+ and GPL-3+ allow it; "
        "CC-BY-SA-3.0 passes to 4.0, which is compatible with GPLv3; the others ask for less.) "
        "Commercial use is allowed. It does not bind what you search with them: your music, your "
        "vectors and the answers are yours, and serving is not distribution. The text encoder "
        "keeps its own licence, Apache-2.0."
    )
}
