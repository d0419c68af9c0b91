"""Which service a run's answers come from: noted in the run's folder, and compared whenever answers are made safe."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from batch_client.async_client import AsyncClient
from batch_client.durable import open_own, write_atomically
from batch_client.errors import OutputError
from batch_client.journal import SERVICES
from batch_client.service_identity import ServiceIdentity


class ServedBy:
    """The services of one run, in the order in which they were met.

    Attributes:
        services: all of them.
        is_known: whether the service said what it is when it was asked last.

    Args:
        folder: of the run; a run that was begun there is continued.
        before: the services whose answers the run starts out with.
        accepts_change: whether another service may go on where one has begun.
    """

    def __init__(self, folder: Path, before: Sequence[ServiceIdentity], accepts_change: bool) -> None:
        self.services = noted_services(folder) or list(before)
        self.is_known = False
        self._current = self.services[-1] if self.services else None
        self._path = folder / SERVICES
        self._accepts_change = accepts_change

    async def confirm(self, client: AsyncClient) -> None:
        """Ask the service what it is. Its answers up to now are of the last of `services` if this returns.

        Raises:
            OutputError: it is another one than before.
            ServiceError: it is not to be reached.
        """
        found = await client.identity()
        self.is_known = found is not None
        if found == self._current:
            return
        if self._current is not None and not self._accepts_change:
            raise OutputError(
                f"{client.options.url} is another service now ({found or 'it does not say which'}) than the one that "
                f"gave the answers so far ({self._current}). Pass --start-over to ask it about all rows, or "
                "--accept-model-change to have answers of both in the result"
            )
        self._current = found
        if found is not None and found not in self.services:
            self.services.append(found)
            write_atomically(self._path, as_json(self.services))


def noted_services(folder: Path) -> list[ServiceIdentity]:
    """The services of the run in a folder, as far as it has met any. Raises OutputError if the note is damaged."""
    path = folder / SERVICES
    if not path.exists():
        return []
    with open_own(path, "rb") as file:
        services = parse_services(file.read())
    if services is None:
        raise OutputError(f"the unfinished run in {folder} is damaged; pass --start-over to discard it")
    return services


def as_json(services: Sequence[ServiceIdentity]) -> bytes:
    """A note of services."""
    return json.dumps([dict(service.facts) for service in services], indent=1).encode()


def parse_services(note: bytes) -> list[ServiceIdentity] | None:
    """The services of a note; None if it is none."""
    try:
        found = json.loads(note)
    except ValueError:
        return None
    if not isinstance(found, list) or not all(isinstance(facts, dict) for facts in found):
        return None
    return [ServiceIdentity(facts) for facts in found]
