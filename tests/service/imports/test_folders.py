"""A folder is read as far as it is allowed, and no further."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from service.imports.errors import FolderImportsOff, FolderNotAllowed, FolderNotFound
from service.imports.folders import (
    FOLDER_UNREADABLE,
    AllowedFolders,
    FolderScan,
    NotAPlainFile,
    open_below,
    printable,
)
from tests.support.batches import Batches


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the one that is allowed, with a file to be kept from others."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret.mp3").write_bytes(b"secret")
    return folder


def paths(folder: Path) -> set[bytes]:
    return {found.path_bytes for found in FolderScan(folder)}


def test_nothing_is_allowed_by_default(music: Path) -> None:
    with pytest.raises(FolderImportsOff):
        AllowedFolders(()).resolve(str(music))


def test_an_allowed_folder_and_what_is_in_it(music: Path) -> None:
    allowed = AllowedFolders((music,))
    (music / "album").mkdir()
    assert allowed.resolve(str(music)) == music.resolve()
    assert allowed.resolve(f"{music}/album/") == music.resolve() / "album"
    with pytest.raises(FolderNotFound):
        allowed.resolve(str(music / "nowhere"))


@pytest.mark.parametrize(
    "path",
    [
        "",
        "music",
        "./",
        "/",
        "/etc",
        "{music}/../outside",
        "{music}/..",
        "{music}-2",
        "{music}\x00",
    ],
)
def test_every_other_path_is_refused_alike(music: Path, outside: Path, path: str) -> None:
    (music.parent / "music-2").mkdir()
    with pytest.raises(FolderNotAllowed):
        AllowedFolders((music,)).resolve(path.replace("{music}", str(music)))


def test_outside_nothing_tells_what_exists(music: Path, outside: Path) -> None:
    allowed = AllowedFolders((music,))
    for path in (outside, outside / "nowhere", outside / "secret.mp3"):
        with pytest.raises(FolderNotAllowed):
            allowed.resolve(str(path))


def test_a_link_out_is_refused_as_a_folder(music: Path, outside: Path) -> None:
    (music / "way-out").symlink_to(outside)
    (music / "loop").symlink_to(music / "loop")
    for name in ("way-out", "loop", "loop/below"):
        with pytest.raises(FolderNotAllowed):
            AllowedFolders((music,)).resolve(str(music / name))


def test_links_are_not_followed_while_listing(music: Path, outside: Path) -> None:
    (music / "song.mp3").write_bytes(b"x")
    (music / "folder").symlink_to(outside)
    (music / "file.mp3").symlink_to(outside / "secret.mp3")
    scan = FolderScan(music)
    assert {found.path_bytes for found in scan} == {b"song.mp3"}
    assert scan.ignored == 2


def test_a_link_that_appears_after_listing_is_not_followed(music: Path, outside: Path) -> None:
    (music / "album").mkdir()
    (music / "album" / "secret.mp3").write_bytes(b"ours")
    (found,) = FolderScan(music)
    with open_below(music, found.path_bytes) as file:
        assert file.read() == b"ours"
    (music / "album").rename(music / "moved")
    (music / "album").symlink_to(outside)
    with pytest.raises(OSError), open_below(music, found.path_bytes):  # noqa: PT011
        pass
    (music / "album").unlink()
    (music / "album").mkdir()
    (music / "album" / "secret.mp3").symlink_to(outside / "secret.mp3")
    with pytest.raises(OSError), open_below(music, found.path_bytes):  # noqa: PT011
        pass


def test_a_path_never_leads_upwards(music: Path, outside: Path) -> None:
    with pytest.raises(PermissionError), open_below(music, b"../outside/secret.mp3"):
        pass


def test_only_plain_files_are_opened(music: Path) -> None:
    os.mkfifo(music / "pipe.mp3")
    (music / "folder.mp3").mkdir()
    for name in (b"pipe.mp3", b"folder.mp3"):
        with pytest.raises(NotAPlainFile), open_below(music, name):
            pass
    scan = FolderScan(music)
    assert list(scan) == []
    assert scan.ignored == 1


def test_what_is_listed(music: Path) -> None:
    deep = music / "a" / "b" / "c"
    deep.mkdir(parents=True)
    for name in ("one.mp3", "TWO.FLAC", "cover.jpg", ".hidden.mp3", "no-suffix"):
        (deep / name).write_bytes(b"12345")
    (music / ".git").mkdir()
    (music / ".git" / "x.mp3").write_bytes(b"x")
    scan = FolderScan(music)
    assert {(found.path_bytes, found.size_bytes) for found in scan} == {
        (b"a/b/c/one.mp3", 5),
        (b"a/b/c/TWO.FLAC", 5),
    }
    assert scan.ignored == 2


def test_a_name_that_is_no_utf8_is_found_and_opened(music: Path) -> None:
    name = b"caf\xe9 \xff.mp3"
    (music / os.fsdecode(name)).write_bytes(b"latin")
    (found,) = FolderScan(music)
    assert found.path_bytes == name
    assert found.path == "caf\\xe9 \\xff.mp3"
    with open_below(music, name) as opened:
        assert opened.read() == b"latin"
    assert printable("café".encode()) == "café"


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is closed to root")
def test_a_closed_folder_is_told(music: Path) -> None:
    (music / "closed").mkdir(mode=0)
    (found,) = FolderScan(music)
    assert found.error_code == FOLDER_UNREADABLE


def test_a_folder_that_is_gone_is_told(music: Path) -> None:
    (found,) = FolderScan(music / "gone")
    assert found.error_code == FOLDER_UNREADABLE


def test_a_folder_that_is_not_allowed_any_more_waits(batches: Batches, music: Path) -> None:
    batches.write_tone("a.wav")
    import_id = batches.start()
    other = Batches(batches.library, music.parent / "elsewhere")
    other.take_in()
    view = batches.view(import_id)
    assert (view.batch.state, view.batch.error_code) == ("running", "folder_not_allowed")
    batches.finish()
    view = batches.view(import_id)
    assert (view.batch.state, view.batch.error_code) == ("done", None)
