"""Tell a finished bundle what listeners say: it gets a term reader, its audio side stays.

Legend: N texts, L tokens, P width of a sentence state, E embedding width.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer

from models.bundle.card import CardFacts, render_card
from models.bundle.disk import read_file
from models.bundle.loading import read_calibration, read_reference
from models.bundle.making import BundleFacts, BundleStorage, Extras, amend_bundle, make_bundle
from models.bundle.manifest import CARD_FILE, Manifest, is_document
from models.networks.muq_mulan import MuQMuLan
from models.text.tokenizer import TextTokenizer
from models.training.countdown import Say, silent
from models.training.finetuning.parent import Parent, ParentError, open_parent
from models.training.mulan import TERM_READER
from models.training.telling import SAYINGS, TellingConfig, facts_of_telling, fit_to_sayings
from models.training.text_side import Floats, mapped

_BATCH = 64


@dataclass(frozen=True)
class BundleTextSide:
    """The text side of a bundle's network, read without its term reader."""

    network: MuQMuLan
    tokenizer: TextTokenizer
    settled: Sequence[str] = field(default=())

    def sentence_states(self, texts: Sequence[str]) -> Floats:
        """Sentence states [N, P] of texts."""
        # Texts of like length together: padding costs as much as words do.
        order = sorted(range(len(texts)), key=lambda place: len(texts[place]))
        states = np.empty((len(texts), self.network.config.text_transformer.dim))
        with torch.inference_mode():
            for first in range(0, len(order), _BATCH):
                places = order[first : first + _BATCH]
                tokens = self.tokenizer.encode([texts[place] for place in places])
                ids, mask = torch.from_numpy(tokens.token_ids), torch.from_numpy(tokens.mask)
                states[places] = self.network.text.sentence_states(ids, mask).double().numpy()
        return states

    def embed(self, texts: Sequence[str]) -> Floats:
        """Unit vectors of texts [N, E]."""
        return mapped(self.network.text.to_embedding, self.sentence_states(texts))

    def captions(self) -> list[str]:
        """Texts that are to stay where they are."""
        return list(self.settled)


def tell_bundle(
    name: str,
    out: Path,
    settled: Sequence[str] = (),
    config: TellingConfig | None = None,
    store: Path | None = None,
    say: Say = silent,
) -> Manifest:
    """Write the bundle `out`: the one of that name or folder, with a term reader.

    `settled` are texts that shall stay, beside common words and translations: what it was trained
    by, for one. Reference and probabilities are the source's, for what it hears has not changed.
    Raises ParentError for a text side that reads no sentence embeddings, and as `make_bundle` does.
    """
    config = config or TellingConfig()
    parent = open_parent(name, store)
    network = parent.network()
    if network.config.text is not None:
        raise ParentError(f"{parent.manifest.name}: only sentence embeddings can be told sayings")
    source = parent.manifest
    tokenizer = TextTokenizer(
        Tokenizer.from_str(parent.tokenizer().decode()), source.text.max_tokens
    )
    reader = fit_to_sayings(BundleTextSide(network, tokenizer, settled), config, say)
    network.text.term_reader = reader
    network.config = dataclasses.replace(network.config, term_reader=reader.config)
    facts = BundleFacts(
        name=out.name,
        languages=source.languages,
        licence=source.licence,
        lineage={
            **source.lineage,
            SAYINGS: facts_of_telling(config) | {"source_model_id": source.model_id},
            TERM_READER: asdict(reader.config),
        },
        tag_templates=source.tag_templates,
        max_text_tokens=source.text.max_tokens,
        pad_token_id=source.text.pad_token_id,
    )
    onnx = source.runtimes.onnx
    kinds = (onnx.audio_weights, onnx.text_weights) if onnx else ("fp16", "fp16")
    storage = BundleStorage(*kinds, "shared")
    draft = Extras(card="being made", others=_documents(parent))
    manifest = make_bundle(network, parent.tokenizer(), out, facts, draft, storage)
    return amend_bundle(out, _kept(parent, manifest))


def _documents(parent: Parent) -> dict[str, bytes]:
    """The source's licences and the like; its card speaks of what it can do, not of this one."""
    source = parent.manifest
    names = [name for name in source.files if is_document(name) and name != CARD_FILE]
    return {name: read_file(parent.folder, source, name) for name in names}


def _kept(parent: Parent, manifest: Manifest) -> Extras:
    """The source's reference and probabilities, and a card that says where they come from."""
    source = parent.manifest
    reference = read_reference(parent.folder, source)
    calibration = read_calibration(parent.folder, source)
    facts = manifest.lineage[SAYINGS]
    card = render_card(
        CardFacts(
            manifest=manifest,
            reference_clips=len(reference),
            calibration=None if calibration is None else calibration.facts,
            results=(
                f"None of this bundle. It is {source.name} (`{source.model_id}`), told "
                f"{facts['texts']} texts for {facts['terms']} terms; the card of that one says "
                "what was measured."
            ),
        )
    )
    kept = reference if len(reference) else None
    return Extras(card=card, reference=kept, calibration=calibration)
