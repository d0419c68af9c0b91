"""The server's choice among a chute's instances, by its own count of their requests: its `LeastConnManager`.

The count is the server's, not the instance's. A request is refused by it without asking the instance; an instance's own
429 sets it to the concurrency, and only a 200's `X-Chutes-Conn-Used` sets it right again. So after one 429 by an
instance about one request at a time gets through until a 200 comes back.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from rehearsal.health import InstanceHealth
from rehearsal.session import Session

CLIENT_ADDRESS = "127.0.0.2"
"""The SDK takes 127.0.0.1 for a health check and lets it pass unencrypted."""

CONNECT_TIMEOUT_S = 10.0
WRITE_TIMEOUT_S = 30.0
"""For one write to the connection. Over HTTP/2 a body that its window holds up waits for reading instead."""

POOL_TIMEOUT_S = 10.0

NO_TARGET = "No infrastructure available to serve request"
OVERLOAD = "Infrastructure is at maximum capacity, try again later"


class ServedInstance(Protocol):
    """What the server knows of an instance."""

    @property
    def url(self) -> str: ...
    @property
    def session(self) -> Session: ...
    @property
    def cords(self) -> list[dict[str, Any]]: ...
    @property
    def concurrency(self) -> int: ...


@dataclass(eq=False)
class Target:
    """An instance with the server's connection to it, and what the server makes of it.

    Attributes:
        num_counted: requests in flight, by the server's own count.
    """

    instance: ServedInstance
    client: httpx.AsyncClient
    health: InstanceHealth
    num_counted: int = 0

    def reported(self, headers: Mapping[str, str]) -> None:
        """The instance has answered 200, and says how many requests it has."""
        if used := headers.get("X-Chutes-Conn-Used"):
            self.num_counted = int(used)

    @contextmanager
    def counted(self) -> Iterator[None]:
        self.num_counted += 1
        try:
            yield
        finally:
            self.num_counted = max(0, self.num_counted - 1)


@dataclass
class Targets:
    """A chute's instances.

    Attributes:
        overshoots: requests overtake the count, as those of a burst do: reading and raising it are two steps.
    """

    concurrency: int
    targets: list[Target] = field(default_factory=list)
    overshoots: bool = False

    @property
    def existing(self) -> list[Target]:
        return [target for target in self.targets if not target.health.is_deleted]

    def choose(self, avoid: Sequence[Target]) -> Target | str:
        """An instance to send a request to, or why there is none: `OVERLOAD` is a 429, anything else a 500."""
        candidates = [target for target in self.existing if target not in avoid]
        if not candidates:
            return NO_TARGET
        least = min(target.num_counted for target in candidates)
        if least >= self.concurrency and not self.overshoots:
            return OVERLOAD
        near = [target for target in candidates if target.num_counted <= least + 2]
        far = [target for target in candidates if target.num_counted > least + 2]
        ordered = random.sample(near, len(near)) + random.sample(far, len(far))
        return next((target for target in ordered if target.health.is_available), OVERLOAD)


def client_of(
    instance: ServedInstance, http2: bool, read_timeout_s: float, write_timeout_s: float
) -> httpx.AsyncClient:
    """The server's connection to an instance: see `Gateway.http2`."""
    transport = getattr(instance, "transport", None) or httpx.AsyncHTTPTransport(
        http1=not http2,
        http2=http2,
        limits=httpx.Limits() if http2 else httpx.Limits(max_keepalive_connections=0),
        local_address=CLIENT_ADDRESS,
    )
    timeout = httpx.Timeout(connect=CONNECT_TIMEOUT_S, read=read_timeout_s, write=write_timeout_s, pool=POOL_TIMEOUT_S)
    return httpx.AsyncClient(base_url=instance.url, transport=transport, timeout=timeout)
