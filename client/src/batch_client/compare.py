"""The public example's comparison: twenty individual requests against one batch."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from batch_client.async_client import AsyncClient

_WARM_UP_ROUNDS = 1


@dataclass(frozen=True)
class Comparison:
    """Median seconds for the same texts in individual requests, all sent at once, and in one batch."""

    num_texts: int
    individual_s: float
    batch_s: float

    @property
    def speed_up(self) -> float:
        """How many times faster the batch is."""
        return self.individual_s / self.batch_s


async def compare(client: AsyncClient, texts: Sequence[str], rounds: int) -> Comparison:
    """Time both ways in turn, `rounds` times after a warm-up.

    Raises:
        ServiceError: the service is not to be reached or refuses access.
        TextsFailedError: the service refuses one of the texts.
    """
    individual_s, batch_s = [], []
    for _ in range(_WARM_UP_ROUNDS + rounds):
        started = time.perf_counter()
        await asyncio.gather(*(client.classify_single(text) for text in texts))
        between = time.perf_counter()
        await client.classify(texts)
        individual_s.append(between - started)
        batch_s.append(time.perf_counter() - between)
    return Comparison(len(texts), median(individual_s[_WARM_UP_ROUNDS:]), median(batch_s[_WARM_UP_ROUNDS:]))
