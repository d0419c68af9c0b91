"""Which files of a run of several are finished: what the same command need not do again.

The run works beside its folder of results: `scored.partial/finished.jsonl` for `--out scored`. A file is noted when it
is begun, and again when its result has its name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from batch_client.durable import open_own, sync, sync_folder
from batch_client.failures import Failed
from batch_client.journal import FINISHED
from batch_client.service_identity import ServiceIdentity


@dataclass(frozen=True)
class FinishedFile:
    """What a finished file was scored as, and what came of it. `job` is `Job.identity`."""

    job: Mapping[str, object]
    num_rows: int
    num_failed: int
    failures: Mapping[str, Failed]
    services: Sequence[ServiceIdentity]


class FinishedFiles:
    """The note of one run, in its folder, which must be locked to write. Files are known by where their results go."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / FINISHED
        self._begun: set[str] = set()
        self._finished: dict[str, FinishedFile] = {}
        self._num_bytes = 0
        if not self._path.exists():
            return
        with open_own(self._path, "rb") as file:
            for line in file:
                if line.endswith(b"\n"):  # a torn last line was not known to be safe
                    self._take(json.loads(line))
                    self._num_bytes += len(line)

    def __bool__(self) -> bool:
        return bool(self._begun)

    def is_begun(self, out: str) -> bool:
        """Whether the run has begun with the file, so that a result which is there is its own."""
        return out in self._begun

    def get(self, out: str) -> FinishedFile | None:
        """What came of a file; None if it is not finished, or its result is gone."""
        return self._finished.get(out) if Path(out).is_file() else None

    def begin(self, out: str) -> None:
        """Note that a file is begun, durably."""
        self._note({"begun": out})

    def finish(self, out: str, file: FinishedFile) -> None:
        """Note that a file is finished, durably."""
        self._note({"finished": out, **asdict(file)})

    def _note(self, event: dict[str, Any]) -> None:
        self._take(event)
        with open_own(self._path, "ab") as file:
            file.truncate(self._num_bytes)
            self._num_bytes += file.write(json.dumps(event).encode() + b"\n")
            sync(file)
        sync_folder(self._path.parent)

    def _take(self, event: dict[str, Any]) -> None:
        if "begun" in event:
            self._begun.add(event["begun"])
            return
        self._finished[event["finished"]] = FinishedFile(
            event["job"],
            event["num_rows"],
            event["num_failed"],
            {kind: Failed(**failed) for kind, failed in event["failures"].items()},
            [ServiceIdentity(service["facts"]) for service in event["services"]],
        )
