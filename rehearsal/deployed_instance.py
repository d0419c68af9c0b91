"""An instance made of nothing but what was uploaded: the image laid out, and the deployed file over it."""

from __future__ import annotations

import atexit
import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

import httpx

from rehearsal.dev_server import wait_until_listening
from rehearsal.forge import UploadedImage
from rehearsal.image_layout import LaidOutImage, lay_out_image
from rehearsal.instance_user import command_prefix, give, write_as_user
from rehearsal.ports import free_port
from rehearsal.warm_start import READ_WHEN_IMPORTED, Process, WarmPython


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
    arguments = ["run", chute["ref_str"], "--dev", "--host", "127.0.0.1"]
    arguments += ["--port", str(port), "--logging-port", str(free_port())]
    process = _start(arguments, laid_out, laid_out.environment | environment, log)
    try:
        wait_until_listening(port, process, log)
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=120) as client:
            yield client
    finally:
        process.kill()
        process.wait()
        assert not list(laid_out.app.rglob("*.pyc"))


def _start(arguments: list[str], image: LaidOutImage, environment: dict[str, str], log: Path) -> Process:
    """Run the SDK's command with these variables over those of the platform's, and none of the deployer's."""
    variables = _variables_of_the_platform() | environment
    if not any(name.startswith(READ_WHEN_IMPORTED) for name in environment):
        return _warm_python(image.python).start("chutes.cli", arguments, image.app, variables, log)
    command = [*command_prefix(), str(image.python), "-m", "chutes.cli", *arguments]
    with log.open("wb") as output:
        return subprocess.Popen(command, cwd=image.app, env=variables, stdout=output, stderr=subprocess.STDOUT)


@lru_cache
def _warm_python(python: Path) -> WarmPython:
    """One of the instance's user, with what the image installs."""
    return WarmPython([*command_prefix(), str(python)], _variables_of_the_platform())


@lru_cache
def _variables_of_the_platform() -> dict[str, str]:
    home = tempfile.TemporaryDirectory(prefix="instance-")
    atexit.register(home.cleanup)
    return {
        "PATH": os.environ["PATH"],
        # No more threads than the tests' own processes have.
        **{name: value for name, value in os.environ.items() if name.startswith("OMP_")},
        "CHUTES_EXECUTION_CONTEXT": "REMOTE",
        "HF_HOME": str(give(Path(home.name) / "cache")),
        "HOME": str(give(Path(home.name))),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
