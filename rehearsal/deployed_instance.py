"""An instance made of nothing but what was uploaded: the image laid out, and the deployed file over it."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx

from rehearsal.dev_server import wait_until_listening
from rehearsal.forge import UploadedImage
from rehearsal.image_layout import lay_out_image
from rehearsal.instance_user import command_prefix, give, write_as_user
from rehearsal.ports import free_port


@contextmanager
def instance_of(
    image: UploadedImage, chute: dict[str, Any], folder: Path, without: str = "-", **environment: str
) -> Iterator[httpx.Client]:
    """Start an instance as the platform would, but in dev mode; `without` is the start of directives to leave out.

    Raises:
        PermissionError: the instance's user may not write the chute's file.
        AssertionError: with its log, if it does not start.
    """
    dockerfile = "\n".join(line for line in image.dockerfile.splitlines() if not line.startswith(without))
    laid_out = lay_out_image(dockerfile, image.build_context, folder)
    # The SDK writes the deployed file, last of all and over whatever the image has.
    write_as_user(laid_out.app / chute["filename"], chute["code"])
    port, log = free_port(), folder / "log"
    command = [*command_prefix(), str(laid_out.python), "-m", "chutes.cli", "run", chute["ref_str"], "--dev"]
    command += ["--host", "127.0.0.1", "--port", str(port), "--logging-port", str(free_port())]
    # As the platform starts it: the image's variables, its own over them, and none of the deployer's.
    environment = {
        "PATH": os.environ["PATH"],
        **laid_out.environment,
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
        "HF_HOME": str(give(folder / "cache")),
        "HOME": str(give(folder / "home")),
        "PYTHONDONTWRITEBYTECODE": "1",
        **environment,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=laid_out.app, env=environment, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_until_listening(port, process, log)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
                yield client
        finally:
            process.kill()
            process.wait()
            assert not list(laid_out.app.rglob("*.pyc"))
