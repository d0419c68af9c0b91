"""Every knob of the service: its environment variable, default and meaning. The environment is read here only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, overload

from pydantic import Field, NonNegativeInt, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from batch_inference.errors import SettingsError

CARDIFF_MODEL = "cardiffnlp/twitter-roberta-base-sentiment-latest"
CARDIFF_REVISION = "3216a57f2a0d9c45a2e6c20157c20c49fb4bf9c7"
BUNDLED_MODEL = "bundled"
BUNDLED_MODEL_PATH = Path(__file__).resolve().parent.parent / "models" / "tiny-sentiment"

ENV_PREFIX = "BATCH_PROCESSOR_"

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]


class Settings(BaseSettings):
    """The service's settings. Each field is read from `BATCH_PROCESSOR_` plus its name in upper case."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, frozen=True, extra="ignore")

    model: str = Field(CARDIFF_MODEL, min_length=1)
    """A hub id, a folder with a checkpoint, or `bundled` for the small model in this repository."""

    revision: str | None = None
    """Commit of the model on the hub. The default model is pinned; another one needs its own pin, or gets `main`."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU if there is one."""

    precision: Precision = "auto"
    """Arithmetic of the forward pass. `auto` is float16 on a GPU and float32 on a CPU; `int8` is for CPUs only."""

    forward: Literal["auto", "packed", "padded"] = "auto"
    """How a pass is computed. `packed` is without padding, `padded` is transformers' own; `auto` is packed where the
    model allows it and where that proved itself at start-up against the other, in answers and speed."""

    max_batch_tokens: Literal["auto"] | PositiveInt = "auto"
    """Tokens in one forward pass, padding included. Example: 2048 is 64 tweets padded to 32 tokens."""

    gpu_memory_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the GPU's memory this process may take; a pass that would need more is split."""

    max_queued_tokens: PositiveInt = 524_288
    """Tokens that may wait or run; a request beyond it gets a 429. The default holds ten of the largest requests."""

    window_stride: Annotated[float, Field(gt=0, le=1)] = 0.75
    """How far a window of a long text starts after the one before it, as a share of the window's tokens."""

    answer_cache_mib: NonNegativeInt = 16
    """MiB of recent answers that are kept for texts that come again; 0 keeps none, and runs every text. Example: 16
    MiB hold some 60,000 tweets that came in hundreds, or 8,000 that came alone."""

    username: str = Field("myuser", pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    """Owner of the chute and its image on chutes.ai."""

    chute_name: str = Field("batch-processor", pattern=r"^[a-z0-9][a-z0-9_.-]{2,62}$")
    """Name of the chute and its image."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 64
    """Requests one instance works on at a time; the platform answers 429 to one more."""

    max_instances: Annotated[int, Field(ge=1, le=100)] = 1
    """How many instances the platform may start."""

    # What the platform accepts of the following changes several times a year. The defaults are what it asked for in
    # November 2026: `platform_rules/refusals.py` has the rules, `make preflight` applies them.

    tee: bool = True
    """Run in a trusted execution environment. The platform takes no other chutes."""

    gpu: str = Field("pro_6000", pattern=r"^\w+(,\w+)*$")
    """GPUs an instance may run on, by the platform's short names. Example: `pro_6000,h200`."""

    gpu_count: Annotated[int, Field(ge=1, le=8)] = 1
    """GPUs of an instance. The service uses one."""

    max_hourly_price: Annotated[float, Field(gt=0, lt=10)] | None = None
    """Dollars an hour that a GPU may cost; unset, there is no cap."""

    shutdown_after_seconds: Annotated[int, Field(ge=60, le=604_800)] = 600
    """How long an instance is kept, and paid for, after its last request. A cold start takes minutes, so the default is
    about the length of a slow one: callers who come back sooner never wait, and idling costs 30 cents at most."""

    scaling_threshold: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Another instance starts once requests in flight exceed this share of the concurrency."""

    @classmethod
    def env_prefix(cls) -> str:
        """What the names of these settings' environment variables begin with."""
        return str(cls.model_config["env_prefix"])

    @classmethod
    def variable(cls, field: str) -> str:
        """The name of a field's environment variable."""
        return cls.env_prefix() + field.upper()

    @property
    def gpus(self) -> list[str]:
        """`gpu` as a list."""
        return self.gpu.split(",")

    @property
    def model_source(self) -> str:
        """What `from_pretrained` takes: a hub id or a path."""
        return str(BUNDLED_MODEL_PATH) if self.model == BUNDLED_MODEL else self.model

    @property
    def pinned_revision(self) -> str | None:
        """The commit to load: as set, or the pin of the default model."""
        return self.revision or (CARDIFF_REVISION if self.model == CARDIFF_MODEL else None)


SettingsT = TypeVar("SettingsT", bound=Settings)


@overload
def load_settings(**overrides: Any) -> Settings: ...
@overload
def load_settings(kind: type[SettingsT], **overrides: Any) -> SettingsT: ...
def load_settings(kind: type[Settings] = Settings, **overrides: Any) -> Settings:
    """Read the environment for a chute's kind of settings; `overrides` win over it.

    Raises:
        SettingsError: one sentence that names the variable, its value and what it may be.
    """
    try:
        return kind(**overrides)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        variable = kind.variable(str(problem["loc"][0]))
        # A union reports one problem per member: say them all.
        rules = [p["msg"] for p in error.errors(include_url=False) if p["loc"][0] == problem["loc"][0]]
        raise SettingsError(f"{variable}={str(problem['input'])!r} is not valid: {' or: '.join(rules)}.") from None
