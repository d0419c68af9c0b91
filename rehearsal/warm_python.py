"""A Python that has imported what is slow to import, and forks for each command: a command takes one second, not six.

Run as a script, by the environment's own Python, it reads a command a line from standard input and answers each with a
line: `{"code": ...}`. What it imports beforehand are packages of others. The code of the clone is imported by each
command anew, and so is the SDK, which reads the environment when it is imported.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path

PACKAGES = [
    "aiohttp", "fastapi", "httpx", "hypercorn", "loguru", "numpy", "orjson", "pydantic_settings", "rich.console",
    "substrateinterface", "tokenizers", "torch", "transformers.generation.utils",
    *(f"transformers.models.{kind}.modeling_{kind}" for kind in ("auto", "bert", "camembert", "distilbert", "roberta")),
    "transformers.models.xlm_roberta.modeling_xlm_roberta", "typer",
]  # fmt: skip


class WarmPython:
    """The parent's side. Ends when it is closed, or with the process that has it."""

    def __init__(self, python: Path) -> None:
        self._process = subprocess.Popen(
            [str(python), __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(
        self,
        module: str,
        arguments: Sequence[str],
        folder: Path,
        environment: dict[str, str],
        answers: str,
        output: Path,
    ) -> int:
        """Run a module as a program in a folder, with `answers` as its standard input; returns its exit code.

        What it prints goes to the file `output`.
        """
        command = {
            "module": module, "arguments": list(arguments), "folder": str(folder), "environment": environment,
            "answers": answers, "output": str(output),
        }  # fmt: skip
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(command) + "\n")
        answer = self._process.stdout.readline()
        assert answer, "the warm Python is gone"
        return int(json.loads(answer)["code"])

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait()


def become(module: str, arguments: Sequence[str], answers: str, output: int) -> int:
    """In a child: be this module's program, with `answers` to read and a descriptor to print to. Its exit code."""
    reading, writing = os.pipe()
    os.write(writing, answers.encode())
    os.close(writing)
    for source, target in [(reading, 0), (output, 1), (output, 2)]:
        os.dup2(source, target)
    sys.argv = [module, *arguments]
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
            return 1
        return int(end.code or 0)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0


def main() -> None:
    # This file's own folder is where Python looks first.
    sys.path[0] = ""
    for package in PACKAGES:
        with contextlib.suppress(ImportError):
            importlib.import_module(package)
    for line in sys.stdin:
        command = json.loads(line)
        child = os.fork()
        if child == 0:
            os.chdir(command["folder"])
            os.environ.clear()
            os.environ.update(command["environment"])
            sys.path[0] = command["folder"]
            output = os.open(command["output"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os._exit(become(command["module"], command["arguments"], command["answers"], output))
        _, status = os.waitpid(child, 0)
        print(json.dumps({"code": os.waitstatus_to_exitcode(status)}), flush=True)


if __name__ == "__main__":
    main()
