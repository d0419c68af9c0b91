"""The shape of what `chutes build` and `chutes deploy` send: the API server's `ChuteArgs`, and its tables' checks.

Follows the server's `api/chute/schemas.py` in its newest public state, of August 2026. Where its patterns ignore case,
these do.
"""

from __future__ import annotations

import ast
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from platform_rules.gpus import GPUS

RESERVED_PATHS = frozenset({"/evidence", "/hf_info"})


def _is_python(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise ValueError(f"Invalid code submited: {error}") from error
    return code


def _is_not_reserved(path: str) -> str:
    if path.casefold() in RESERVED_PATHS:
        raise ValueError(f"Reserved canonical Chute path cannot be used as a Cord: {path}")
    return path


def _are_gpus(gpus: list[str] | None) -> list[str] | None:
    if unknown := {gpu.lower() for gpu in gpus or []} - GPUS.keys():
        raise ValueError(f"Invalid GPU identifiers: {unknown}")
    return gpus


Gpus = Annotated[list[str] | None, AfterValidator(_are_gpus)]
ChuteName = Annotated[
    str,
    StringConstraints(min_length=3, max_length=127, pattern=r"^(?:([a-zA-Z0-9_.-]+)/)*([a-zA-Z0-9][a-zA-Z0-9_./-]*)$"),
]
InternalPath = Annotated[str, StringConstraints(pattern=r"^(/[a-zA-Z][a-zA-Z0-9_]*)+$")]
PublicPath = Annotated[
    str, StringConstraints(pattern=r"^(/[a-zA-Z][a-zA-Z0-9_-]*)+$"), AfterValidator(_is_not_reserved)
]


class CordArgs(BaseModel):
    """One endpoint."""

    method: str
    path: InternalPath
    function: str
    stream: bool
    passthrough: bool = False
    public_api_path: PublicPath | None = None
    public_api_method: Literal["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"] | None = None
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

    @property
    def supported_gpus(self) -> set[str]:
        """The GPUs that satisfy it, by the platform's short names."""
        allowed = {gpu.lower() for gpu in self.include or GPUS} - {gpu.lower() for gpu in self.exclude or []}
        cap = self.max_hourly_price_per_gpu
        return {
            gpu
            for gpu in allowed
            if GPUS[gpu].memory_gb >= self.min_vram_gb_per_gpu and (cap is None or GPUS[gpu].dollars_per_hour <= cap)
        }


class ChuteArgs(BaseModel):
    """Body of `POST /chutes/`."""

    name: ChuteName
    tagline: Annotated[str, Field(max_length=1024)] = ""
    readme: Annotated[str, Field(max_length=16_384)] = ""
    logo_id: str | None = None
    image: str
    public: bool
    code: Annotated[str, Field(max_length=150_000), AfterValidator(_is_python)]
    filename: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.py$")]
    ref_str: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$")]
    standard_template: Literal["vllm", "diffusion", "tei", "embedding"] | None = None
    node_selector: SelectorArgs
    cords: list[CordArgs] = []
    jobs: list[Any] = []
    concurrency: Annotated[int, Field(ge=0, le=256)] | None = None
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
