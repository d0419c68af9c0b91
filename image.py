"""The CUDA image, and every file that the chute needs in it: `chutes deploy` uploads `batch_processor.py` alone."""

from __future__ import annotations

from chutes.image import Image

from batch_inference.settings import BUNDLED_MODEL, ENV_PREFIX, Settings

IMAGE_TAG = "0.1.0"
BASE_IMAGE = "parachutes/python:3.12"
"""The base that the platform's own documentation recommends: CUDA 12, Python 3.12, and pip on the PATH."""


def build_image(settings: Settings) -> Image:
    """Describe the image. What changes rarely comes first, so that a rebuild after an edit installs nothing anew.

    `add` finds its files relative to the current folder: run `chutes build` from the folder that holds this file.
    """
    image = (
        Image(username=settings.username, name=settings.chute_name, tag=IMAGE_TAG)
        .from_base(BASE_IMAGE)
        .with_env("TOKENIZERS_PARALLELISM", "false")
        .with_env("HF_HOME", "/app/.cache/huggingface")
        .add("requirements.txt", "/app/requirements.txt")
        .add("constraints.txt", "/app/constraints.txt")
        .run_command("pip install --no-cache-dir -r /app/requirements.txt -c /app/constraints.txt")
    )
    # A variable set on the deployer's machine is unknown to the instance unless it is baked in.
    for name in sorted(settings.model_fields_set):
        image.with_env(f"{ENV_PREFIX}{name.upper()}", str(getattr(settings, name)))
    if settings.model == BUNDLED_MODEL:
        image.add("models/tiny-sentiment/*", "/app/models/tiny-sentiment/")
    return (
        image.add("batch_inference/*.py", "/app/batch_inference/")
        .add("batch_http/*.py", "/app/batch_http/")
        .add("schemas.py", "/app/schemas.py")
        .add("image.py", "/app/image.py")
    )
