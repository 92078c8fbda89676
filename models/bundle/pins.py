"""Published models that can be fetched, each file pinned by revision and checksum.

The weights of MuQ-MuLan-large are pinned at a revision that holds them as safetensors; its main
branch holds a pickle, which is never loaded. Of the two models that its config names only the
configs and the tokenizer are needed: it carries their weights itself.
"""

from __future__ import annotations

from dataclasses import dataclass

SOURCE_FILE = "source.json"
HUB_URL = "https://huggingface.co"


@dataclass(frozen=True)
class PinnedFile:
    """One file: where it comes from, what it must hash to, and its place in the model's folder."""

    repository_id: str
    revision: str
    name: str
    sha256: str
    place: str

    def url(self, base_url: str) -> str:
        """Where the hub serves exactly this revision."""
        return f"{base_url}/{self.repository_id}/resolve/{self.revision}/{self.name}"


@dataclass(frozen=True)
class PublishedModel:
    """A repository's files, with the licence of its weights."""

    repository_id: str
    licence: str
    files: tuple[PinnedFile, ...]

    @property
    def revision(self) -> str:
        """The revision of the repository itself."""
        own = (file for file in self.files if file.repository_id == self.repository_id)
        return next(own).revision


_MULAN = ("OpenMuQ/MuQ-MuLan-large", "57b8af8e903a6fa28b6ba1d7a1578b4d68fcc918")
_MUQ = ("OpenMuQ/MuQ-large-msd-iter", "0562a57814f6f8bbd9fdea0a25921a2fce1a841a")
_XLMR = ("FacebookAI/xlm-roberta-base", "e73636d4f797dec63c3081bb6ed5c7b0bb3f2089")

PUBLISHED_MODELS = {
    _MULAN[0]: PublishedModel(
        repository_id=_MULAN[0],
        licence="CC-BY-NC-4.0 (no commercial use); its XLM-RoBERTa part is MIT",
        files=(
            PinnedFile(
                *_MULAN,
                "config.json",
                "8fefc545ef87ecd9bcde7417dd03464370c48c321f36dcff20266a752079e468",
                "config.json",
            ),
            PinnedFile(
                *_MULAN,
                "model.safetensors",
                "5fe234bbc5f183a9f4275fb292f54a30cb3a8ce75f82f1a43410ee6044d71d59",
                "model.safetensors",
            ),
            PinnedFile(
                *_MUQ,
                "config.json",
                "237335ee27d8fb951ce778701a12a79e06c51ae636dd786f97e45f51ce532543",
                "MuQ-large-msd-iter/config.json",
            ),
            PinnedFile(
                *_XLMR,
                "config.json",
                "d66ed8cd4f2a93b358c245e50736fa389ed4f35c0bae7aad0b32abb20c62b579",
                "xlm-roberta-base/config.json",
            ),
            PinnedFile(
                *_XLMR,
                "tokenizer.json",
                "a898ea75433890f6610f4e470b8ebeb0c21dce5c8dd61f892eb09eb5919d2e2c",
                "xlm-roberta-base/tokenizer.json",
            ),
        ),
    ),
}
