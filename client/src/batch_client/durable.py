"""Writing so that it outlasts a power failure, and keeping other runs out of a folder."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, BinaryIO, cast

from filelock import FileLock, Timeout

from batch_client.errors import OutputError

LOCK = "batch-client.lock"
"""Shows that a folder is ours."""


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs out of `folder`, which is created if need be. Raises OutputError if one is working in it."""
    folder.mkdir(mode=0o700, exist_ok=True)  # it holds texts, and what others put there would be used
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        raise OutputError(f"another run is working in {folder}; wait for it or choose another --out") from None
    try:
        yield
    finally:
        lock.release()


def open_own(path: Path, mode: str) -> BinaryIO:
    """Open a file of ours, never through a link that somebody put under its name. Raises OSError for a link."""
    return cast(BinaryIO, open(path, mode, opener=_without_following))


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that is under its name either not at all or whole, also after a power failure."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(8)}.partial")
    file = partial.open("xb")  # what is there already is not ours
    try:
        with file:
            file.write(content)
            sync(file)
        replace_durably(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def replace_durably(source: Path, target: Path) -> None:
    """Give a file that is whole on the disk its final name, durably."""
    source.replace(target)
    sync_folder(target.parent)


def sync(file: IO[bytes]) -> None:
    """Put on the disk what was written to `file`."""
    file.flush()
    os.fsync(file.fileno())


def _without_following(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def sync_folder(folder: Path) -> None:
    """Put on the disk which files `folder` has, where folders can be synced: Windows knows no such thing."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
