"""What the client's tests share: a stand-in service over HTTP, and the command run in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from batch_client.cli import app
from scoring import write_rows
from stand_in import Behaviour, Service, serving


@pytest.fixture
def service() -> Iterator[Service]:
    """Address of a stand-in, and the stand-in, whose behaviour a test may change."""
    with serving(Behaviour(hang_s=5.0)) as served:
        yield served


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run `batch-client` with these arguments: exit code, stdout and stderr."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A file of 3,000 rows, in a folder of its own."""
    return write_rows(tmp_path / "in.csv")
