"""Measures how the choices of service/search rank real music: docs/ranking.md holds its tables.

    python -m service.evaluation --manifest corpus/manifest.jsonl --labels corpus/labels.npz \
        --cache vectors/

It is run by hand when the model or a formula changes, and imported by nothing that serves.
"""
