"""Tracks get their tags with their vectors, and again when the vocabulary or the model changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import sqlalchemy as sa

from service.database.engine import Database
from service.database.tables import Job, TagLabel, TagValue, TrackTagging
from service.database.track_tags import TrackTag
from service.jobs.queue import GaveWay, LibraryClaim, add_job
from service.tagging.retag import TAG, count_tagged, want_retag
from service.tagging.store import VocabularyInUse, delete_vocabulary, save_vocabulary
from service.tagging.vocabulary import Group, Label, LabelSet
from tests.support.encoder import MODEL_ID, FakeEncoder
from tests.support.library import Library
from tests.support.rows import new_track, publish_vectors, random_vectors
from tests.support.stored_tracks import add_ready_track

ROOT = Path(__file__).resolve().parents[3]
PITCH = ("low", "middle", "high")


class Relabelled(FakeEncoder):
    """The same music under another calibration."""

    def tag_probabilities(self, relevances: np.ndarray) -> np.ndarray | None:
        return relevances**3


@pytest.fixture
def library(database: Database, tmp_path: Path) -> Iterator[Library]:
    made = Library(database, tmp_path, lease_s=2.0)
    use(made, *PITCH)
    yield made
    made.close()


def use(library: Library, *labels: str, name: str = "pitches") -> None:
    """Make these labels the default, as a PUT does."""
    groups = (Group("pitch", tuple(map(Label, labels))),)
    with library.database.write() as session:
        saved = save_vocabulary(session, name, LabelSet(groups), make_default=True)
        if saved.changes_tags:
            want_retag(session, library.fake.model_id, 3)


def tags(library: Library, track_pk: int) -> dict[str, tuple[float, bool, int]]:
    """label -> probability, assigned, version."""
    query = sa.select(TrackTag).where(TrackTag.track_pk == track_pk)
    with library.database.read() as session:
        return {
            row.label: (row.probability, row.assigned, row.version)
            for row in session.scalars(query)
        }


def add_tracks(library: Library, count: int) -> list[int]:
    """Analysed tracks without tags, as an older release leaves them; their numbers."""
    pks = []
    for number in range(count):
        with library.database.write() as session:
            track = new_track(session)
            publish_vectors(session, track, random_vectors(2, number))
            pks.append(track.pk)
    return pks


def count(library: Library) -> tuple[int, int]:
    with library.database.read() as session:
        return count_tagged(session, library.tagger.prepare())


def claim(library: Library) -> LibraryClaim:
    found = library.queue.claim("test", MODEL_ID)
    assert isinstance(found, LibraryClaim)
    return found


def test_a_track_is_tagged_where_it_is_analysed(library: Library) -> None:
    library.work_all()
    low, high = library.upload_tone(150.0, 12.0), library.upload_tone(5000.0, 12.0)
    assert library.work_all() == 2
    for uploaded, expected in ((low, "low"), (high, "high")):
        found = tags(library, uploaded.track.pk)
        assert set(found) == set(PITCH)
        assert [label for label, (_, assigned, _) in found.items() if assigned] == [expected]
    with library.database.read() as session:
        tagging = session.get(TrackTagging, (low.track.pk, MODEL_ID))
        assert tagging is not None
        assert (tagging.vocabulary, tagging.version) == ("pitches", 1)
    assert count(library) == (2, 2)


def test_stored_tags_are_the_same_from_an_analysis_and_from_the_job(library: Library) -> None:
    library.work_all()
    pk = library.upload_tone(440.0, 25.0).track.pk
    library.work_all()
    before = tags(library, pk)
    with library.database.write() as session:
        session.execute(sa.update(TrackTagging).values(recipe="older"))
        want_retag(session, MODEL_ID, 3)
    assert library.work_all() == 1
    assert tags(library, pk) == before


def test_words_of_tags_are_found(library: Library) -> None:
    library.work_all()
    pk = library.upload_tone(150.0, 12.0).track.pk
    library.work_all()

    def words() -> str:
        with library.database.read() as session:
            from service.keywords.store import read_documents

            return " ".join(read_documents(session, [pk])[pk].fields["tags"])

    assert words() == "low"
    use(library, "low", "deep low")
    library.work_all()
    assert "low" in words().split()


def test_a_change_of_the_default_tags_the_library_again(library: Library) -> None:
    pks = add_tracks(library, 5)
    assert library.work_all() == 1
    assert count(library) == (5, 5)
    use(library, *PITCH, "noise")
    assert count(library) == (0, 5)
    assert {version for _, _, version in tags(library, pks[0]).values()} == {1}
    assert library.work_all() == 1
    assert count(library) == (5, 5)
    for pk in pks:
        found = tags(library, pk)
        assert set(found) == {*PITCH, "noise"}
        assert {version for _, _, version in found.values()} == {2}
    with library.database.read() as session:
        versions = session.scalars(sa.select(TagLabel.version).distinct()).all()
        jobs = session.scalars(sa.select(Job).where(Job.kind == TAG)).all()
    assert versions == [2], "labels that no track has any more are forgotten"
    assert [(job.state, job.progress, job.track_pk) for job in jobs] == [("done", 1.0, None)]


def test_another_vocabulary_replaces_the_tags_of_the_one_before(library: Library) -> None:
    (pk,) = add_tracks(library, 1)
    library.work_all()
    use(library, "noise", name="others")
    library.work_all()
    assert set(tags(library, pk)) == {"noise"}
    with library.database.write() as session, pytest.raises(VocabularyInUse):
        delete_vocabulary(session, "others")
    with library.database.write() as session:
        delete_vocabulary(session, "pitches")
    assert set(tags(library, pk)) == {"noise"}


def test_another_calibration_is_noticed_at_the_next_start(library: Library, tmp_path: Path) -> None:
    (pk,) = add_tracks(library, 1)
    library.work_all()
    assert not library.retag.want_if_outdated(MODEL_ID)
    other = Library(library.database, tmp_path, encoder=Relabelled())
    assert other.retag.want_if_outdated(MODEL_ID)
    before = tags(library, pk)["low"][0]
    other.work_all()
    assert tags(library, pk)["low"][0] == pytest.approx(before**1.5, rel=1e-3)
    other.close()


def test_tags_of_two_models_stand_side_by_side(library: Library, tmp_path: Path) -> None:
    (pk,) = add_tracks(library, 1)
    library.work_all()
    other = Library(library.database, tmp_path, encoder=FakeEncoder(model_id="fake-2"))
    with library.database.write() as session:
        track = new_track(session)
        publish_vectors(session, track, random_vectors(2, 9), model_id="fake-2")
    assert other.retag.want_if_outdated("fake-2")
    other.work_all()
    assert set(tags(library, track.pk)) == set(tags(library, pk)) == set(PITCH)
    with library.database.read() as session:
        models = session.scalars(sa.select(TagLabel.model_id).distinct()).all()
    assert set(models) == {MODEL_ID, "fake-2"}
    other.close()


def test_an_empty_library_asks_the_model_nothing(library: Library) -> None:
    assert not library.retag.want_if_outdated(MODEL_ID)
    assert library.fake.text_calls == []


def test_text_vectors_are_made_once_for_all_processes(library: Library, tmp_path: Path) -> None:
    add_tracks(library, 1)
    library.work_all()
    assert sum(library.fake.text_calls) == len(PITCH) * len(library.fake.tag_templates)
    other = Library(library.database, tmp_path)
    assert other.tagger.prepare().recipe == library.tagger.prepare().recipe
    assert other.fake.text_calls == []
    other.close()


def test_the_job_gives_way_to_an_upload_and_goes_on(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.tagging.retag._BATCH", 2)
    add_tracks(library, 5)
    held = claim(library)
    seen: list[float] = []

    def check(progress: float) -> None:
        seen.append(progress)
        if len(seen) == 2:
            with library.database.write() as session:
                add_job(session, new_track(session).pk, MODEL_ID, 3)

    with pytest.raises(GaveWay):
        library.retag.run(held, check)
    assert seen == [0.0, 0.4]
    assert count(library) == (2, 5)
    library.queue.release(held)
    embed = library.queue.claim("test", MODEL_ID)
    assert embed is not None
    assert embed.kind == "embed"
    seen = []
    library.retag.run(claim(library), seen.append)
    assert seen[0] == 0.4, "it goes on where it stopped"
    assert count(library) == (5, 5)


def test_a_worker_gives_a_job_back_that_gave_way(library: Library) -> None:
    add_tracks(library, 2)
    uploaded = library.upload_tone(150.0, 5.0)
    first = library.queue.claim("test", MODEL_ID)
    assert first is not None
    assert first.kind == "embed", "whoever waits for a file goes first"
    library.queue.release(first)
    assert library.work_all() == 2
    assert library.track(uploaded.track.id).state == "ready"
    assert count(library) == (3, 3)


def test_a_change_in_the_middle_begins_again(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.tagging.retag._BATCH", 2)
    pks = add_tracks(library, 5)
    held = claim(library)
    changed = iter([lambda: use(library, "noise")])

    def check(progress: float) -> None:
        if progress > 0.3:
            next(changed, lambda: None)()

    library.retag.run(held, check)
    assert all(set(tags(library, pk)) == {"noise"} for pk in pks)
    with library.database.read() as session:
        assert session.scalars(sa.select(Job.state).where(Job.kind == TAG)).all() == ["done"]


def test_an_analysis_that_overlaps_a_change_never_stores_old_tags(library: Library) -> None:
    library.work_all()
    uploaded = library.upload_tone(150.0, 5.0)
    prepared, once = library.tagger.prepare, iter([True])

    def prepare_then_change() -> object:
        found = prepared()
        if next(once, False):
            use(library, "noise")
        return found

    library.tagger.prepare = prepare_then_change  # type: ignore[method-assign]
    library.work_all()
    assert set(tags(library, uploaded.track.pk)) == {"noise"}


def test_a_label_that_the_model_cannot_read_fails_the_job_and_no_upload(library: Library) -> None:
    use(library, "word " * 65)
    uploaded = library.upload_tone(150.0, 5.0)
    library.work_all()
    assert library.track(uploaded.track.id).state == "ready"
    assert tags(library, uploaded.track.pk) == {}
    with library.database.read() as session:
        (job,) = session.scalars(sa.select(Job).where(Job.kind == TAG))
    assert (job.state, job.error_code) == ("failed", "text_too_long")
    use(library, *PITCH)
    library.work_all()
    assert set(tags(library, uploaded.track.pk)) == set(PITCH)


def test_deleting_a_track_takes_its_tags(library: Library) -> None:
    library.work_all()
    uploaded = library.upload_tone(150.0, 5.0)
    library.work_all()
    library.tracks.delete_track(uploaded.track.id)
    with library.database.read() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(TagValue)) == 0
        assert session.scalar(sa.select(sa.func.count()).select_from(TrackTagging)) == 0


def test_tracks_that_are_deleted_meanwhile_do_no_harm(library: Library) -> None:
    ids = [add_ready_track(library.database, random_vectors(1, number)).id for number in range(60)]
    ends: list[BaseException | None] = []

    def delete_half() -> None:
        try:
            for track_id in ids[::2]:
                library.tracks.delete_track(track_id)
            ends.append(None)
        except BaseException as error:  # noqa: BLE001 - told to the test
            ends.append(error)

    thread = threading.Thread(target=delete_half)
    held = claim(library)
    thread.start()
    library.retag.run(held, lambda _: None)
    thread.join()
    assert ends == [None]
    assert count(library) == (30, 30)


_KILLED = """
import sys
from pathlib import Path
from service.database.engine import Database
from tests.support.library import Library
import service.tagging.retag as retag

retag._BATCH = 5
library = Library(Database(sys.argv[1]), Path(sys.argv[2]), lease_s=2.0)
claim = library.queue.claim("killed", library.fake.model_id)

def check(progress):
    print(progress, flush=True)
    if progress > 0.4:
        sys.stdin.read()  # until it is killed

library.retag.run(claim, check)
"""


def test_a_killed_worker_loses_nothing(library: Library, database_url: str, tmp_path: Path) -> None:
    add_tracks(library, 20)
    process = subprocess.Popen(
        [sys.executable, "-c", _KILLED, database_url, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    with process:
        assert process.stdout is not None
        while float(process.stdout.readline()) <= 0.4:
            pass
        process.send_signal(signal.SIGKILL)
    done, total = count(library)
    assert 0 < done < total == 20
    seen: list[float] = []
    held = wait_for_claim(library)
    library.retag.run(held, seen.append)
    assert seen[0] == pytest.approx(done / total)
    assert count(library) == (20, 20)


def wait_for_claim(library: Library) -> LibraryClaim:
    """The job, once the killed worker's lease has run out."""
    for _ in range(200):
        found = library.queue.claim("next", MODEL_ID)
        if found is not None:
            assert isinstance(found, LibraryClaim)
            return found
        threading.Event().wait(0.1)
    raise AssertionError("the job never came back")
