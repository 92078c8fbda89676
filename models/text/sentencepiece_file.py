"""A SentencePiece unigram model turned into a `tokenizers` tokenizer.

The file is a protocol buffer: field 1 holds the pieces (text, score, type), field 3 the
normaliser, whose field 2 is the compiled character map. Reading those takes a page of code,
which spares the project a dependency that only the conversion would need.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, processors

from models.protobuf_wire import as_bytes, read_fields

UNKNOWN_ID, START_ID, END_ID = 0, 1, 2
_NORMAL_PIECE = 1
_SPACE_SIGN = "▁"


@dataclass(frozen=True)
class SentencePieceModel:
    """Pieces with their log-probabilities in id order, which of them are words, the char map."""

    pieces: tuple[str, ...]
    scores: tuple[float, ...]
    is_normal: tuple[bool, ...]
    character_map: bytes


def parse_sentencepiece(data: bytes) -> SentencePieceModel:
    """Read a serialised SentencePiece model; ValueError where the data is something else."""
    pieces: list[str] = []
    scores: list[float] = []
    is_normal: list[bool] = []
    character_map = b""
    for number, value in read_fields(data):
        if number == 1 and isinstance(value, bytes):
            piece = dict(read_fields(value))
            pieces.append(as_bytes(piece[1]).decode("utf-8"))
            scores.append(struct.unpack("<f", as_bytes(piece.get(2, bytes(4))))[0])
            is_normal.append(piece.get(3, _NORMAL_PIECE) == _NORMAL_PIECE)
        elif number == 3 and isinstance(value, bytes):
            character_map = as_bytes(dict(read_fields(value)).get(2, b""))
    if not pieces or not character_map:
        raise ValueError("not a SentencePiece model with pieces and a character map")
    return SentencePieceModel(tuple(pieces), tuple(scores), tuple(is_normal), character_map)


def build_tokenizer(model: SentencePieceModel, *, lowercase: bool) -> Tokenizer:
    """A tokenizer whose ids are those of SentencePiece, with start and end tokens around a text.

    Control pieces keep their ids but get a name with a space in it, which no normalised text can
    contain: a user who types `<s>` gets characters, not a control token (as in SentencePiece).
    Departure: `lowercase` folds case after normalisation, which the source model does not.
    """
    vocabulary = [
        (piece if normal else f"{piece} ", score)
        for piece, score, normal in zip(model.pieces, model.scores, model.is_normal, strict=True)
    ]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=UNKNOWN_ID, byte_fallback=False))
    steps = [
        # The compiled map works on whole graphemes here, on prefixes in SentencePiece; composing
        # first makes half-width kana with sound marks agree.
        normalizers.NFKC(),
        normalizers.Precompiled(model.character_map),
        *([normalizers.Lowercase()] if lowercase else []),
        normalizers.Replace(Regex(" +"), " "),
        normalizers.Strip(),
    ]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(
        replacement=_SPACE_SIGN, prepend_scheme="always", split=True
    )
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[start] $A [end]",
        special_tokens=[("[start]", START_ID), ("[end]", END_ID)],
    )
    return tokenizer
