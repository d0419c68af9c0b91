"""Settings of the embedder: those of the engine and of a deployment, with a default model of its own."""

from __future__ import annotations

from typing import Final

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from batch_http.deployment import CHUTE_NAME, NamedModelSettings
from batch_inference.settings import EncoderSettings

MINILM_MODEL: Final = "sentence-transformers/all-MiniLM-L6-v2"
MINILM_REVISION: Final = "c9745ed1d9f207416be6d2e6f8de32d1f16199bf"


class EmbedderSettings(EncoderSettings, NamedModelSettings):
    """Each field is read from `BATCH_EMBEDDER_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BATCH_EMBEDDER_")

    default_revision = MINILM_REVISION

    model: str = Field(MINILM_MODEL, min_length=1)
    """A hub id, or a folder with a checkpoint of sentence-transformers."""

    dimensions: str = Field("", pattern=r"^(\d+(,\d+)*)?$")
    """Lengths that the model was trained to have its vectors cut to (Matryoshka). Example: `64,128,256`. Cutting the
    vectors of a model that was not costs quality, so the default is none."""

    chute_name: str = Field("batch-embedder", pattern=CHUTE_NAME)
    """Name of the chute and its image."""

    @property
    def allowed_dimensions(self) -> list[int]:
        """`dimensions` as a list."""
        return [int(length) for length in self.dimensions.split(",") if length]
