"""What the platform's API server requires of a deployed chute: its `ChuteArgs`, and the checks of its tables."""

from __future__ import annotations

import ast
import re
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, Field, StringConstraints


def _is_python(code: str) -> str:
    try:
        ast.parse(code)
    except SyntaxError as error:
        raise ValueError(f"invalid code submitted: {error}") from error
    return code


def _is_not_tee(name: str) -> str:
    if "TEE" in name or name.lower().endswith("tee"):
        raise ValueError("avoid using 'TEE' in the chute name")
    return name


ChuteName = Annotated[
    str,
    StringConstraints(min_length=3, max_length=127, pattern=r"^(?:([a-zA-Z0-9_.-]+)/)*([a-zA-Z0-9][a-zA-Z0-9_./-]*)$"),
    AfterValidator(_is_not_tee),
]
InternalPath = Annotated[str, StringConstraints(pattern=r"^(/[a-zA-Z][a-zA-Z0-9_]*)+$")]
PublicPath = Annotated[str, StringConstraints(pattern=r"^(/[a-zA-Z][a-zA-Z0-9_-]*)+$")]


class CordRules(BaseModel):
    """One endpoint."""

    method: str
    path: InternalPath
    function: str
    stream: bool
    passthrough: bool = False
    public_api_path: PublicPath | None = None
    public_api_method: Literal["GET", "POST"] | None = None
    input_schema: dict[str, Any] | None = None
    output_schema: dict[str, Any] | None = None
    output_content_type: str | None = None
    minimal_input_schema: dict[str, Any] | None = None


class NodeSelectorRules(BaseModel):
    """Which GPUs an instance may run on."""

    gpu_count: Annotated[int, Field(ge=1, le=8)]
    min_vram_gb_per_gpu: Annotated[int, Field(ge=16, le=140)]
    max_hourly_price_per_gpu: Annotated[float, Field(gt=0, lt=10)] | None = None
    include: list[str] | None = None
    exclude: Annotated[list[str], Field(max_length=5)] | None = None


class ChuteRules(BaseModel):
    """Body of `POST /chutes/`."""

    name: ChuteName
    tagline: Annotated[str, Field(max_length=1024)] = ""
    readme: Annotated[str, Field(max_length=16_384)] = ""
    logo_id: str | None = None
    image: str
    public: Literal[False]
    """Public chutes need a permission that users no longer get."""

    code: Annotated[str, Field(max_length=150_000), AfterValidator(_is_python)]
    filename: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*\.py$")]
    ref_str: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$")]
    standard_template: Literal["vllm", "diffusion", "tei", "embedding"] | None = None
    node_selector: NodeSelectorRules
    cords: Annotated[list[CordRules], Field(min_length=1)]
    jobs: Annotated[list[Any], Field(max_length=0)]
    """A chute has cords or jobs, not both."""

    concurrency: Annotated[int, Field(ge=0, le=256)] | None = None
    revision: Annotated[str, StringConstraints(pattern=r"^[a-fA-F0-9]{40}$")] | None = None
    max_instances: Annotated[int, Field(ge=1, le=100)] = 1
    scaling_threshold: Annotated[float, Field(ge=0, le=1)] = 0.75
    shutdown_after_seconds: Annotated[int, Field(ge=60, le=604_800)] = 300
    allow_external_egress: bool | None = False
    encrypted_fs: bool | None = False
    tee: Literal[False] | None = False
    lock_modules: bool | None = None


class ImageRules(BaseModel):
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


SHELL_REDIRECT = re.compile(r"^RUN pip install.*\s[^'\"\s]+[<>]=?[^'\"\s]*", re.MULTILINE)
"""`pip install numpy>=1.24` writes a file named `=1.24`: not the server's rule, but nobody's intention."""
