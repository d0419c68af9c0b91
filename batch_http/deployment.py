"""Settings of a deployment: whose chute it is, and the machines that the platform runs it on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from batch_inference.settings import ModelSettings

CHUTE_NAME = r"^[a-z0-9][a-z0-9_.-]{2,62}$"


class DeploymentSettings(ModelSettings):
    """What the platform needs to know of a chute, besides its model."""

    username: str = Field("myuser", pattern=r"^[a-zA-Z0-9_.-]{1,64}$")
    """Owner of the chute and its image on chutes.ai."""

    chute_name: str = Field(pattern=CHUTE_NAME)
    """Name of the chute and its image."""

    concurrency: Annotated[int, Field(ge=1, le=256)] = 64
    """Requests one instance works on at a time; the platform counts them itself, and answers 429 to one more."""

    max_instances: Annotated[int, Field(ge=1, le=100)] = 1
    """How many instances the platform may start."""

    # What the platform accepts of the following changes several times a year. The defaults are what it asked for in
    # November 2026: `platform_rules/refusals.py` has the rules, `make preflight` applies them.

    tee: bool = True
    """Run in a trusted execution environment. The platform takes no other chutes."""

    gpu: Annotated[str, StringConstraints(pattern=r"^\w+(,\w+)*$", to_lower=True)] = "pro_6000"
    """GPUs an instance may run on, by the platform's short names, in any case. Example: `pro_6000,h200`."""

    gpu_count: Annotated[int, Field(ge=1, le=8)] = 1
    """GPUs of an instance. The service uses one."""

    max_hourly_price: Annotated[float, Field(gt=0, lt=10)] | None = None
    """Dollars an hour that a GPU may cost; unset, there is no cap."""

    shutdown_after_seconds: Annotated[int, Field(ge=60, le=604_800)] = 600
    """How long an instance is kept, and paid for, after its last request. A cold start took 17 to 97 minutes where it
    was measured: callers who come back within this time never wait for one. With the default, idling costs 30 cents."""

    scaling_threshold: Annotated[float, Field(gt=0, le=1)] = 0.75
    """Another instance starts once requests in flight exceed this share of the concurrency."""

    cors_origins: str = Field("", pattern=r"^(\*|https?://[^,/]+(,https?://[^,/]+)*)?$")
    """Web pages that a browser lets call the chute in `make run`, by their origins, or `*` for all; the platform has
    rules of its own. Example: `http://localhost:3000`."""

    @property
    def gpus(self) -> list[str]:
        """`gpu` as a list."""
        return self.gpu.split(",")

    @property
    def allowed_origins(self) -> list[str]:
        """`cors_origins` as a list."""
        return [origin for origin in self.cors_origins.split(",") if origin]


class NamedModelSettings(DeploymentSettings):
    """Those of a chute whose callers name its model, as OpenAI's clients do."""

    served_as: str = ""
    """Name of the model that callers see and may send; by default that of `model`. Example: the hub's, of a folder."""

    @property
    def served_name(self) -> str:
        """The name that callers see."""
        return self.served_as or self.model

    @property
    def served_names(self) -> list[str]:
        """All names that callers may send: some clients leave out whose model it is."""
        return [self.served_name, self.served_name.rsplit("/", 1)[-1]]
