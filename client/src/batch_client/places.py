"""Where inputs come from and results go to: files, pipes, standard input and output, and addresses such as s3://.

What can be read only once is copied first, because a result needs its input twice; what lies elsewhere is uploaded
once, when it is whole. fsspec knows the addresses; each kind has its own package, and fsspec says which.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

from batch_client.errors import BatchClientError, InputError, OutputError

STANDARD = "-"


def is_address(place: str) -> bool:
    """Whether a place is an address rather than a file."""
    return "://" in place


def is_read_once(place: str) -> bool:
    """Whether an input must be copied: standard input, an address, a pipe, a device."""
    if place == STANDARD or is_address(place):
        return True
    path = Path(place)
    return path.exists() and not path.is_file() and not path.is_dir()


def name_of(place: str) -> str:
    """What people call an input."""
    return "standard input" if place == STANDARD else place


def copy_input(place: str, copy: Path) -> None:
    """Copy an input that can be read only once. Raises InputError if it cannot be read."""
    with copy.open("wb") as target, _opened(place) as source:
        shutil.copyfileobj(source, target, 2**20)


def exists(place: str) -> bool:
    """Whether a result of this address is there already. Raises OutputError if that cannot be found out."""
    with _told(place, OutputError):
        filesystem, path = _filesystem(place)
        return bool(filesystem.exists(path))


def upload(result: Path, place: str) -> None:
    """Put a result that is whole to an address. Raises OutputError."""
    try:
        filesystem, path = _filesystem(place)
        filesystem.put_file(str(result), path)
    except Exception as error:
        raise OutputError(
            f"the result could not be put to {place}: {_reason(error)}. "
            "All rows are kept: the same command, or one with another --out of this name, only puts it there"
        ) from error


def check_can_upload(place: str) -> None:
    """Raise OutputError, before anything is done, if it is sure by now that nothing can be put to an address."""
    if place.startswith(("http://", "https://")):
        raise OutputError(f"nothing can be put to {place}: web pages are only read; choose another --out")
    with _told(place, OutputError):
        filesystem, path = _filesystem(place)
        if _is_nowhere(filesystem, path):
            raise OutputError(f"nothing can be put to {place}: there is no bucket, repository or folder for it")


def _is_nowhere(filesystem: Any, path: str) -> bool:
    """Whether it is sure that nothing above a path exists, not even a bucket. What is hidden from us may exist."""
    parents = [str(parent) for parent in PurePosixPath(path).parents if parent.name]
    with suppress(Exception):  # a part of a repository's name is no place that could be asked about
        if not parents or any(filesystem.exists(parent) for parent in parents):
            return False
    try:
        # Stores say "no" of a bucket that the credentials may not look into; its listing tells that from none at all.
        filesystem.ls(parents[0])
    except FileNotFoundError:
        return True
    except Exception:
        return False
    return False


@contextmanager
def _opened(place: str) -> Iterator[BinaryIO]:
    if place == STANDARD:
        yield sys.stdin.buffer
    elif is_address(place):
        with _told(place, InputError):
            filesystem, path = _filesystem(place)
            with filesystem.open(path, "rb") as file:
                yield file
    else:
        with _told(place, InputError), Path(place).open("rb") as file:
            yield file


def _filesystem(place: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{place} is an address; for these: pip install 'batch-client[remote]'") from None
    filesystem, path = fsspec.core.url_to_fs(place)
    return filesystem, path


@contextmanager
def _told(place: str, kind: type[BatchClientError]) -> Iterator[None]:
    """Turn whatever a file system's own package raises into an error of ours: they have no base in common."""
    try:
        yield
    except BatchClientError:
        raise
    except FileNotFoundError:
        raise kind(f"{place} does not exist") from None
    except Exception as error:
        raise kind(f"{place}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
