"""Every knob of the embedder: the shared ones, with a default model of its own."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from batch_inference.settings import Settings

MINILM_MODEL = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class EmbedderSettings(Settings):
    """The embedder's settings. Each field is read from `BATCH_EMBEDDER_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BATCH_EMBEDDER_", frozen=True, extra="ignore")

    model: str = Field(MINILM_MODEL, min_length=1)
    """A hub id, or a folder with a checkpoint of sentence-transformers."""

    dimensions: str = Field("", pattern=r"^(\d+(,\d+)*)?$")
    """Lengths that the model was trained to have its vectors cut to (Matryoshka). Example: `64,128,256`. Cutting the
    vectors of a model that was not costs quality, so the default is none."""

    chute_name: str = Field("batch-embedder", pattern=r"^[a-z0-9][a-z0-9_.-]{2,62}$")
    """Name of the chute and its image."""

    @property
    def allowed_dimensions(self) -> list[int]:
        """`dimensions` as a list."""
        return [int(length) for length in self.dimensions.split(",") if length]

    @property
    def pinned_revision(self) -> str | None:
        """The commit to load: as set, or the pin of the default model."""
        return self.revision or (MINILM_REVISION if self.model == MINILM_MODEL else None)
