"""The bundle on disk: identity, checksums, and what is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from models.bundle.disk import read_file, read_manifest, save_bundle
from models.bundle.loading import load_bundle
from models.bundle.manifest import (
    CARD_FILE,
    MANIFEST_FILE,
    SCHEMA_VERSION,
    Description,
    manifest_from_json,
    manifest_to_json,
)
from models.bundle.verifying import verify_bundle
from models.errors import (
    BundleDamagedError,
    BundleError,
    BundleFormatError,
    BundleNotFoundError,
    BundleTooNewError,
)

TINY = Path(__file__).parent.parent / "data" / "tiny_bundle"


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY, tmp_path / "bundle"))


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / MANIFEST_FILE
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def described(folder: Path) -> tuple[Description, dict[str, bytes | Path]]:
    manifest = read_manifest(folder)
    description = Description(
        **{name: getattr(manifest, name) for name in Description.model_fields}
    )
    return description, {name: folder / name for name in manifest.files}


def test_the_manifest_survives_a_round_trip() -> None:
    manifest = read_manifest(TINY)
    assert manifest_from_json(manifest_to_json(manifest)) == manifest


def test_the_tiny_bundle_is_small_enough_to_commit() -> None:
    assert sum(path.stat().st_size for path in TINY.iterdir()) < 1_000_000


def test_saving_writes_the_same_bundle(tmp_path: Path) -> None:
    description, files = described(TINY)
    manifest = save_bundle(tmp_path / "copy", description, files)
    assert manifest == read_manifest(TINY)
    assert sorted(p.name for p in (tmp_path / "copy").iterdir()) == sorted(
        p.name for p in TINY.iterdir()
    )


def test_saving_needs_every_file_and_leaves_nothing_behind(tmp_path: Path) -> None:
    description, files = described(TINY)
    del files["text.onnx"], files[CARD_FILE]
    with pytest.raises(BundleFormatError, match=r"MODEL_CARD\.md, text\.onnx"):
        save_bundle(tmp_path / "copy", description, files)
    assert list(tmp_path.iterdir()) == []


def test_saving_does_not_replace_a_bundle_unasked(bundle: Path) -> None:
    description, files = described(TINY)
    with pytest.raises(BundleError, match="exists"):
        save_bundle(bundle, description, files)
    save_bundle(bundle, description, files, overwrite=True)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_a_failing_save_keeps_the_old_bundle(bundle: Path) -> None:
    description, files = described(TINY)
    files["audio.onnx"] = bundle / "missing.onnx"
    with pytest.raises(FileNotFoundError):
        save_bundle(bundle, description, files, overwrite=True)
    assert read_manifest(bundle) == read_manifest(TINY)
    assert [path.name for path in bundle.parent.iterdir()] == [bundle.name]


def test_the_identity_ignores_what_does_not_change_vectors(tmp_path: Path) -> None:
    description, files = described(TINY)
    renamed = description.model_copy(
        update={
            "name": "other",
            "licence": "MIT",
            "languages": ("fr",),
            "tag_templates": ("{label}",),
        }
    )
    files[CARD_FILE] = b"# Rewritten"
    del files["reference.npz"]
    manifest = save_bundle(tmp_path / "copy", renamed, files)
    assert manifest.model_id == read_manifest(TINY).model_id


@pytest.mark.parametrize("name", ["audio.onnx", "text.onnx", "tokenizer.json"])
def test_the_identity_follows_weights_and_tokenizer(tmp_path: Path, name: str) -> None:
    description, files = described(TINY)
    files[name] = (TINY / name).read_bytes() + b" "
    manifest = save_bundle(tmp_path / "copy", description, files)
    assert manifest.model_id != read_manifest(TINY).model_id


def test_the_identity_follows_the_front_end(tmp_path: Path) -> None:
    description, files = described(TINY)
    front_end = {**description.model_dump()["front_end"], "mean_db": 0.0}
    other = Description(**{**description.model_dump(), "front_end": front_end})
    manifest = save_bundle(tmp_path / "copy", other, files)
    assert manifest.model_id != read_manifest(TINY).model_id


@pytest.mark.parametrize("name", ["audio.onnx", "text.onnx", "tokenizer.json", "golden.npz"])
def test_altered_and_missing_files_are_named(bundle: Path, name: str) -> None:
    path = bundle / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(BundleDamagedError, match=name.replace(".", r"\.")):
        load_bundle(bundle, device="cpu")
    path.write_bytes(content[:-1])
    with pytest.raises(BundleDamagedError, match="bytes where"):
        load_bundle(bundle, device="cpu")
    path.unlink()
    with pytest.raises(BundleDamagedError, match="missing"):
        load_bundle(bundle, device="cpu")


def test_a_newer_schema_is_refused_with_advice(bundle: Path) -> None:
    edit_manifest(bundle, schema_version=SCHEMA_VERSION + 1, news="unknown")
    with pytest.raises(BundleTooNewError, match="update muquery"):
        load_bundle(bundle)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": None}, "schema_version"),
        ({"schema_version": 0}, "schema_version"),
        ({"embed_dim": -1}, "embed_dim"),
        ({"surprise": 1}, "surprise"),
        ({"model_id": "0" * 16}, "model_id"),
        ({"embed_dim": 64}, "model_id"),
        ({"sample_rate_hz": 44_100}, "sample rates"),
        ({"files": {}}, "no checksum"),
    ],
)
def test_invalid_manifests_are_refused(bundle: Path, changes: dict[str, Any], message: str) -> None:
    edit_manifest(bundle, **changes)
    with pytest.raises(BundleFormatError, match=message):
        load_bundle(bundle)


@pytest.mark.parametrize("text", ["", "not json", "[]", "3", '"text"'])
def test_what_is_no_manifest_is_refused(bundle: Path, text: str) -> None:
    (bundle / MANIFEST_FILE).write_text(text)
    with pytest.raises(BundleFormatError):
        load_bundle(bundle)


@pytest.mark.parametrize("name", ["../audio.onnx", "/etc/passwd", "sub/audio.onnx", ".hidden", ""])
def test_file_names_cannot_leave_the_folder(bundle: Path, name: str) -> None:
    values = json.loads((bundle / MANIFEST_FILE).read_text())
    values["files"][name] = values["files"].pop("audio.onnx")
    values["runtimes"]["onnx"]["audio"] = name
    (bundle / MANIFEST_FILE).write_text(json.dumps(values))
    with pytest.raises(BundleFormatError, match="pattern"):
        load_bundle(bundle)


def test_a_link_out_of_the_folder_is_refused(bundle: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside.onnx"
    (bundle / "audio.onnx").rename(outside)
    (bundle / "audio.onnx").symlink_to(outside)
    with pytest.raises(BundleFormatError, match="leads out"):
        read_file(bundle, read_manifest(bundle), "audio.onnx")


def test_a_folder_that_is_no_model_is_named(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match=r"neither bundle\.json nor config\.json"):
        load_bundle(tmp_path)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(BundleNotFoundError, match="no-such-model"):
        load_bundle("no-such-model")


@pytest.mark.parametrize("name", ["../bundles", "..", "a/../../b", "https://example.org/x"])
def test_names_do_not_wander_through_the_disk(name: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError):
        load_bundle(name, store=tmp_path)


def test_a_published_id_is_never_downloaded_by_loading(tmp_path: Path) -> None:
    with pytest.raises(BundleNotFoundError, match="muquery model pull OpenMuQ/MuQ-MuLan-large"):
        load_bundle("OpenMuQ/MuQ-MuLan-large", store=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_verification_reads_everything_and_runs_both_runtimes(bundle: Path) -> None:
    report = verify_bundle(bundle)
    assert report.runtimes == ("onnx", "torch")
    assert report.model_id == read_manifest(TINY).model_id
    assert report.notes == ()


def test_an_edited_card_is_only_noted(bundle: Path) -> None:
    (bundle / CARD_FILE).write_text("# Mine now")
    (bundle / "notes.pdf").write_bytes(b"x")
    report = verify_bundle(bundle)
    assert len(report.notes) == 2
    assert CARD_FILE in report.notes[0]
    assert "notes.pdf" in report.notes[1]
    assert load_bundle(bundle, device="cpu").model_id == report.model_id


def test_verification_names_damage_that_loading_would_not_read(bundle: Path) -> None:
    path = bundle / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    load_bundle(bundle, device="cpu", runtime="onnx")
    with pytest.raises(BundleDamagedError, match=r"model\.safetensors"):
        verify_bundle(bundle)
