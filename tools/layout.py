"""The picture of packages and of what each imports, as `make layout` prints it; exit 1 if there is a circle.

An import under `TYPE_CHECKING` counts as any other: what only types need is needed, too.
"""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = {".venv", ".venvs", ".git", "build", "node_modules", "peers"}

Graph = dict[str, set[str]]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the repository, by the name that it is imported by."""
    found = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if LEFT_OUT & set(parts):
            continue
        if parts[:2] == ("client", "src"):  # a distribution of its own
            parts = parts[2:]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def imports(root: Path = ROOT) -> Graph:
    """Which module imports which, all of them the repository's own."""
    known = modules(root)
    return {module: _imported(file) & known.keys() - {module} for module, file in known.items()}


def packages(graph: Graph) -> Graph:
    """The same for the folders and files at the top."""
    joined: Graph = {}
    for module, imported in graph.items():
        top = module.partition(".")[0]
        joined.setdefault(top, set()).update(name.partition(".")[0] for name in imported)
        joined[top].discard(top)
    return joined


def circle_in(graph: Graph) -> list[str]:
    """Modules each of which imports the next, the first being the last; empty if there are none."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle[::-1]
    return []


def _imported(file: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            # A name may be a module, too.
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


def main() -> int:
    graph = imports()
    tops = packages(graph)
    for package in TopologicalSorter(tops).static_order() if not circle_in(tops) else sorted(tops):
        print(f"{package:22} {', '.join(sorted(tops[package])) or '-'}")
    circles = [circle for each in (tops, graph) if (circle := circle_in(each))]
    for circle in circles:
        print(f"a circle: {' -> '.join(circle)}", file=sys.stderr)
    return bool(circles)


if __name__ == "__main__":
    sys.exit(main())
