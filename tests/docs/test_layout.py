"""The arrows between packages go one way, and the engine knows nothing of what is above it."""

from __future__ import annotations

import pytest

from tools.layout import ROOT, Graph, circle_in, imports, modules, packages

MAY_IMPORT = {
    "batch_inference": set(),
    "batch_http": {"batch_inference"},
    "batch_classification": {"batch_http", "batch_inference", "schemas"},
    "batch_embedding": {"batch_http", "batch_inference"},
    "batch_generation": {"batch_http", "batch_inference"},
    "batch_client": set(),
    "platform_rules": set(),
}
"""What goes to an instance or to a user's machine."""


@pytest.fixture(scope="module")
def graph() -> Graph:
    return imports()


def test_no_modules_import_each_other_in_a_circle(graph: Graph) -> None:
    assert circle_in(graph) == []


def test_no_packages_import_each_other_in_a_circle(graph: Graph) -> None:
    assert circle_in(packages(graph)) == []


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_a_package_imports_only_what_is_below_it(graph: Graph, package: str) -> None:
    assert packages(graph)[package] <= MAY_IMPORT[package]


def test_a_circle_is_found() -> None:
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) != []
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": set()}) == []


def test_the_engine_speaks_of_no_sentiment() -> None:
    engine = [file for module, file in modules().items() if module.startswith("batch_inference")]
    assert [file.relative_to(ROOT) for file in engine if "sentiment" in file.read_text(encoding="utf-8").lower()] == []
