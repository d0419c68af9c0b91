"""Settings of a model and of the engine that runs it. The environment is read here only, for every kind of settings."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import Field, NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from batch_inference.errors import SettingsError

BUNDLED_MODEL = "bundled"

Precision = Literal["auto", "float32", "bfloat16", "float16", "int8"]


class ChuteSettings(BaseSettings):
    """Settings that are read from the environment: each field from the prefix of its kind plus its name in capitals."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")

    @classmethod
    def env_prefix(cls) -> str:
        """What the names of these settings' environment variables begin with."""
        return str(cls.model_config["env_prefix"])

    @classmethod
    def variable(cls, field: str) -> str:
        """The name of a field's environment variable."""
        return cls.env_prefix() + field.upper()


class ModelSettings(ChuteSettings):
    """What is loaded, where and how exactly; and how much of it at a time.

    Attributes:
        default_revision: the pinned commit of the default model on the hub.
        bundled_model: the folder in this repository that `bundled` stands for, if this chute has one.
    """

    default_revision: ClassVar[str | None] = None
    bundled_model: ClassVar[Path | None] = None

    model: str = Field(min_length=1)
    """A hub id, a folder with a checkpoint, or `bundled` for a small model in this repository, if the chute has one."""

    revision: str | None = None
    """Commit of the model on the hub. The default model is pinned; another one needs its own pin, or gets `main`."""

    device: Literal["auto", "cpu", "cuda"] = "auto"
    """`auto` takes the GPU if there is one."""

    precision: Precision = "auto"
    """Arithmetic of the forward pass. `auto` is float16 on a GPU and float32 on a CPU; `int8` is for CPUs only."""

    max_batch_tokens: Literal["auto"] | PositiveInt = "auto"
    """Tokens in one forward pass, padding included. Example: 2048 is 64 tweets padded to 32 tokens."""

    gpu_memory_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the GPU's memory this process may take; a pass that would need more is split."""

    max_queued_tokens: PositiveInt = 524_288
    """Tokens that may wait or run; a request beyond it gets a 429. Large requests may have 7/8 of them: by default nine
    with 100 texts of 500 tokens."""

    queue_patience_s: NonNegativeFloat = 0.0
    """Seconds that a request beyond `max_queued_tokens` waits for its turn before it gets its 429. The image says 5,
    because the platform takes an instance that answers 429 for full, and sends it about one request at a time."""

    @property
    def model_source(self) -> str:
        """What `from_pretrained` takes: a hub id or a path."""
        return str(self.bundled_model) if self.model == BUNDLED_MODEL and self.bundled_model else self.model

    @property
    def named_model(self) -> str:
        """How messages name the model."""
        return f"{self.variable('model')}={self.model!r}"

    @property
    def bundled_models(self) -> list[Path]:
        """The folders of this repository that are served."""
        return [self.bundled_model] if self.model == BUNDLED_MODEL and self.bundled_model else []

    @property
    def is_default_model(self) -> bool:
        """Whether no other model was set."""
        return bool(self.model == type(self).model_fields["model"].default)

    @property
    def pinned_revision(self) -> str | None:
        """The commit to load: as set, or the pin of the default model."""
        return self.revision or (self.default_revision if self.is_default_model else None)

    @property
    def is_published_model(self) -> bool:
        """Whether the model is one that this repository names, so that it is known what it answers."""
        return self.is_default_model or self.model == BUNDLED_MODEL


class EncoderSettings(ModelSettings):
    """What the engine of encoders has besides."""

    forward: Literal["auto", "packed", "padded"] = "auto"
    """How a pass is computed. `packed` is without padding, `padded` is transformers' own; `auto` is packed where the
    model allows it and where that proved itself at start-up against the other, in answers and speed."""

    cuda_graphs: bool = True
    """Whether a GPU's passes are captured at start-up and replayed by one call each, if a replay gives the same there.
    Without padding only; false launches each call by call."""

    pass_timeout_s: PositiveFloat = 30.0
    """Seconds after which a GPU that ends no forward pass is taken for lost: its callers get an error, and the process
    exits with 70, so that the platform starts another. A pass takes some 10 ms."""

    window_stride: Annotated[float, Field(gt=0, le=1)] = 0.75
    """How far a window of a long text starts after the one before it, as a share of the window's tokens."""

    answer_cache_mib: NonNegativeInt = 16
    """MiB of recent answers that are kept for texts that come again; 0 keeps none, and runs every text. Example: 16
    MiB hold some 50,000 tweets, or 8,000 embeddings of 384 numbers."""


SettingsT = TypeVar("SettingsT", bound=ChuteSettings)


def load_settings(kind: type[SettingsT], **overrides: Any) -> SettingsT:
    """Read the environment for a chute's kind of settings; `overrides` win over it.

    Raises:
        SettingsError: one sentence that names the variable, its value and what it may be. A variable with the kind's
            prefix that is none of its settings is refused, too: it would silently do nothing.
    """
    _refuse_unknown(kind)
    try:
        return kind(**overrides)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        variable = kind.variable(str(problem["loc"][0]))
        # A union reports one problem per member: say them all.
        rules = [p["msg"] for p in error.errors(include_url=False) if p["loc"][0] == problem["loc"][0]]
        raise SettingsError(f"{variable}={str(problem['input'])!r} is not valid: {' or: '.join(rules)}.") from None


def _refuse_unknown(kind: type[ChuteSettings]) -> None:
    known = [kind.variable(field) for field in kind.model_fields]
    for name in sorted(os.environ):
        if name.upper().startswith(kind.env_prefix()) and name.upper() not in known:
            [closest] = difflib.get_close_matches(name.upper(), known, 1, cutoff=0.0)
            raise SettingsError(f"{name} is not a setting of this chute; unset it, or set {closest}.")
