"""Folders of the server: which may be read, what lies in them, and files opened without leaving.

A folder is resolved once, when it is asked for, and must then lie in one of the allowed ones. From
there on no symbolic link is followed, not even one that appears later: each step of a path is
opened below the one before it with O_NOFOLLOW.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from service.imports.errors import FolderImportsOff, FolderNotAllowed, FolderNotFound

AUDIO_SUFFIXES = frozenset(
    {".aac", ".aif", ".aifc", ".aiff", ".flac", ".m4a", ".m4b", ".mka", ".mp2", ".mp3", ".mp4"}
    | {".oga", ".ogg", ".opus", ".w64", ".wav", ".weba", ".webm", ".wma"}
)
FOLDER_UNREADABLE = "folder_unreadable"

_STEP = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_LIST = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
# O_NONBLOCK: a named pipe would hold the open up until someone writes to it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class NotAPlainFile(OSError):
    """The path leads to something else than a file."""


@dataclass(frozen=True)
class FoundFile:
    """A file below the folder; one with an `error_code` stands for a folder that stayed closed."""

    path_bytes: bytes
    size_bytes: int | None
    error_code: str | None = None

    @property
    def path(self) -> str:
        """For people: what is no UTF-8 is shown escaped."""
        return printable(self.path_bytes)


@dataclass(frozen=True)
class AllowedFolders:
    """The folders whose content may be taken in; none by default."""

    roots: tuple[Path, ...]

    def resolve(self, path: str) -> Path:
        """The real folder that is meant.

        Raises FolderImportsOff, FolderNotAllowed, and FolderNotFound only inside of what is
        allowed: outside nothing tells whether a path exists.
        """
        if not self.roots:
            raise FolderImportsOff
        asked = Path(path)
        if "\x00" in path or not asked.is_absolute() or ".." in asked.parts:
            raise FolderNotAllowed
        try:
            real = asked.resolve()
            allowed = any(real.is_relative_to(root.resolve()) for root in self.roots)
        except (OSError, RuntimeError):  # a loop of links, a name that is too long
            raise FolderNotAllowed from None
        if not allowed or _is_a_loop(real):
            raise FolderNotAllowed
        if not real.is_dir():
            raise FolderNotFound
        return real

    def check(self, folder: Path) -> None:
        """The same for a folder that was resolved before; raises what `resolve` does."""
        if self.resolve(str(folder)) != folder:
            raise FolderNotAllowed


class FolderScan:
    """Audio files below a folder, found one by one; memory holds the folders still to be read."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.ignored = 0
        """Files that are not audio by their name, and symbolic links; hidden ones do not count."""

    def __iter__(self) -> Iterator[FoundFile]:
        todo = [b""]
        while todo:
            below = todo.pop()
            try:
                yield from self._read(below, todo)
            except OSError:
                yield FoundFile(below or b".", None, FOLDER_UNREADABLE)

    def _read(self, below: bytes, todo: list[bytes]) -> Iterator[FoundFile]:
        with open_step(self._folder, below, _LIST) as descriptor, os.scandir(descriptor) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)
                if name.startswith(b"."):
                    continue
                path = below + b"/" + name if below else name
                if entry.is_dir(follow_symlinks=False):
                    todo.append(path)
                elif is_audio_name(entry.name) and entry.is_file(follow_symlinks=False):
                    yield FoundFile(path, _size(entry))
                else:
                    self.ignored += 1


def _is_a_loop(resolved: Path) -> bool:
    # From Python 3.13 on `resolve` leaves a loop of links in the path instead of raising.
    return any(step.is_symlink() for step in (resolved, *resolved.parents))


def is_audio_name(name: str) -> bool:
    return Path(name).suffix.lower() in AUDIO_SUFFIXES


def printable(path: bytes) -> str:
    """A path as text that every database can store."""
    return path.decode("utf-8", "backslashreplace").replace("\x00", "")


@contextmanager
def open_below(folder: Path, path: bytes) -> Iterator[BinaryIO]:
    """A plain file below a resolved folder; raises OSError, also where a link is on the way."""
    with open_step(folder, path, _READ) as descriptor:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise NotAPlainFile
        with os.fdopen(os.dup(descriptor), "rb") as file:
            yield file


@contextmanager
def open_step(folder: Path, below: bytes, flags: int) -> Iterator[int]:
    """A descriptor of `folder/below`, reached step by step without following any link."""
    steps = [os.fsencode(part) for part in folder.parts[1:]]
    steps += [step for step in below.split(b"/") if step]
    if b".." in steps:
        raise PermissionError("a path does not lead upwards")
    here = os.open("/", _STEP if steps else flags)
    try:
        for number, step in enumerate(steps):
            wanted = flags if number == len(steps) - 1 else _STEP
            there = os.open(step, wanted, dir_fd=here)
            os.close(here)
            here = there
        yield here
    finally:
        os.close(here)


def _size(entry: os.DirEntry[str]) -> int | None:
    try:
        return entry.stat(follow_symlinks=False).st_size
    except OSError:
        return None  # gone meanwhile: opening it will say so
