"""Fetching a published model, only when asked: what it is is shown first, then each file is pinned.

`plan_pull` asks the server for sizes and gives everything that a person should know before saying
yes; `pull` downloads into a hidden folder of the store, resumes what was interrupted, checks every
file, and renames the folder when all of it is there.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from models.bundle.disk import replace_folder
from models.bundle.loading import default_store, store_folder
from models.bundle.pins import HUB_URL, PUBLISHED_MODELS, SOURCE_FILE, PinnedFile, PublishedModel
from models.checksum import file_sha256
from models.errors import PullError
from models.whole_file import sync_file, sync_folder

# Room that must be left on the disk after the download.
SPARE_BYTES = 256 * 1024 * 1024
_TIMEOUT_S = 60.0
_TRIES = 5
_OK, _PARTIAL, _RANGE_NOT_SATISFIABLE = 200, 206, 416

# Told the file's place, the bytes that are there and the bytes it will have.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class PullPlan:
    """What a pull would do, to be shown before it is done."""

    model: PublishedModel
    base_url: str
    folder: Path
    sizes_bytes: dict[str, int]
    present_bytes: int
    free_bytes: int

    @property
    def total_bytes(self) -> int:
        return sum(self.sizes_bytes.values())

    @property
    def missing_bytes(self) -> int:
        return self.total_bytes - self.present_bytes

    @property
    def fits(self) -> bool:
        """Whether the disk has room for what is missing, with some to spare."""
        return self.free_bytes >= self.missing_bytes + SPARE_BYTES


def plan_pull(
    repository_id: str,
    store: Path | None = None,
    *,
    base_url: str = HUB_URL,
    catalogue: dict[str, PublishedModel] | None = None,
    client: httpx.Client | None = None,
) -> PullPlan:
    """Size, licence, revision and free disk of a published model; nothing is downloaded.

    Raises PullError for a repository that is not pinned here, or a server that does not answer.
    """
    known = PUBLISHED_MODELS if catalogue is None else catalogue
    if repository_id not in known:
        raise PullError(f"{repository_id} is not one of {', '.join(sorted(known))}")
    model = known[repository_id]
    folder = store_folder(repository_id, store or default_store())
    with _client(client) as session:
        sizes = {file.place: _size(session, file, base_url) for file in model.files}
    folder.parent.mkdir(parents=True, exist_ok=True)
    return PullPlan(
        model=model,
        base_url=base_url,
        folder=folder,
        sizes_bytes=sizes,
        present_bytes=_present_bytes(model, folder, sizes),
        free_bytes=shutil.disk_usage(folder.parent).free,
    )


def pull(
    plan: PullPlan, progress: Progress | None = None, *, client: httpx.Client | None = None
) -> Path:
    """Download what a plan says and return the model's folder; a finished one is left as it is.

    An interrupted pull goes on where it stopped. A file that does not match its checksum is
    deleted and fetched once more; if it is wrong again, PullError names it. PullError also for a
    full disk and for a server that keeps failing.
    """
    if is_pulled(plan.model, plan.folder):
        return plan.folder
    if not plan.fits:
        raise PullError(
            f"{plan.missing_bytes} bytes are to be fetched and {plan.free_bytes} are free; "
            f"{SPARE_BYTES} must stay free"
        )
    parts = _parts_folder(plan.folder)
    with _alone(plan.folder), _client(client) as session:
        parts.mkdir(exist_ok=True)
        for file in plan.model.files:
            _fetch_checked(session, plan, file, parts, progress or _silent)
        _write_source(plan.model, parts)
        replace_folder(parts, plan.folder)
    return plan.folder


def is_pulled(model: PublishedModel, folder: Path) -> bool:
    """Whether the folder holds this revision, complete."""
    path = folder / SOURCE_FILE
    return path.is_file() and json.loads(path.read_bytes()) == _source_of(model)


def _fetch_checked(
    session: httpx.Client, plan: PullPlan, file: PinnedFile, parts: Path, progress: Progress
) -> None:
    target = parts / file.place
    target.parent.mkdir(parents=True, exist_ok=True)
    for last_try in (False, True):
        if not target.is_file():
            _fetch(session, plan, file, _part(parts, file), progress)
            sync_file(_part(parts, file))
            _part(parts, file).rename(target)
        if file_sha256(target) == file.sha256:
            sync_folder(target.parent)
            return
        target.unlink()
        if last_try:
            raise PullError(
                f"{file.repository_id}/{file.name} does not match its pinned checksum: what the "
                "server sends is not the file that was pinned"
            )


def _fetch(
    session: httpx.Client, plan: PullPlan, file: PinnedFile, part: Path, progress: Progress
) -> None:
    """Fetch one file into `part`, going on from what it holds."""
    size = plan.sizes_bytes[file.place]
    failure: Exception | None = None
    for _ in range(_TRIES):
        have = part.stat().st_size if part.exists() else 0
        if have > size:
            part.unlink()
            have = 0
        if have == size and part.exists():
            return
        try:
            _receive(session, file.url(plan.base_url), part, have, size, file.place, progress)
        except httpx.HTTPError as error:
            failure = error
    have = part.stat().st_size if part.exists() else 0
    if have != size:
        raise PullError(
            f"{file.repository_id}/{file.name}: {have} of {size} bytes came in {_TRIES} tries"
        ) from failure


def _receive(
    session: httpx.Client,
    url: str,
    part: Path,
    have: int,
    size: int,
    place: str,
    progress: Progress,
) -> None:
    headers = {"Range": f"bytes={have}-"} if have else {}
    with session.stream("GET", url, headers=headers) as response:
        if response.status_code == _RANGE_NOT_SATISFIABLE:
            part.unlink(missing_ok=True)
            return
        response.raise_for_status()
        # A server that ignores the range sends the whole file: then it is written anew.
        resumed = response.status_code == _PARTIAL
        received = have if resumed else 0
        with part.open("ab" if resumed else "wb") as target:
            # As they come, not in pieces of one size: a connection that breaks keeps what it gave.
            for chunk in response.iter_raw():
                received += len(chunk)
                if received > size:
                    raise PullError(f"{place}: the server sends more than the {size} bytes it said")
                target.write(chunk)
                progress(place, received, size)
        if size == 0:
            part.touch()


def _size(session: httpx.Client, file: PinnedFile, base_url: str) -> int:
    url = file.url(base_url)
    try:
        response = session.head(url)
        response.raise_for_status()
        return int(response.headers["Content-Length"])
    except (httpx.HTTPError, KeyError, ValueError) as error:
        raise PullError(f"{base_url} does not say how large {file.name} is: {error}") from error


@contextmanager
def _client(given: httpx.Client | None) -> Iterator[httpx.Client]:
    if given is not None:
        yield given
        return
    # Compressed answers would neither resume nor have the announced length.
    headers = {"Accept-Encoding": "identity"}
    with httpx.Client(follow_redirects=True, timeout=_TIMEOUT_S, headers=headers) as session:
        yield session


def _write_source(model: PublishedModel, folder: Path) -> None:
    path = folder / SOURCE_FILE
    path.write_text(json.dumps(_source_of(model), indent=2) + "\n", encoding="utf-8")
    sync_file(path)
    sync_folder(folder)


def _source_of(model: PublishedModel) -> dict[str, object]:
    return {
        "repository_id": model.repository_id,
        "revision": model.revision,
        "licence": model.licence,
        "files": {file.place: file.sha256 for file in model.files},
    }


def _parts_folder(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.part")


def _part(parts: Path, file: PinnedFile) -> Path:
    return parts / f"{file.place}.part"


def _present_bytes(model: PublishedModel, folder: Path, sizes: dict[str, int]) -> int:
    if is_pulled(model, folder):
        return sum(sizes.values())
    parts = _parts_folder(folder)
    candidates = [path for file in model.files for path in (parts / file.place, _part(parts, file))]
    return sum(path.stat().st_size for path in candidates if path.is_file())


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Keep a second pull of the same model out: both would write into the same parts."""
    with folder.with_name(f".{folder.name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise PullError(f"{folder.name} is being pulled by another process") from error
        yield


def _silent(place: str, received: int, size: int) -> None:
    """Progress that nobody watches."""
