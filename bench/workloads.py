"""The traffic patterns: who sends how many texts at a time, of which kind, and how many in one measured run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Literal

TextKind = Literal["tweets", "mixed"]


@dataclass(frozen=True)
class Workload:
    """Clients that each send their next request as soon as the last one is answered.

    Attributes:
        name: as in tables and options.
        clients: requests in flight at any time.
        texts_per_request: texts in each.
        kind: which texts.
        num_texts: texts in one measured run, by model: the small model needs more for a run of the same length. A run
            of fewer requests than clients has only as many in flight.
    """

    name: str
    clients: int
    texts_per_request: int
    kind: TextKind
    num_texts: Mapping[str, int]

    def requests(self, texts: list[str]) -> list[list[str]]:
        """The texts as requests."""
        size = self.texts_per_request
        return [texts[start : start + size] for start in range(0, len(texts), size)]

    def scaled(self, factor: float) -> Workload:
        """The same with fewer or more texts a run, still whole requests and at least one."""
        size = self.texts_per_request
        scaled = {name: max(1, round(count * factor / size)) * size for name, count in self.num_texts.items()}
        return replace(self, num_texts=MappingProxyType(scaled))


WORKLOADS = {
    workload.name: workload
    for workload in (
        Workload("tweets-8x100", 8, 100, "tweets", MappingProxyType({"bundled": 1600, "roberta-base": 800})),
        Workload("tweets-64x1", 64, 1, "tweets", MappingProxyType({"bundled": 640, "roberta-base": 256})),
        Workload("mixed-8x100", 8, 100, "mixed", MappingProxyType({"bundled": 800, "roberta-base": 400})),
        Workload("trickle", 1, 1, "tweets", MappingProxyType({"bundled": 64, "roberta-base": 32})),
    )
}
