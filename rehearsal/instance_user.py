"""The user that an instance runs as: on the platform user and group 1000, who may read everything and write little.

Taking another user needs root and `setpriv`, of util-linux. Elsewhere an instance runs as the tests' user, and
the tests about what it may write skip.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from pathlib import Path

import pytest

USER = 1000
"""User and group."""


@lru_cache
def command_prefix() -> tuple[str, ...]:
    """What to put before a command so that it runs as the instance's user; empty where that cannot be."""
    setpriv = shutil.which("setpriv")
    if not setpriv or os.getuid() != 0:
        return ()
    # Reading is allowed everywhere: in an image it would be, but here the Python may lie in root's own folder.
    capability = ["--inh-caps", "+dac_read_search", "--ambient-caps", "+dac_read_search"]
    prefix = (setpriv, "--reuid", str(USER), "--regid", str(USER), "--clear-groups", *capability)
    works = subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0
    return prefix if works else ()


def need_another_user() -> None:
    """Skip the test where instances cannot run as another user."""
    if not command_prefix():
        pytest.skip("running as another user needs root, and setpriv with its capabilities")


def give(folder: Path) -> Path:
    """Make a folder that belongs to the instance's user."""
    folder.mkdir(parents=True, exist_ok=True)
    if command_prefix():
        os.chown(folder, USER, USER)
    return folder


def write_as_user(file: Path, text: str) -> None:
    """Write a file as the instance's user.

    Raises:
        PermissionError: the user may not.
    """
    command = [*command_prefix(), "tee", str(file)]
    done = subprocess.run(
        command, input=text, text=True, check=False, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    if done.returncode:
        raise PermissionError(f"user {USER} may not write {file}: {done.stderr.strip()}")
