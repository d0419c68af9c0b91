"""Settings of the classifier: those of the engine and of a deployment, with a default model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Final, Literal

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from batch_http.deployment import CHUTE_NAME, DeploymentSettings
from batch_inference.settings import EncoderSettings

CARDIFF_MODEL: Final = "cardiffnlp/twitter-roberta-base-sentiment-latest"
CARDIFF_REVISION: Final = "3216a57f2a0d9c45a2e6c20157c20c49fb4bf9c7"
BUNDLED_MODEL_PATH: Final = Path(__file__).resolve().parent.parent / "models" / "tiny-sentiment"


class ClassifierSettings(EncoderSettings, DeploymentSettings):
    """Each field is read from `BATCH_PROCESSOR_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BATCH_PROCESSOR_")

    default_revision = CARDIFF_REVISION
    bundled_model = BUNDLED_MODEL_PATH

    model: str = Field(CARDIFF_MODEL, min_length=1)
    """A hub id, a folder with a checkpoint, or `bundled` for the small model in this repository."""

    text_preparation: Literal["auto", "tweets", "none"] = "auto"
    """What the model sees of a text. `tweets` masks handles and links, `none` changes nothing; `auto` masks for models
    that were trained so: Cardiff's, the bundled one, and any whose config.json says `"text_preparation": "tweets"`."""

    chute_name: str = Field("batch-processor", pattern=CHUTE_NAME)
    """Name of the chute and its image."""
