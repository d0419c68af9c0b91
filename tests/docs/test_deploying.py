"""What docs/deploying.md shows is what happens: its commands are run against the stand-in, in the order of the page.

Not run are those that need the platform itself or minutes: registering, calls, and what is a check of its own.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import pytest

from rehearsal.account import Account
from rehearsal.api_server import running_fake_api
from rehearsal.demand import Demand
from rehearsal.deployment import Deployer
from rehearsal.dev_server import ROOT
from rehearsal.fake_api import FakeApi
from rehearsal.front import running_front
from rehearsal.gateway import Gateway
from rehearsal.scripted import Reply, ScriptedInstance
from tests.clock import Clock
from tests.docs.blocks import ELLIPSIS, Command, blocks_of, commands_of

PAGE = ROOT / "docs" / "deploying.md"
COMMANDS = [command for block in blocks_of(PAGE) if block.language == "console" for command in commands_of(block)]

NOT_RUN = re.compile(r"chutes register|make check-pins|^curl |batch-client|^git |^export |^python3 -c")
VARIES = [
    (re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"), "ID"),
    (re.compile(r"0\.1\.0-[0-9a-f]{12}, \d+ files, [\d,]+ bytes"), "IMAGE"),
    (re.compile(r"0\.1\.0-[0-9a-f]{12}"), "TAG"),
    (re.compile(r"\(\d+ characters\)"), "SIZE"),
    (re.compile(r"these \d+ files"), "FILES"),
    (re.compile(r"\d\d [A-Z][a-z]{2} \d\d:\d\d"), "TIME"),
    (re.compile(r"says nothing: \w+"), "SILENCE"),
]
FIGURES = {
    "uptime": 1260.0, "texts_per_second": 812.5, "requests_in_flight": 3, "queued_texts": 40,
    "total_texts_processed": 90_000, "errors": {},
}  # fmt: skip
LOG = (
    "BATCH_PROCESSOR_DEVICE='cuda', but there is no usable GPU here: PyTorch is built for CUDA 13.0, the driver is for "
    "12080. Use 'auto' or 'cpu'."
)


class Reader:
    """Somebody who types the page's commands."""

    def __init__(self, deployer: Deployer, api: FakeApi, clock: Clock) -> None:
        self.deployer = deployer
        self.api = api
        self.clock = clock

    def type(self, command: Command) -> list[str]:
        """What it prints."""
        words = shlex.split(re.sub(r" 2>&1| \| .*", "", command.command))
        settings = {}
        while "=" in words[0]:
            name, _, settings[name] = words.pop(0).partition("=")
        match words:
            case ["make", "watch"]:
                return self.watch()
            case ["make", "startup-logs"]:
                self.api.logs.capture(self.api.chutes["batch-processor"].chute_id, [LOG])
                return self.run("tools.startup_logs")
            case ["make", "deploy"]:
                # What is typed stands on the line of the question.
                printed = self.run("tests.platform.warm_deploy", **settings)
                return "\n".join(printed).replace("(y/n) ", "(y/n) y\n").split("\n")
            case ["make", target]:
                return self.run(f"tools.{target.replace('-', '_')}", **settings)
            case [".venv/bin/chutes", *arguments]:
                return self.run("chutes.cli", *arguments, **settings)
        raise AssertionError(f"{PAGE.name}:{command.line_number}: nobody knows how to run {command.command}")

    def run(self, module: str, *arguments: str, **settings: str) -> list[str]:
        if "--stream-logs" in arguments:
            return []
        return self.deployer.run(module, *arguments, **settings)[1].splitlines()

    def watch(self) -> list[str]:
        """Of an instance that has been at work for a while."""

        async def stats(_: str, __: object) -> Reply:
            return Reply(document=FIGURES)

        demand = self.api.chutes["batch-processor"].demand
        demand.wish()
        self.clock.now += 1200
        cord = {"path": "/stats", "public_api_path": "/batch-stats", "public_api_method": "GET", "stream": False}
        with running_front(Gateway(ScriptedInstance(stats, cords=[cord]), demand=demand)) as url:
            return self.run("tools.watch", "--url", url, CHUTES_API_KEY="cpk_key")


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Reader]:
    clock = Clock()
    with running_fake_api(Account.create("yourname")) as api:
        api.new_demand = lambda: Demand(cold_for_s=1200, shutdown_after_s=600, clock=clock)
        # Nobody listens at the proxy: the prices are the last known ones, wherever this runs.
        deployer = Deployer(tmp_path_factory.mktemp("reader"), api, HTTPS_PROXY="http://127.0.0.1:9")
        yield Reader(deployer, api, clock)


def without_what_varies(lines: list[str]) -> list[str]:
    for pattern, name in VARIES:
        lines = [pattern.sub(name, line) for line in lines]
    return lines


def shown_part(command: Command, printed: list[str]) -> list[str]:
    """Of what a pipe leaves over: the page shows `| tail -3` and `| grep slug`."""
    if found := re.search(r"\| tail -(\d+)", command.command):
        return printed[-int(found[1]) :]
    if found := re.search(r"\| grep (\w+)", command.command):
        return [line for line in printed if found[1] in line]
    return printed


def is_shown(shown: list[str], came: list[str]) -> bool:
    """Whether these lines are what the page shows; its lines `...` stand for any lines, or none."""
    if ELLIPSIS not in shown:
        return shown == came
    first = shown.index(ELLIPSIS)
    if came[:first] != shown[:first]:
        return False
    rest = shown[first + 1 :]
    return any(is_shown(rest, came[begin:]) for begin in range(first, len(came) + 1))


def test_the_commands_of_the_page_print_what_it_shows(reader: Reader) -> None:
    num_run = 0
    for command in COMMANDS:
        if NOT_RUN.search(command.command):
            continue
        num_run += 1
        printed = shown_part(command, reader.type(command))
        if not command.output:
            assert not any("Traceback" in line for line in printed), "\n".join(printed)
            continue
        shown = without_what_varies([line.rstrip() for line in command.output if line])
        came = without_what_varies([line.rstrip() for line in printed if line.strip()])
        assert is_shown(shown, came), f"{PAGE.name}:{command.line_number}: {command.command} prints\n" + "\n".join(came)
    assert num_run >= 10
    assert reader.api.shares == {"batch-processor": ["someone"]}
    assert reader.api.keys == ["batch-processor"]
    assert len(reader.api.deployments) == 1


def test_who_can_read_and_what_is_measured_is_said() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for word in ["the machine's owner", "the platform", "the uploader", "/evidence?nonce=", "in no measured register"]:
        assert word in page, word


def test_no_limit_of_2025_and_no_wrong_number_of_deletions_is_told() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for gone in ["5,000 times", " 8 MiB", "third time within an hour", "No supported GPUs"]:
        assert gone not in page, gone
