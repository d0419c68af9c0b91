"""How the tests run: what is slow is left out and named, and tests that share a server share a worker."""

from __future__ import annotations

import pytest

LEFT_OUT = "slow: `make test-slow` runs it"

SHARED = {"server", "client", "instance", "narrow_instance", "faulty", "impatient", "embedder", "fuzzed"}
"""Fixtures that cost seconds of a processor: with two workers, only one of them makes each."""

ACROSS_FOLDERS = {
    "embedder_server": "further servers", "generator_server": "further servers",
    "deployer": "deployers", "deployment": "deployers", "reader": "deployers",
}  # fmt: skip
"""Those that tests of several folders share, or what they are made of: groups by fixture."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    # Before xdist looks for the groups.
    for item in items:
        if item.get_closest_marker("slow") and not config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason=LEFT_OUT))
        if config.pluginmanager.hasplugin("xdist"):
            item.add_marker(pytest.mark.xdist_group(_group_of(item)))


def _group_of(item: pytest.Item) -> str:
    """Tests of one group run on one worker: those of a file, or those of all files that use what is shared."""
    names = set(getattr(item, "fixturenames", ()))
    if across := {ACROSS_FOLDERS[name] for name in names & ACROSS_FOLDERS.keys()}:
        return max(across)
    folder = item.path.parent.name
    shared = SHARED & names
    return f"{folder}/{'servers' if shared else item.path.stem}"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    skipped = terminalreporter.stats.get("skipped", [])
    if number := sum(LEFT_OUT in str(report.longrepr) for report in skipped):
        terminalreporter.write_line(f"{number} slow tests left out: make test-slow")
