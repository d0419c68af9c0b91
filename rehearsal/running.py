"""Starting and stopping instances for tests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rehearsal.alive import AliveProbe
from rehearsal.dev_server import ROOT, wait_until_listening
from rehearsal.ports import free_port
from rehearsal.session import Session
from rehearsal.warm_start import Process, start_program


@dataclass(frozen=True)
class Instance:
    """A running instance, and what the platform knows about it.

    Attributes:
        concurrency: requests at a time, as it was deployed.
        alive: has asked it whether it is alive since before it was up.
    """

    url: str
    process: Process
    session: Session
    cords: list[dict[str, Any]]
    concurrency: int
    alive: AliveProbe

    def num_threads(self) -> int:
        """Threads of the instance's process, as the kernel counts them."""
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="ascii")
        return int(status.split("Threads:")[1].split()[0])


@contextmanager
def running_instance(
    folder: Path, reference: str = "batch_processor:chute", code: Path = ROOT, **environment: str
) -> Iterator[Instance]:
    """Start the chute `reference` of the folder `code` in production mode; logs and such go to `folder`."""
    session, port, logging_port = Session.create(), free_port(), free_port()
    cords_file, log = folder / "cords.json", folder / "log"
    arguments = ["--port", str(port), "--logging-port", str(logging_port), "--cords-file", str(cords_file)]
    environment = {
        "PYTHONPATH": str(ROOT),
        "REHEARSAL_SESSION": session.to_json(),
        "BATCH_PROCESSOR_MODEL": "bundled",
        # Tests repeat their texts to make work.
        "BATCH_PROCESSOR_ANSWER_CACHE_MIB": "0",
        "TOKENIZERS_PARALLELISM": "false",
        **environment,
    }
    with AliveProbe(logging_port) as alive:
        process = start_program("rehearsal.instance", [reference, *arguments], code, environment, log)
        try:
            wait_until_listening(port, process, log)
            known = json.loads(cords_file.read_text(encoding="utf-8"))
            yield Instance(f"http://127.0.0.1:{port}", process, session, known["cords"], known["concurrency"], alive)
        finally:
            process.kill()
            process.wait()
