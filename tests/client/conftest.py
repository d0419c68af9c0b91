"""What the client's tests share: a stand-in service over HTTP, and the command run in process."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from click.testing import Result
from typer.testing import CliRunner

from batch_client.cli import app
from tests.client.stand_in import Behaviour, StandIn, serving

FAST: dict[str, Any] = {"backoff_s": 0.01, "max_backoff_s": 0.05, "timeout_s": 2.0, "patience_s": 20.0}
"""Options that make retries quick; what happens is the same."""

Service = tuple[str, StandIn]


@pytest.fixture
def service() -> Iterator[Service]:
    """Address of a stand-in, and the stand-in, whose behaviour a test may change."""
    with serving(Behaviour(hang_s=5.0)) as served:
        yield served


@pytest.fixture
def run() -> Callable[..., Result]:
    """Run `batch-client` with these arguments: exit code, stdout and stderr."""
    return lambda *arguments: CliRunner().invoke(app, [str(argument) for argument in arguments])
