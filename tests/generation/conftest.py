"""A generator of two random layers, in process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from batch_generation.generator import Generator
from batch_generation.settings import GeneratorSettings
from rehearsal.random_checkpoints import save_random_generator


@pytest.fixture(scope="session")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without a chat template, so that a prompt has as many tokens as bytes."""
    return save_random_generator(tmp_path_factory.mktemp("generator"), is_chat=False)


@pytest.fixture(scope="session")
def generator(checkpoint: Path) -> Iterator[Generator]:
    settings = GeneratorSettings(
        model=str(checkpoint), device="cpu", cache_tokens=8192, max_batch_tokens=512, max_queued_tokens=20_000
    )
    generator = Generator.start(settings)
    yield generator
    generator.close()
