"""The shape of what `chutes build` and `chutes deploy` send: the API server's `ChuteArgs` and its form of an image.

Follows the server's `api/chute/schemas.py` in its newest public state, of August 2026. What breaks these is answered
with a 422; what the server's tables check on top is in `platform_rules/refusals.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from platform_rules.gpus import GPUS, LAST_KNOWN_PRICES


def _are_gpus(gpus: list[str] | None) -> list[str] | None:
    if unknown := {gpu.lower() for gpu in gpus or []} - GPUS.keys():
        raise ValueError(f"Invalid GPU identifiers: {unknown}")
    return gpus


Gpus = Annotated[list[str] | None, AfterValidator(_are_gpus)]


class CordArgs(BaseModel):
    """One endpoint."""

    method: str
    path: str
    function: str
    stream: bool
    passthrough: bool | None = False
    public_api_path: str | None = None
    public_api_method: str | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    output_content_type: str | None = None
    minimal_input_schema: dict[str, Any] | None = None


class SelectorArgs(BaseModel):
    """Which GPUs an instance may run on."""

    gpu_count: Annotated[int, Field(ge=1, le=8)] = 1
    min_vram_gb_per_gpu: Annotated[int, Field(ge=16, le=140)] = 16
    max_hourly_price_per_gpu: Annotated[float, Field(gt=0, lt=10)] | None = None
    include: Gpus = None
    exclude: Gpus = None

    def supported_gpus(self, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> set[str]:
        """The GPUs that satisfy it at these prices, by the platform's short names.

        Raises:
            KeyError: a name is in capitals. Its validator accepts that, and the server then fails as this does.
        """
        allowed = set(self.include or GPUS) - set(self.exclude or [])
        cap = self.max_hourly_price_per_gpu
        # A GPU whose price nobody here knows may well be below the cap.
        return {
            gpu
            for gpu in allowed
            if GPUS[gpu].memory_gb >= self.min_vram_gb_per_gpu and (cap is None or prices.get(gpu, 0.0) <= cap)
        }


class ChuteArgs(BaseModel):
    """Body of `POST /chutes/`."""

    name: Annotated[str, StringConstraints(min_length=3, max_length=128)]
    tagline: Annotated[str, Field(max_length=1024)] = ""
    readme: Annotated[str, Field(max_length=16_384)] = ""
    logo_id: str | None = None
    image: str
    public: bool
    code: Annotated[str, Field(max_length=150_000)]
    filename: str
    ref_str: str
    standard_template: str | None = None
    node_selector: SelectorArgs
    cords: list[CordArgs] = []
    jobs: list[Any] = []
    concurrency: Annotated[int, Field(le=256)] | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[a-fA-F0-9]{40}$")] | None = None
    max_instances: Annotated[int, Field(ge=1, le=100)] | None = 1
    scaling_threshold: Annotated[float, Field(ge=0, le=1)] | None = 0.75
    shutdown_after_seconds: Annotated[int, Field(ge=60, le=604_800)] | None = 300
    allow_external_egress: bool | None = False
    encrypted_fs: bool | None = False
    tee: bool | None = False
    lock_modules: bool | None = None


class ImageArgs(BaseModel):
    """Form of `POST /images/`, without the build context."""

    wait: str
    username: str
    name: str
    readme: str
    logo_id: str
    tag: str
    dockerfile: str
    image: str
    public: Literal["False"]
