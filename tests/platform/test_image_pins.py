"""The versions in the image are the versions that these tests run with. `tools/check_image_pins.py` does the rest."""

from __future__ import annotations

import importlib.metadata

from packaging.version import Version

from rehearsal.dev_server import ROOT
from rehearsal.image_environment import ALWAYS_THERE, required_distributions
from tools.check_image_pins import canonical, read_pins

REQUIREMENTS = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()


def test_what_is_installed_here_is_what_the_image_gets() -> None:
    pins = read_pins(ROOT / "constraints.txt")
    needed = {canonical(name) for name in required_distributions(REQUIREMENTS)} - ALWAYS_THERE
    assert needed <= pins.keys()
    # A build for CPUs, `2.13.0+cpu`, is the same version.
    installed = {name: Version(importlib.metadata.version(name)).public for name in needed}
    assert installed == {name: pins[name] for name in needed}
