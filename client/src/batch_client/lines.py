"""Lines of standard input, as they come: a line that is there is not kept waiting for the next."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from typing import BinaryIO

from batch_client.errors import InputError

_MAX_LINES = 2000
"""Lines that are classified together, if so many are there: enough to keep a service busy."""


def arriving_lines(stream: BinaryIO) -> Iterator[list[str]]:
    """What has come in since the last time, at least a line, without ends of lines. Raises InputError if not UTF-8."""
    lines: queue.Queue[bytes | None] = queue.Queue(maxsize=2 * _MAX_LINES)

    def read() -> None:
        for line in stream:
            lines.put(line)
        lines.put(None)

    threading.Thread(target=read, daemon=True).start()
    number = 0
    is_over = False
    while not is_over:
        waiting = [lines.get()]
        while len(waiting) < _MAX_LINES and not lines.empty():
            waiting.append(lines.get())
        is_over = waiting[-1] is None
        chunk = []
        for line in filter(None, waiting):
            if line == b"\x1a":  # by which DOS ends a file
                continue
            number += 1
            chunk.append(_decoded(line, number))
        if chunk:
            yield chunk


def _decoded(line: bytes, number: int) -> str:
    try:
        return line.decode("utf-8-sig" if number == 1 else "utf-8").removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise InputError(f"standard input, line {number} is not UTF-8; convert it with iconv first") from None
