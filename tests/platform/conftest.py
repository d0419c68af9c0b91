"""Instances that the tests of this folder share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rehearsal.running import Instance, running_instance


@pytest.fixture(scope="session")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The chute in production mode, with its default concurrency of 64."""
    with running_instance(tmp_path_factory.mktemp("instance")) as running:
        yield running


@pytest.fixture(scope="session")
def narrow_instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """The chute with a concurrency of 8: its limit is soon reached, and so are its 9 threads."""
    folder = tmp_path_factory.mktemp("narrow")
    with running_instance(folder, BATCH_PROCESSOR_CONCURRENCY="8") as running:
        yield running
