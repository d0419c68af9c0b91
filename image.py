"""The CUDA image, every file that a chute needs in it (`chutes deploy` uploads the chute's own file alone), and the
machines that it runs on.
"""

from __future__ import annotations

import glob
import hashlib
import re
from pathlib import Path
from typing import Any

from chutes.chute import NodeSelector
from chutes.image import Image

from batch_http.deployment import DeploymentSettings

VERSION = "0.1.0"
BASE_IMAGE = "parachutes/python:3.12"
"""The base that the platform's own documentation recommends: CUDA 12, Python 3.12, and pip on the PATH."""

BASE_USER = "chutes"
"""Who builds in that base, and has its pip on the PATH."""

INSTANCE_USER = "1000:1000"
"""User and group of an instance; in the image they may have other names."""

QUEUE_PATIENCE_S = 5.0
"""On the platform a 429 of an instance's own keeps others from it: it says so only after a while."""

PACKAGES = {"requirements.txt": "/app/requirements.txt", "constraints.txt": "/app/constraints.txt"}
CODE = {
    "batch_inference/*.py": "/app/batch_inference/",
    "batch_inference/forward/*.py": "/app/batch_inference/forward/",
    "batch_http/*.py": "/app/batch_http/",
    "batch_http/server/*.py": "/app/batch_http/server/",
    "image.py": "/app/image.py",
}
"""What every chute needs."""


def build_image(settings: DeploymentSettings, *modules: str) -> Image:
    """Describe the image. What changes rarely comes first, so that a rebuild after an edit installs nothing anew.

    `modules` are the packages (`batch_embedding`) and files (`schemas.py`) that this chute needs besides `CODE`.

    Files are found relative to the current folder: run `chutes build` from the folder that holds this file.
    """
    files = bundled_models(settings) | CODE
    for module in modules:
        files |= {module: f"/app/{module}"} if module.endswith(".py") else {f"{module}/*.py": f"/app/{module}/"}
    variables = baked_variables(settings)
    image = Image(
        username=settings.username, name=settings.chute_name, tag=content_tag([*PACKAGES, *files], variables)
    ).from_base(BASE_IMAGE)
    image.with_env("TOKENIZERS_PARALLELISM", "false")
    # ADD would make it root's, but the SDK writes the chute's file there as the instance's user.
    image.set_user("root")
    image.run_command(f"mkdir -p /app && chown {INSTANCE_USER} /app")
    image.set_user(BASE_USER)
    _add(image, PACKAGES)
    image.run_command("pip install --no-cache-dir -r /app/requirements.txt -c /app/constraints.txt")
    for name, value in variables.items():
        image.with_env(name, _quoted(value))
    _add(image, files)
    return image


def bundled_models(settings: DeploymentSettings) -> dict[str, str]:
    """The files of the bundled models that are served."""
    folders = [f"models/{path.name}" for path in settings.bundled_models]
    return {f"{folder}/*": f"/app/{folder}/" for folder in folders}


def placement(settings: DeploymentSettings) -> dict[str, Any]:
    """Arguments of `Chute` about its machines: which, how many, for how long, and how many requests at a time."""
    return {
        "node_selector": NodeSelector(
            gpu_count=settings.gpu_count,
            include=settings.gpus,
            max_hourly_price_per_gpu=settings.max_hourly_price,
        ),
        "tee": settings.tee,
        "concurrency": settings.concurrency,
        "max_instances": settings.max_instances,
        "scaling_threshold": settings.scaling_threshold,
        "shutdown_after_seconds": settings.shutdown_after_seconds,
    }


def baked_variables(settings: DeploymentSettings) -> dict[str, str]:
    """Environment variables of the instance: one set on the deployer's machine is unknown to it unless it is here.

    An instance whose GPU cannot be used, because its driver is older than torch wants, does not start: left alone, it
    would serve on its CPU at the price of a GPU.
    """
    values = {"device": "cuda", "queue_patience_s": QUEUE_PATIENCE_S} | {
        name: getattr(settings, name) for name in sorted(settings.model_fields_set)
    }
    return {settings.variable(name): str(value) for name, value in values.items()}


def content_tag(sources: list[str], variables: dict[str, str]) -> str:
    """The image's tag: another one whenever what is in the image would be another.

    The platform refuses a tag that it has. And a chute cannot be deployed on an image that was built before an edit.
    """
    digest = hashlib.sha256(repr(sorted(variables.items())).encode())
    for path in sorted(path for source in sources for path in glob.glob(source)):
        digest.update(f"{path} {Path(path).stat().st_size}\n".encode() + Path(path).read_bytes())
    return f"{VERSION}-{digest.hexdigest()[:12]}"


def _add(image: Image, files: dict[str, str]) -> None:
    for source, destination in files.items():
        image.add(source, destination)


def _quoted(value: str) -> str:
    """A value as a Dockerfile takes it; the SDK writes it there as it is."""
    if re.fullmatch(r"[\w./:@+-]+", value):
        return value
    return '"' + re.sub(r'(["\\$])', r"\\\1", value) + '"'
