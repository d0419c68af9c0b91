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

from batch_client.durable import open_own
from batch_client.errors import BatchClientError, InputError, OutputError, without_secrets

STANDARD = "-"


def is_address(location: str) -> bool:
    """Whether a location is an address rather than a file."""
    return "://" in location


def is_read_once(location: str) -> bool:
    """Whether an input must be copied: standard input, an address, a pipe, a device."""
    if location == STANDARD or is_address(location):
        return True
    path = Path(location)
    return path.exists() and not path.is_file() and not path.is_dir()


def name_of(location: str) -> str:
    """What people call an input: for an address, the address without its secrets."""
    return "standard input" if location == STANDARD else without_secrets(location)


def standard_input() -> BinaryIO:
    """Standard input's bytes. Raises InputError if it is closed."""
    if sys.stdin is None or sys.stdin.closed:
        raise InputError("standard input is closed; name a file instead of -, or give it something with < or |")
    return sys.stdin.buffer


def standard_output() -> BinaryIO:
    """Standard output's bytes. Raises OutputError if it is closed."""
    if sys.stdout is None or sys.stdout.closed:
        raise OutputError("standard output is closed; name a file with --out")
    return sys.stdout.buffer


def copy_input(location: str, copy: Path) -> None:
    """Copy an input that can be read only once. Raises InputError if it cannot be read."""
    with open_own(copy, "wb") as target, _opened(location) as source:
        shutil.copyfileobj(source, target, 2**20)


def exists(location: str) -> bool:
    """Whether a result of this address is there already. Raises OutputError if that cannot be found out."""
    with _own_errors(location, OutputError):
        filesystem, path = _filesystem(location)
        return bool(filesystem.exists(path))


def upload(result: Path, location: str) -> None:
    """Put a result that is whole to an address. Raises OutputError."""
    try:
        filesystem, path = _filesystem(location)
        filesystem.put_file(str(result), path)
    except Exception as error:
        raise OutputError(
            f"the result could not be put to {location}: {_reason(error)}. "
            "All rows are kept: the same command, or one with another --out of this name, only puts it there"
        ) from error


def check_can_upload(location: str) -> None:
    """Raise OutputError, before anything is done, if it is sure by now that nothing can be put to an address."""
    if location.startswith(("http://", "https://")):
        raise OutputError(f"nothing can be put to {location}: web pages are only read; choose another --out")
    with _own_errors(location, OutputError):
        filesystem, path = _filesystem(location)
        if _is_nowhere(filesystem, path):
            raise OutputError(f"nothing can be put to {location}: there is no bucket, repository or folder for it")


def _is_nowhere(filesystem: Any, path: str) -> bool:
    """Whether it is sure that nothing above a path exists, not even a bucket. What is hidden from us may exist."""
    parents = [str(parent) for parent in PurePosixPath(path).parents if parent.name]
    with suppress(Exception):  # a part of a repository's name cannot be asked about
        if not parents or any(filesystem.exists(parent) for parent in parents):
            return False
    try:
        # Stores say "no" of a bucket that the credentials may not look into; its listing says which it is.
        filesystem.ls(parents[0])
    except FileNotFoundError:
        return True
    except Exception:
        return False
    return False


@contextmanager
def _opened(location: str) -> Iterator[BinaryIO]:
    if location == STANDARD:
        yield standard_input()
    elif is_address(location):
        with _own_errors(location, InputError):
            filesystem, path = _filesystem(location)
            with filesystem.open(path, "rb") as file:
                yield file
    else:
        with _own_errors(location, InputError), Path(location).open("rb") as file:
            yield file


def _filesystem(location: str) -> tuple[Any, str]:
    try:
        import fsspec
    except ImportError:
        raise InputError(f"{location} is an address, for which fsspec is needed: pip install 'fsspec[http]'") from None
    filesystem, path = fsspec.core.url_to_fs(location)
    return filesystem, path


@contextmanager
def _own_errors(location: str, kind: type[BatchClientError]) -> Iterator[None]:
    """Turn what a file system's own package raises into an error of ours: they have no base in common."""
    try:
        yield
    except BatchClientError:
        raise
    except FileNotFoundError:
        raise kind(f"{location} does not exist") from None
    except Exception as error:
        raise kind(f"{location}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    return str(error) or type(error).__name__
