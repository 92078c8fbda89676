"""Saved indexes of models that are gone."""

from pathlib import Path

from service.index_sync.factory import forget_snapshots
from service.settings import Settings


def test_saved_indexes_of_unknown_models_go_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "index"
    for name in ("known", "pruned"):
        (folder / name / "clips").mkdir(parents=True)
        (folder / name / "clips" / "manifest.json").write_text("{}")
    (folder / "something else").mkdir()
    settings = Settings.model_construct(data_dir=tmp_path)
    assert forget_snapshots(settings, {"known"}) == 1
    assert sorted(path.name for path in folder.iterdir()) == ["known", "something else"]
    assert forget_snapshots(settings, {"known"}) == 0
    assert forget_snapshots(Settings.model_construct(data_dir=tmp_path / "none"), {"known"}) == 0
