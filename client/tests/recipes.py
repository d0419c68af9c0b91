"""The blocks of the page of recipes, and running one as it stands but for the address of the service."""

from __future__ import annotations

import ast
import asyncio
from inspect import iscoroutine
from pathlib import Path

import pytest

PAGE = (Path(__file__).resolve().parent.parent / "RECIPES.md").read_text(encoding="utf-8")
RECIPES = {
    section.partition("\n")[0]: section.partition("```python\n")[2].partition("```")[0]
    for section in PAGE.split("\n## ")[1:]
}


def run_recipe(name: str, url: str, capsys: pytest.CaptureFixture[str]) -> str:
    """What the recipe prints. As in a notebook, `await` may stand outside of a function."""
    code = RECIPES[name].replace("http://127.0.0.1:8000", url)
    result = eval(compile(code, name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT), {"__name__": "recipe"})
    if iscoroutine(result):
        asyncio.run(result)
    return capsys.readouterr().out
