"""Settings of the generator: those of a model and of a deployment, and those that only generation has."""

from __future__ import annotations

from typing import Annotated, Final, Literal

from pydantic import Field, PositiveInt
from pydantic_settings import SettingsConfigDict

from batch_http.deployment import CHUTE_NAME, NamedModelSettings

QWEN_MODEL: Final = "Qwen/Qwen2.5-0.5B-Instruct"
QWEN_REVISION: Final = "7ae557604adf67be50417f59c2c2f167def9a775"


class GeneratorSettings(NamedModelSettings):
    """Each field is read from `BATCH_GENERATOR_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix="BATCH_GENERATOR_")

    default_revision = QWEN_REVISION

    model: str = Field(QWEN_MODEL, min_length=1)
    """A hub id, or a folder with a checkpoint of a causal language model."""

    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """Arithmetic. `auto` is bfloat16 on a GPU, the dtype that instruct models are trained in, and float32 on a CPU."""

    max_batch_tokens: PositiveInt = 1024
    """Tokens in one step. Each answer being written takes one; the rest goes to prompts, cut where they do not fit."""

    cache_tokens: Annotated[int, Field(ge=1024)] = 65_536
    """Tokens whose keys and values are kept, of all prompts and answers being worked on. Example: the default model
    takes 12 KiB for each in bfloat16, 0.8 GB in all. One prompt and its answer may take half of them."""

    chute_name: str = Field("batch-generator", pattern=CHUTE_NAME)
    """Name of the chute and its image."""
