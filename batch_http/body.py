"""Receives a request's body within bounds of memory and time."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Receive, Scope

from batch_http.refusals import INVALID_REQUEST, Refused

MAX_JSON_BYTES = 16 * 2**20
"""100 texts of 10,000 characters outside the basic plane, escaped, are 12 MB."""

MAX_WIRE_BYTES = MAX_JSON_BYTES * 3 // 2
"""In production a body comes compressed, encrypted and in base64, which adds a third to what cannot be compressed."""

MAX_BYTES_AT_ONCE = 256 * 2**20
"""Of all bodies that are being received or worked on."""

SMALL_BODY_BYTES, BYTES_FOR_SMALL = 64 * 1024, 32 * 2**20
"""A body that has no more is a small one, and a part of that memory is for small ones only."""

MAX_DISCARDED_BYTES = 256 * 2**20
"""A body that is too large is received to its end, and thrown away, if that is not further than this: most clients
read no answer before they have sent all. The platform passes on 128 MiB."""

GRACE_S = 30.0
MIN_BYTES_PER_S = 8 * 1024
"""A body has half a minute, and a second more for each 8 KiB that has come. Half a minute of silence ends it."""

MAX_PIECES = 4096
MIN_BYTES_PER_PIECE = 256
"""A body may come in so many pieces, and one more for each 256 bytes. A piece costs the server 25 microseconds, so that
pieces of a byte would take its time as fast as their sender can send them."""

NO_ROOM = "too many large requests at once; try again in 1 s"


class ClientLeft(Exception):
    """The client hung up before its request was complete."""


@dataclass
class BodyBudget:
    """Bytes that the bodies of all requests hold together."""

    num_bytes: int = 0

    @contextmanager
    def share(self) -> Iterator[BodyShare]:
        """One request's part of it, given back at the end of the block."""
        share = BodyShare(self)
        try:
            yield share
        finally:
            share.give_back()


@dataclass
class BodyShare:
    """One request's part of the budget."""

    budget: BodyBudget
    num_bytes: int = 0

    def take(self, num_bytes: int) -> bool:
        """Take some more; whether there was enough."""
        is_small = self.num_bytes + num_bytes <= SMALL_BODY_BYTES
        if self.budget.num_bytes + num_bytes > MAX_BYTES_AT_ONCE - (0 if is_small else BYTES_FOR_SMALL):
            return False
        self.budget.num_bytes += num_bytes
        self.num_bytes += num_bytes
        return True

    def give_back(self) -> None:
        """Give all of it back."""
        self.budget.num_bytes -= self.num_bytes
        self.num_bytes = 0


async def receive_body(
    receive: Receive, scope: Scope, share: BodyShare, max_bytes: int, refusal: Refused | None = None
) -> bytes:
    """Receive a whole body.

    Args:
        receive: the request's channel.
        scope: the request.
        share: of the memory for bodies.
        max_bytes: the largest that is received; the rest of a larger one is thrown away.
        refusal: what the request gets in any case, once all of it has been received.

    Raises:
        ClientLeft: the client hung up.
        Refused: as given, or it is larger than `max_bytes`, comes too slowly, or does not fit beside the other
            requests' bodies.
    """
    chunks: list[bytes] = []
    num_bytes = num_pieces = 0
    if header(scope, b"transfer-encoding") and header(scope, b"content-length"):
        # RFC 9112, section 6.3: what stands in between may have believed the other, and taken this for two requests.
        msg = "the request has both Content-Length and Transfer-Encoding; send one of them"
        raise Refused(INVALID_REQUEST, 400, msg, is_whole=False, problem="ambiguous_length")
    if _content_length(scope) > MAX_DISCARDED_BYTES:
        raise too_large(max_bytes, is_whole=False)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + GRACE_S
    try:
        async with asyncio.timeout_at(deadline) as timeout:
            while True:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientLeft
                chunk = message.get("body", b"")
                num_bytes += len(chunk)
                num_pieces += 1
                if num_pieces > MAX_PIECES + num_bytes // MIN_BYTES_PER_PIECE:
                    msg = f"the body comes in too many pieces: {num_bytes} bytes in {num_pieces}; send larger ones"
                    raise Refused(INVALID_REQUEST, 400, msg, is_whole=False, problem="too_many_pieces")
                if refusal is None and num_bytes > max_bytes:
                    refusal = too_large(max_bytes)
                if refusal is None and not share.take(len(chunk)):
                    refusal = Refused("busy", 429, NO_ROOM, {"retry-after": "1"})
                if refusal:
                    chunks.clear()
                    share.give_back()
                else:
                    chunks.append(chunk)
                if not message.get("more_body", False):
                    break
                if num_bytes > MAX_DISCARDED_BYTES:
                    raise too_large(max_bytes, is_whole=False)
                timeout.reschedule(min(deadline + num_bytes / MIN_BYTES_PER_S, loop.time() + GRACE_S))
    except TimeoutError:
        msg = f"the body did not arrive in time: {num_bytes} bytes came in {loop.time() - deadline + GRACE_S:.0f} s"
        raise Refused("slow_body", 400, msg, is_whole=False) from None
    if refusal:
        raise refusal
    return b"".join(chunks)


def too_large(max_bytes: int, is_whole: bool = True) -> Refused:
    """The refusal of a body of more than `max_bytes`."""
    msg = f"the body has more than {max_bytes} bytes; split it into several requests"
    return Refused(INVALID_REQUEST, 400, msg, is_whole=is_whole, problem="body_too_large")


def _content_length(scope: Scope) -> int:
    value = header(scope, b"content-length")
    return int(value) if value.isdigit() else 0


def header(scope: Scope, name: bytes) -> bytes:
    """The value of a request's header, its name in lower case; empty if there is none."""
    return next((value for key, value in scope["headers"] if key == name), b"")
