"""Give every peer a virtual environment of its own: `python -m bench.setup [PEER ...]`.

For a peer that cannot be installed, pip's own words are printed; the others go on.
"""

from __future__ import annotations

import subprocess
import sys
import venv

from bench.arms import RUNTIMES
from bench.servers import PEER_NAMES, PEERS, VENVS

WITHOUT_DEPENDENCIES = ("vllm",)
"""Their requirements list all that they need. vLLM asks for a build of torch that PyPI does not have, and for packages
about images and sound which fail at their import beside another build."""


def install(peer: str) -> bool:
    """Install a peer as pinned unless that was done; whether it is installed."""
    requirements = PEERS / peer / "requirements.txt"
    folder = VENVS / peer
    installed = folder / ".installed"
    if installed.exists() and installed.read_text() == requirements.read_text():
        return True
    print(f"Installing {peer} in {folder} ...", file=sys.stderr, flush=True)
    venv.create(folder, with_pip=True, clear=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    pip += ["--no-deps"] if peer in WITHOUT_DEPENDENCIES else []
    result = subprocess.run([*pip, "-r", str(requirements)], capture_output=True, text=True, check=False)
    if result.returncode:
        print(f"{peer} cannot be installed: {result.stderr.strip()[-2000:]}", file=sys.stderr)
        (folder / "error.txt").write_text(result.stderr)
        return False
    installed.write_text(requirements.read_text())
    return True


def main() -> int:
    were_installed = [install(peer) for peer in sys.argv[1:] or (*PEER_NAMES, *RUNTIMES)]
    return 0 if all(were_installed) else 1


if __name__ == "__main__":
    sys.exit(main())
