"""What strangers rely on in a clone: texts of its own, one linter, one set of commands, links that lead on."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.report import PAGE, page_with_tables, read_runs
from rehearsal.dev_server import ROOT
from rehearsal.texts import OWN_LONG_TEXTS, OWN_SHORT_TEXTS, SENTIMENTS, read_labelled, varied_texts

PAGES = sorted(page for folder in ("", "docs/", "bench/", "texts/", "models/*/") for page in ROOT.glob(f"{folder}*.md"))
PACKAGES = (
    "batch_classification/",
    "batch_embedding/",
    "batch_generation/",
    "batch_http/",
    "batch_inference/",
    "batch_ray/",
    "client/src/batch_client/",
    "platform_rules/",
)
"""What README's tree names module by module: all that goes to an instance or to a user's machine."""
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)", re.DOTALL)


def test_the_repositorys_texts_are_many_and_varied() -> None:
    short, long = read_labelled(OWN_SHORT_TEXTS), read_labelled(OWN_LONG_TEXTS)
    assert len({labelled.text for labelled in short}) == len(short) >= 400
    assert len({labelled.text for labelled in long}) == len(long) == 30
    for texts in (short, long):
        assert {labelled.sentiment for labelled in texts} == set(SENTIMENTS)
    assert 90 < sum(len(labelled.text) for labelled in short) / len(short) < 120
    assert all(200 <= len(labelled.text.split()) <= 1500 for labelled in long)
    assert sum(not labelled.text.isascii() for labelled in short) > 80


def test_varied_texts_are_different_and_always_the_same() -> None:
    texts = [labelled.text for labelled in read_labelled(OWN_SHORT_TEXTS)]
    varied = varied_texts(texts, 2000)
    assert len(set(varied)) == 2000
    assert varied[: len(texts)] == texts
    assert varied_texts(texts, 2000) == varied
    assert all(text.strip() for text in varied)
    with pytest.raises(ValueError, match="too few"):
        varied_texts(["one"], 3)


def test_the_commit_hook_and_make_check_use_the_same_linter() -> None:
    pinned = re.search(r"^ruff==(.+)$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    hook = re.search(r"ruff-pre-commit\s+rev: v(\S+)", (ROOT / ".pre-commit-config.yaml").read_text())
    assert pinned
    assert hook
    assert hook.group(1) == pinned.group(1)


def test_the_workflow_runs_what_ci_runs() -> None:
    assert "run: .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text()
    commands = (ROOT / ".ci/run").read_text().splitlines()
    assert {"make check", "make test"} <= set(commands)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_inside_the_repository_lead_somewhere(page: Path) -> None:
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]
    missing = [target for target in targets if not _exists(page, target)]
    assert not missing, f"{page.name} links to {missing}"


def test_the_readme_is_short_and_its_tree_names_every_module() -> None:
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    assert page.count("\n") <= 200
    tree = page.partition("## How it works")[2].partition("```\n")[2].partition("\n```")[0]
    rows = re.split(r"^(?=\S)", tree, flags=re.MULTILINE)
    missing = []
    for package in PACKAGES:
        row = next((row for row in rows if package in re.split(r"[\s,]", row)[0]), "")
        folders = set(re.findall(r"(\w+)/\*", row))
        names = set(re.findall(r"\w+", row))
        modules = [path.relative_to(ROOT / package) for path in (ROOT / package).rglob("[!_]*.py")]
        missing += [
            f"{package}/{module}"
            for module in modules
            if "tests" not in module.parts and module.stem not in names and not folders & set(module.parts)
        ]
    missing += [path.name for path in ROOT.glob("*.py") if path.name not in tree]
    missing += [f"{path.parent.name}/" for path in ROOT.glob("*/__init__.py") if f"{path.parent.name}/" not in tree]
    assert not missing, f"README's tree lacks {missing}"


def test_the_tables_of_the_results_are_those_of_the_runs() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_tables(page, read_runs()) == page, "run `python -m bench.report`"


def _exists(page: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    if path.startswith("mailto:"):
        return True
    file = page.parent / path if path else page
    if not anchor or not file.is_file():
        return file.exists()
    headings = re.findall(r"^#+ (.+)$", file.read_text(encoding="utf-8"), re.MULTILINE)
    return anchor in {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
