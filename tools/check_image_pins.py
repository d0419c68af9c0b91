"""Check that what the image installs exists, fits together and is pinned.

Lets the resolvers of pip and of uv plan the image's own installation, dry, on a CPython 3.12 on Linux x86-64, as the
base image has it: what is called `pip` there is uv. Needs that Python on this machine and the package index; may
download about 3 GB, which it does not keep. Exits with 1 if anything is wrong, or if the two plan differently.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYTHON_VERSION = "3.12"
PIP_VERSION = "26.3"
UV = "uv>=0.9"
FILES = ["-r", str(ROOT / "requirements.txt"), "-c", str(ROOT / "constraints.txt")]


def canonical(name: str) -> str:
    """A package's name as the index compares it."""
    return re.sub(r"[-_.]+", "-", name).lower()


def read_pins(path: Path) -> dict[str, str]:
    """Version by canonical name, from lines such as `torch==2.13.0`."""
    lines = path.read_text(encoding="utf-8").split()
    return {canonical(name): version for name, _, version in (line.partition("==") for line in lines)}


def plan_with_pip(python: Path) -> dict[str, str]:
    """What pip would install with this Python of an empty environment: version by canonical name.

    Raises:
        subprocess.CalledProcessError: a version does not exist, or two do not fit together; pip has said so.
    """
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "--quiet"]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.json")
        options = ["--dry-run", "--ignore-installed", "--no-cache-dir", "--report", str(report)]
        subprocess.run([*pip, "install", *options, *FILES], check=True)
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    return {canonical(each["metadata"]["name"]): each["metadata"]["version"] for each in installs}


def plan_with_uv(python: Path) -> dict[str, str]:
    """What uv would install with this Python of an empty environment: version by canonical name.

    Raises:
        subprocess.CalledProcessError: a version does not exist, or two do not fit together; uv has said so.
    """
    command = [str(python), "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate", "--no-cache"]
    done = subprocess.run(
        [*command, "--python", str(python), FILES[1], *FILES[2:]], check=True, stdout=subprocess.PIPE, text=True
    )
    lines = [line.partition("==") for line in done.stdout.split() if "==" in line]
    return {canonical(name): version for name, _, version in lines}


def plan_installation(python: Path) -> dict[str, dict[str, str]]:
    """What each installer would install for the image with this Python, by the installer's name.

    Raises:
        subprocess.CalledProcessError: one of them has refused.
    """
    with tempfile.TemporaryDirectory() as folder:
        # An environment of its own: the newest resolvers, and nothing installed that would count.
        subprocess.run([python, "-m", "venv", folder], check=True)
        own = Path(folder, "bin", "python")
        pip = [str(own), "-m", "pip", "--disable-pip-version-check", "--quiet"]
        subprocess.run([*pip, "install", f"pip=={PIP_VERSION}", UV], check=True)
        return {"uv": plan_with_uv(own), "pip": plan_with_pip(own)}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", default=f"python{PYTHON_VERSION}", help="a CPython 3.12 (default: %(default)s)")
    args = parser.parse_args()
    command = [args.python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        found = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        print(f"{args.python} does not run. Give a CPython {PYTHON_VERSION} with --python.", file=sys.stderr)
        return 1
    if found != PYTHON_VERSION or (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        print(f"This is Python {found} on {platform.system()} {platform.machine()}, not the image's.", file=sys.stderr)
        return 1
    try:
        plans = plan_installation(Path(args.python))
    except subprocess.CalledProcessError as error:
        print(f"This has been refused: {' '.join(map(str, error.cmd))}", file=sys.stderr)
        return 1
    planned = plans["pip"]
    if differing := sorted(set(planned.items()) ^ set(plans["uv"].items())):
        lines = "\n".join(f"  {name}=={version}" for name, version in differing)
        print(f"pip and uv plan differently; only one of them would install:\n{lines}", file=sys.stderr)
        return 1
    pins = read_pins(ROOT / "constraints.txt")
    floating = sorted(name for name in planned if name not in pins)
    if floating:
        lines = "\n".join(f"  {name}=={planned[name]}" for name in floating)
        print(f"Not pinned, so that tomorrow's image may differ; add to constraints.txt:\n{lines}", file=sys.stderr)
        return 1
    print(f"{len(planned)} packages exist for CPython {found} on Linux x86-64, fit together, and are pinned.")
    print("pip and uv would install the same.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
