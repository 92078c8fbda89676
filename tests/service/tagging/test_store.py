"""Vocabularies in versions, on both databases."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from service.database.engine import Database
from service.database.tables import TagLabel
from service.tagging.store import (
    STANDARD,
    Saved,
    VocabularyInUse,
    VocabularyNotFound,
    delete_vocabulary,
    find_default,
    get_vocabulary,
    is_name,
    list_versions,
    list_vocabularies,
    offer_standard,
    save_vocabulary,
)
from service.tagging.vocabulary import Group, Label, LabelSet


def labels(*names: str) -> LabelSet:
    return LabelSet((Group("mood", tuple(map(Label, names))),))


def save(database: Database, name: str, *names: str, default: bool = False) -> Saved:
    with database.write() as session:
        return save_vocabulary(session, name, labels(*names), make_default=default)


def test_each_save_is_a_version_and_old_ones_stay(database: Database) -> None:
    first = save(database, "moods", "calm")
    second = save(database, "moods", "calm", "dark")
    assert (first.is_new_version, first.vocabulary.version) == (True, 1)
    assert (second.is_new_version, second.vocabulary.version) == (True, 2)
    assert not second.changes_tags
    with database.read() as session:
        assert get_vocabulary(session, "moods").labels == labels("calm", "dark")
        assert get_vocabulary(session, "moods", 1).labels == labels("calm")
        assert [v.version for v in list_versions(session, "moods")] == [2, 1]
        assert [v.version for v in list_vocabularies(session)] == [2]
        for name, version in (("moods", 3), ("others", None)):
            with pytest.raises(VocabularyNotFound):
                get_vocabulary(session, name, version)


def test_the_same_again_is_no_new_version(database: Database) -> None:
    save(database, "moods", "calm", default=True)
    again = save(database, "moods", "calm")
    assert (again.is_new_version, again.vocabulary.version) == (False, 1)
    assert not again.changes_tags


def test_one_vocabulary_is_the_default_and_stays_it_over_versions(database: Database) -> None:
    assert save(database, "moods", "calm", default=True).changes_tags
    assert save(database, "moods", "dark").changes_tags
    assert not save(database, "other", "loud").changes_tags
    with database.read() as session:
        default = find_default(session)
        assert default is not None
        assert (default.name, default.version) == ("moods", 2)
    again = save(database, "other", "loud", default=True)
    assert (again.is_new_version, again.is_new_default, again.changes_tags) == (False, True, True)
    with database.read() as session:
        assert [v.name for v in list_vocabularies(session) if v.is_default] == ["other"]


def test_deleting_takes_versions_and_labels_but_never_the_default(database: Database) -> None:
    save(database, "moods", "calm", default=True)
    save(database, "other", "loud")
    key = {"model_id": "m", "version": 1, "group_name": "mood", "label": "loud", "vector": b""}
    with database.write() as session:
        session.add(TagLabel(vocabulary="other", **key))
    with database.write() as session, pytest.raises(VocabularyInUse):
        delete_vocabulary(session, "moods")
    with database.write() as session:
        delete_vocabulary(session, "other")
    with database.write() as session, pytest.raises(VocabularyNotFound):
        delete_vocabulary(session, "other")
    with database.read() as session:
        assert session.query(TagLabel).count() == 0


def standard_file(folder: Path, *names: str) -> Path:
    path = folder / f"{'-'.join(names)}.json"
    group = {"name": "mood", "choice": "multiple", "labels": [{"label": name} for name in names]}
    path.write_text(json.dumps({"description": "ours", "groups": [group]}))
    return path


def test_a_newer_package_brings_a_new_version_of_ours(database: Database, tmp_path: Path) -> None:
    old, new = standard_file(tmp_path, "calm"), standard_file(tmp_path, "calm", "dark")
    assert [offer_standard(database, file) for file in (old, old, new, new)] == [1, 0, 1, 0]
    with database.read() as session:
        default = find_default(session)
        assert default is not None
        assert (default.name, default.version, default.labels.size) == (STANDARD, 2, 2)


def test_what_a_person_made_of_ours_is_left_alone(database: Database, tmp_path: Path) -> None:
    offer_standard(database, standard_file(tmp_path, "calm"))
    save(database, STANDARD, "my own")
    assert not offer_standard(database, standard_file(tmp_path, "calm", "dark"))
    with database.read() as session:
        assert get_vocabulary(session, STANDARD).labels == labels("my own")


def test_ours_does_not_come_back_after_it_was_deleted(database: Database, tmp_path: Path) -> None:
    offer_standard(database, standard_file(tmp_path, "calm"))
    save(database, "mine", "loud", default=True)
    with database.write() as session:
        delete_vocabulary(session, STANDARD)
    assert not offer_standard(database, standard_file(tmp_path, "calm"))
    with database.read() as session:
        assert [v.name for v in list_vocabularies(session)] == ["mine"]


def test_saves_at_once_give_one_version_each(database: Database) -> None:
    def run(number: int) -> None:
        save(database, "moods", f"label {number}", default=number % 2 == 0)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert [v.version for v in list_versions(session, "moods")] == [6, 5, 4, 3, 2, 1]
        assert find_default(session) is not None


def test_processes_that_start_together_offer_ours_once(database: Database) -> None:
    threads = [threading.Thread(target=offer_standard, args=(database,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert [v.version for v in list_versions(session, STANDARD)] == [1]


def test_names() -> None:
    assert all(map(is_name, ("a", "my-moods_2", "a" * 64)))
    assert not any(map(is_name, ("", "A", "-a", "a.b", "a\n", "a" * 65)))
