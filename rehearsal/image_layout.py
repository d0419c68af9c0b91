"""From an uploaded Dockerfile and build context to the instance's files, environment variables and packages.

Understands the directives that `image.py` may use; anything else fails, so that nobody relies on what is not rehearsed.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import zipfile
from dataclasses import dataclass
from pathlib import Path

from rehearsal.image_environment import python_with
from rehearsal.instance_user import command_prefix

BASE_USER = "chutes"
MAKE_FOLDER = re.compile(r"mkdir -p (/\S+) && chown (\d+):(\d+) (/\S+)")
PIP_INSTALL = re.compile(r"pip install --no-cache-dir -r (/app/\S+) -c (/app/\S+)")


@dataclass(frozen=True)
class LaidOutImage:
    """An image without a container.

    Attributes:
        app: its `/app`.
        python: runs in what it installed.
        environment: its environment variables.
    """

    app: Path
    python: Path
    environment: dict[str, str]


def lay_out_image(dockerfile: str, build_context: bytes, folder: Path) -> LaidOutImage:
    """Follow the Dockerfile in an empty folder. What ADD makes belongs to this process's user: root, as in Docker."""
    context, root = folder / "context", folder / "root"
    with zipfile.ZipFile(io.BytesIO(build_context)) as archive:
        archive.extractall(context)
    environment: dict[str, str] = {}
    python, user = None, BASE_USER
    for line in dockerfile.splitlines():
        directive, _, arguments = line.partition(" ")
        match directive:
            case "FROM":
                assert arguments == "parachutes/python:3.12", line
            case "ENV":
                name, _, value = arguments.partition("=")
                environment[name] = _unquoted(value)
            case "USER":
                user = arguments
            case "ADD":
                source, destination = arguments.split()
                _add(context, source, root, destination)
            case "RUN" if found := MAKE_FOLDER.fullmatch(arguments):
                assert user == "root", f"{user} may not: {line}"
                assert found[1] == found[4], line
                made = root / found[1].lstrip("/")
                made.mkdir(parents=True)
                if command_prefix():
                    os.chown(made, int(found[2]), int(found[3]))
            case "RUN":
                assert user == BASE_USER, f"the base's pip is not root's: {line}"
                found = PIP_INSTALL.fullmatch(arguments)
                assert found, f"not rehearsed: {line}"
                requirements = (root / found[1].lstrip("/")).read_text(encoding="utf-8").split()
                assert (root / found[2].lstrip("/")).is_file()
                python = python_with(*requirements)
            case _:
                raise AssertionError(f"not rehearsed: {line}")
    assert python, "the image installs nothing"
    return LaidOutImage(root / "app", python, environment)


def _unquoted(value: str) -> str:
    """A variable's value as Docker reads it: bare, or in double quotes with backslashes before what is special."""
    if re.fullmatch(r"[^\s\"'\\$]+", value):
        return value
    quoted = re.fullmatch(r'"((?:[^"\\$]|\\["\\$])*)"', value)
    assert quoted, f"Docker would not read this as one value: {value}"
    return re.sub(r"\\(.)", r"\1", quoted[1])


def _add(context: Path, source: str, root: Path, destination: str) -> None:
    """Docker's ADD: into a folder if the destination ends in a slash; a folder's contents, not the folder."""
    matches = sorted(context.glob(source))
    assert matches, f"{source} is not in the build context"
    assert len(matches) == 1 or destination.endswith("/"), f"{source} is several files: {destination} needs a slash"
    target = root / destination.lstrip("/")
    for match in matches:
        if match.is_dir():
            shutil.copytree(match, target, dirs_exist_ok=True)
            continue
        file = target / match.name if destination.endswith("/") else target
        file.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(match, file)
