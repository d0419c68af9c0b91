"""Streams of JSON lines that every reader of lines can read, in few writes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import orjson
from pydantic import BaseModel

from batch_http.responses import Json

MAX_LINE_BYTES = 64 * 1024 - 1
"""Stock line readers give up on longer lines: aiohttp's at 128 KiB, asyncio's at 64 KiB."""

MAX_WRITES = 60
"""The SDK buffers 64 writes. A stream that is abandoned with more to write blocks its thread until the process ends."""

_LINE_ENDS = ("\u0085", "\u2028", "\u2029")


def json_line(event: Json | BaseModel) -> bytes:
    """One event as JSON that ends in a line feed, and is one line to every reader.

    Many readers, Python's `str.splitlines` and httpx' `iter_lines` among them, also end a line at U+0085, U+2028 and
    U+2029. These are escaped; they can only be within a string.
    """
    content = event.model_dump_json().encode() if isinstance(event, BaseModel) else orjson.dumps(event)
    for character in _LINE_ENDS:
        content = content.replace(character.encode(), b"\\u%04x" % ord(character))
    return content + b"\n"


def in_few_writes(lines: Iterable[tuple[bytes, bool]]) -> Iterator[bytes]:
    """Join lines into writes.

    Args:
        lines: each with whether it ends a write. What is left at the end is the last write.
    """
    waiting: list[bytes] = []
    for line, ends_write in lines:
        waiting.append(line)
        if ends_write:
            yield b"".join(waiting)
            waiting.clear()
    if waiting:
        yield b"".join(waiting)
