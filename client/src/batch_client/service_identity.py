"""What answers at an address: a run is known by it, for an address may be given to another model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class ServiceIdentity:
    """All that a service says of itself and that changes its answers, by name: its model, the revision and so on."""

    facts: Mapping[str, str]

    def __str__(self) -> str:
        return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in self.facts.items())


def identity_from(**facts: Any) -> ServiceIdentity | None:
    """The identity with these facts; those that are None are not known. None if nothing is."""
    known = {name: str(value) for name, value in facts.items() if value is not None}
    return ServiceIdentity(known) if known else None


def listed_services(services: Sequence[ServiceIdentity]) -> str:
    """Services in the order in which they answered, for people."""
    return ", then by ".join(map(str, services))
