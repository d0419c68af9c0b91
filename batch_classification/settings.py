"""Settings of the classifier: those of the engine and of a deployment, with a default model of its own."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

from pydantic import AfterValidator, Field, ValidationInfo
from pydantic_settings import SettingsConfigDict

from batch_classification.analysis_list import Analysis, TextPreparation, parse_analyses, parse_preparations
from batch_http.deployment import CHUTE_NAME, DeploymentSettings
from batch_inference.settings import BUNDLED_MODEL, EncoderSettings

CARDIFF_MODEL: Final = "cardiffnlp/twitter-roberta-base-sentiment-latest"
CARDIFF_REVISION: Final = "3216a57f2a0d9c45a2e6c20157c20c49fb4bf9c7"
BUNDLED_MODELS: Final = Path(__file__).resolve().parent.parent / "models"
BUNDLED_MODEL_PATH: Final = BUNDLED_MODELS / "tiny-sentiment"

SENTIMENT: Final = "sentiment"
"""The analysis that `model` names."""


def bundled_folder(analysis: str) -> Path:
    """The folder that `bundled` stands for as the checkpoint of an analysis."""
    return BUNDLED_MODELS / f"tiny-{analysis}"


def bundled_analyses() -> str:
    """All analyses, sentiment apart, that this repository has a model for, as `analyses` lists them."""
    names = sorted(path.name.removeprefix("tiny-") for path in BUNDLED_MODELS.glob("tiny-*"))
    return ",".join(f"{name}={BUNDLED_MODEL}" for name in names if name != SENTIMENT)


def _checked_analyses(value: str) -> str:
    parse_analyses(value, SENTIMENT, bundled_folder)
    return value


def _checked_preparations(value: str, info: ValidationInfo) -> str:
    # Absent if it breaks its own rule.
    analyses = parse_analyses(info.data.get("analyses", ""), SENTIMENT, bundled_folder)
    parse_preparations(value, [analysis.name for analysis in analyses])
    return value


class ClassifierSettings(EncoderSettings, DeploymentSettings):
    """Each field is read from `BATCH_PROCESSOR_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BATCH_PROCESSOR_")

    default_revision = CARDIFF_REVISION
    bundled_model = BUNDLED_MODEL_PATH

    model: str = Field(CARDIFF_MODEL, min_length=1)
    """A hub id, a folder with a checkpoint, or `bundled` for the small model in this repository."""

    text_preparation: TextPreparation = "auto"
    """What the model sees of a text. `tweets` masks handles and links, `none` changes nothing; `auto` masks for models
    that were trained so: Cardiff's, the bundled one, and any whose config.json says `"text_preparation": "tweets"`."""

    analyses: Annotated[str, AfterValidator(_checked_analyses)] = ""
    """Further analyses of the same texts, `NAME=CHECKPOINT[@REVISION],...`, up to 15; `bundled` as a checkpoint is
    models/tiny-NAME. Example: `emotion=cardiffnlp/twitter-roberta-base-emotion,toxicity=/models/toxicity`."""

    analyses_text_preparation: Annotated[str, AfterValidator(_checked_preparations)] = ""
    """What their models see of a text, where `auto` is not right: `NAME=PREPARATION,...`. Example: `emotion=none`."""

    chute_name: str = Field("batch-processor", pattern=CHUTE_NAME)
    """Name of the chute and its image."""

    @property
    def further_analyses(self) -> list[AnalysisSettings]:
        """What `analyses` names, each with the settings that its model is loaded by."""
        analyses = parse_analyses(self.analyses, SENTIMENT, bundled_folder)
        preparations = parse_preparations(self.analyses_text_preparation, [analysis.name for analysis in analyses])
        return [AnalysisSettings.of(self, each, preparations.get(each.name, "auto")) for each in analyses]

    @property
    def analysis_names(self) -> list[str]:
        """What callers may ask for: sentiment first."""
        return [SENTIMENT, *(analysis.name for analysis in self.further_analyses)]

    @property
    def bundled_models(self) -> list[Path]:
        of_analyses = [a.bundled_folder for a in self.further_analyses if a.model == BUNDLED_MODEL]
        return [*super().bundled_models, *of_analyses]


class AnalysisSettings(ClassifierSettings):
    """What the model of a further analysis is loaded by: the service's settings, but for the checkpoint."""

    name: str = ""

    @classmethod
    def of(cls, settings: ClassifierSettings, analysis: Analysis, preparation: TextPreparation) -> AnalysisSettings:
        """Those of an analysis of a service. The environment is not read again."""
        own = {"name": analysis.name, "model": analysis.checkpoint, "revision": analysis.revision}
        none = {"analyses": "", "analyses_text_preparation": ""}
        return cls.model_construct(**dict(settings) | own | none | {"text_preparation": preparation})

    @property
    def bundled_folder(self) -> Path:
        """What `bundled` stands for."""
        return bundled_folder(self.name)

    @property
    def model_source(self) -> str:
        return str(self.bundled_folder) if self.model == BUNDLED_MODEL else self.model

    @property
    def named_model(self) -> str:
        return f"{self.model!r} in {self.variable('analyses')}"
