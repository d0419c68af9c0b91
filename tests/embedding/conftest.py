"""The embedder with the real weights of its default model, from a package, in process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from batch_embedding.head import EmbeddingHead
from batch_embedding.recipe import Recipe
from batch_embedding.settings import EmbedderSettings
from batch_inference.engine import Engine
from rehearsal.chutes import CHUTES


@pytest.fixture(scope="session")
def settings() -> EmbedderSettings:
    return EmbedderSettings(model=CHUTES["batch_embedder"].bundled_model(), device="cpu", precision="float32")


@pytest.fixture(scope="session")
def embedder(settings: EmbedderSettings) -> Iterator[Engine]:
    engine = Engine.start(settings, EmbeddingHead(Recipe.read(settings)))
    yield engine
    engine.close()
