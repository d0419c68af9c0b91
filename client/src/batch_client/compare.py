"""The public example's comparison: twenty individual requests against one batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from statistics import median
from uuid import uuid4

from batch_client.async_client import AsyncClient
from batch_client.errors import InputError

_WARM_UP_ROUNDS = 1


@dataclass(frozen=True)
class Work:
    """What the service did for one side: forward passes, and texts that it answered from its cache."""

    num_passes: int
    num_cache_hits: int

    def __str__(self) -> str:
        return f"{self.num_passes:,} passes and {self.num_cache_hits:,} cache hits"


@dataclass(frozen=True)
class Comparison:
    """Median seconds for as many texts in individual requests, all sent at once, and in one batch.

    `work` says what the service did for each side in all rounds together; None if it does not say.
    """

    num_texts: int
    individual_s: float
    batch_s: float
    work: str | None

    @property
    def speed_up(self) -> float:
        """How many times faster the batch is."""
        return self.individual_s / self.batch_s


async def compare(client: AsyncClient, num_texts: int, rounds: int) -> Comparison:
    """Time both ways in turn, `rounds` times after a warm-up, with texts that the service has never seen.

    Raises:
        ServiceError: the service is not to be reached or refuses access.
        TextsFailedError: the service refuses one of the texts.
    """

    async def individually(texts: Sequence[str]) -> None:
        await asyncio.gather(*(client.classify_single(text) for text in texts))

    async def together(texts: Sequence[str]) -> None:
        await client.classify(texts)

    singles, batches = [], []
    for _ in range(_WARM_UP_ROUNDS + rounds):
        singles.append(await _measured(client, individually, num_texts))
        batches.append(await _measured(client, together, num_texts))
    return Comparison(
        num_texts,
        median(elapsed_s for elapsed_s, _ in singles[_WARM_UP_ROUNDS:]),
        median(elapsed_s for elapsed_s, _ in batches[_WARM_UP_ROUNDS:]),
        _described([work for _, work in singles[_WARM_UP_ROUNDS:]], [work for _, work in batches[_WARM_UP_ROUNDS:]]),
    )


def fresh_texts(number: int) -> list[str]:
    """Texts of the same length that no cache holds."""
    return [f"Sample text for testing {uuid4().hex[:12]}" for _ in range(number)]


async def _measured(
    client: AsyncClient, ask: Callable[[Sequence[str]], Awaitable[None]], num_texts: int
) -> tuple[float, Work | None]:
    texts = fresh_texts(num_texts)
    before = await _work_so_far(client)
    started = time.perf_counter()
    await ask(texts)
    elapsed_s = time.perf_counter() - started
    after = await _work_so_far(client)
    if before is None or after is None or after.num_passes < before.num_passes:  # another instance answered
        return elapsed_s, None
    return elapsed_s, Work(after.num_passes - before.num_passes, after.num_cache_hits - before.num_cache_hits)


async def _work_so_far(client: AsyncClient) -> Work | None:
    try:
        stats = await client.stats()
    except InputError:  # a protocol without statistics
        return None
    passes, hits = (getattr(stats, name, None) for name in ("forward_passes", "cache_hits"))
    return Work(passes, hits) if isinstance(passes, int) and isinstance(hits, int) else None


def _described(singles: Sequence[Work | None], batches: Sequence[Work | None]) -> str | None:
    sides = []
    for works in (singles, batches):
        known = [work for work in works if work is not None]
        if len(known) < len(works):
            return None
        sides.append(Work(sum(work.num_passes for work in known), sum(work.num_cache_hits for work in known)))
    rounds = f"{len(singles)} round{'s' if len(singles) > 1 else ''}"
    return f"In {rounds}: {sides[0]} individually, {sides[1]} in batches"
