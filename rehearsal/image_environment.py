"""A Python environment that holds what the image would install, and nothing more.

The packages themselves are the ones installed here, so nothing is downloaded. What must not be seen is what only a
developer has: the test tools, and this repository as an editable install.
"""

from __future__ import annotations

import atexit
import importlib.metadata
import tempfile
import venv
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ALWAYS_THERE = {"pip", "setuptools"}


@lru_cache
def python_with(*requirements: str) -> Path:
    """The Python of an environment with these requirements: made once for this process, and removed at its end."""
    folder = tempfile.TemporaryDirectory(prefix="environment-")
    atexit.register(folder.cleanup)
    # Another user's instance runs in it.
    Path(folder.name).chmod(0o755)
    return create_environment(Path(folder.name), requirements)


def required_distributions(requirements: Sequence[str]) -> set[str]:
    """Names of the distributions that these requirements and, in turn, their own need on this machine.

    Raises:
        importlib.metadata.PackageNotFoundError: one of them is not installed here.
    """
    found: set[tuple[str, str]] = set()
    to_visit = [Requirement(line) for line in requirements]
    while to_visit:
        requirement = to_visit.pop()
        # The empty extra stands for the requirements that no extra asks for.
        for extra in ["", *requirement.extras]:
            node = (canonicalize_name(requirement.name), extra)
            if node in found:
                continue
            found.add(node)
            for line in importlib.metadata.requires(requirement.name) or []:
                needed = Requirement(line)
                if needed.marker is None or needed.marker.evaluate({"extra": extra}):
                    to_visit.append(needed)
    return {name for name, _ in found} | ALWAYS_THERE


def create_environment(folder: Path, requirements: Sequence[str]) -> Path:
    """Make the environment in `folder`; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    (site_packages,) = folder.glob("lib/python*/site-packages")
    for name in required_distributions(requirements):
        if name in ALWAYS_THERE and not _is_installed(name):
            continue
        distribution = importlib.metadata.distribution(name)
        # Scripts and manual pages are outside of site-packages: their paths begin with "..".
        roots = {file.parts[0] for file in distribution.files or [] if file.parts[0] != ".."}
        for root in roots:
            link = site_packages / root
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(root))))
    return folder / "bin" / "python"


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.distribution(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
