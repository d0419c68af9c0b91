"""Collect the wheels of what a check of a GPU imports beside torch, transformers, tokenizers and numpy.

    .venv/bin/python -m tools.check_gpu.wheels wheels/
    # then, on the machine with the GPU, which fetches nothing:
    pip install --no-index --no-deps wheels/*.whl && python -m tools.check_gpu

For a machine of the image's kind: Linux on x86-64 with the Python given by --python-version.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
THERE_ALREADY = {"torch", "transformers", "tokenizers", "numpy"}
NEEDED = (
    "accelerate", "annotated-types", "prometheus_client", "psutil", "pydantic", "pydantic-settings", "pydantic_core",
    "python-dotenv", "regex", "tiktoken", "typing-inspection", "typing_extensions",
)  # fmt: skip
"""What `batch_inference` and this package import, and what that imports in turn."""


def pinned(constraints: str) -> list[str]:
    """The needed packages in the versions that the image has.

    Raises:
        KeyError: one of them is not pinned.
    """
    versions = dict(line.split("==") for line in constraints.splitlines() if "==" in line)
    return [f"{name}=={versions[name]}" for name in NEEDED]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--python-version", default="3.12")
    args = parser.parse_args()
    command = [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--no-deps",
        "--only-binary",
        ":all:",
        "--dest",
        str(args.folder),
    ]
    platforms = [f"--platform={name}_x86_64" for name in ("manylinux2014", "manylinux_2_17", "manylinux_2_28")]
    requirements = pinned((ROOT / "constraints.txt").read_text(encoding="utf-8"))
    return subprocess.call([*command, *platforms, "--python-version", args.python_version, *requirements])


if __name__ == "__main__":
    sys.exit(main())
