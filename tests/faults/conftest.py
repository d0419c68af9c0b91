"""Servers with faults that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.dev_server import Server, running_server

FOLDER = Path(__file__).resolve().parent


@pytest.fixture(scope="session")
def faulty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with the faults of `faulty_processor.py`."""
    with running_server(tmp_path_factory.mktemp("faulty") / "log", "faulty_processor:chute", FOLDER) as server:
        yield server


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The service with less patience for slow readers: `impatient_processor.py`."""
    with running_server(tmp_path_factory.mktemp("impatient") / "log", "impatient_processor:chute", FOLDER) as server:
        yield server
