"""Packed streams one behind another, as bzip2, xz and Zstandard have them, read to the last byte of the file.

Python's own readers take what follows a stream for the end of the file if it is no sound stream: its rows would be
lost without a word.
"""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import BinaryIO, Protocol

from batch_client.errors import InputError

_CHUNK_BYTES = 64 * 1024
MAX_GROWTH, HARMLESS_BYTES = 1000, 2**30
"""A file may grow to a GiB, or to a thousand times its size."""


class Decompressor(Protocol):
    """What `bz2`, `lzma` and `zstd` call so: of one stream."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class StreamsReader(io.RawIOBase):
    """The content of all streams of a file. Raises what the decompressor does, EOFError, and InputError for a bomb."""

    def __init__(self, file: BinaryIO, decompressor: Callable[[], Decompressor]) -> None:
        self._file = file
        self._new = decompressor
        self._stream = decompressor()
        self._num_bytes = 0
        self._most_bytes = max(HARMLESS_BYTES, MAX_GROWTH * os.fstat(file.fileno()).st_size)

    def readable(self) -> bool:
        """It is."""
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        """Fill the buffer, or a part of it; 0 at the end of the file."""
        content = b""
        while not content:
            if self._stream.eof:
                packed = self._next_start()
                if not packed:
                    return 0
                self._stream = self._new()
            elif self._stream.needs_input:
                packed = self._file.read(_CHUNK_BYTES)
                if not packed:
                    raise EOFError("the file ends within a stream")
            else:
                packed = b""
            content = self._stream.decompress(packed, len(buffer))
        self._num_bytes += len(content)
        if self._num_bytes > self._most_bytes:
            raise InputError(
                f"the input grows to more than {self._num_bytes / 2**30:.1f} GiB when it is unpacked, "
                f"{MAX_GROWTH} times its size; if that is meant, unpack it first"
            )
        buffer[: len(content)] = content
        return len(content)

    def _next_start(self) -> bytes:
        """The first bytes behind a stream and its padding of zeros; none at the end of the file."""
        found = self._stream.unused_data.lstrip(b"\0")
        while not found and (packed := self._file.read(_CHUNK_BYTES)):
            found = packed.lstrip(b"\0")
        return found
