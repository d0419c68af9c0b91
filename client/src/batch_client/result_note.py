"""A note beside a result that says which service gave its answers: `.scored.csv.batch-client.json`.

`--retry-errors` asks for a part of a result again, which must not get another model's answers unnoticed. The note holds
the result's digest: it says nothing about a file that was changed since.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from batch_client.durable import write_atomically
from batch_client.errors import OutputError
from batch_client.service_identity import ServiceIdentity
from batch_client.survey import sha256_of

_MAX_BYTES = 2**20


def write_note(result: Path, digest: str, services: Sequence[ServiceIdentity]) -> None:
    """Note the services of a result whose content has this SHA-256."""
    note = {"sha256": digest, "services": [dict(service.facts) for service in services]}
    write_atomically(_path(result), json.dumps(note, indent=1).encode() + b"\n")


def services_noted_for(result: Path) -> list[ServiceIdentity] | None:
    """The services of a result; None if they are not known."""
    note = _read(_path(result))
    if note is None or note["sha256"] != sha256_of(result):
        return None
    return [ServiceIdentity(facts) for facts in note["services"]]


def check_note(result: Path) -> None:
    """Raise OutputError if there is a file under the note's name that is none."""
    path = _path(result)
    if path.is_symlink() or (path.exists() and _read(path) is None):
        raise OutputError(f"{path} is in the way of the note beside the result; move it or choose another --out")


def _path(result: Path) -> Path:
    return result.with_name(f".{result.name}.batch-client.json")


def _read(path: Path) -> dict[str, Any] | None:
    try:
        with path.open("rb") as file:
            note = json.loads(file.read(_MAX_BYTES))
        is_note = isinstance(note["sha256"], str) and all(isinstance(facts, dict) for facts in note["services"])
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return note if is_note else None
