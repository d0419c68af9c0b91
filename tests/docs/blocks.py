"""A page's fenced blocks: the commands they show, what they say comes out, and whether that is what came out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

ELLIPSIS = "..."
"""A line of its own in an expected output: any lines, or none."""

VOLATILE = re.compile(r"(time|per_second|uptime|latency|p50|p95|p99|memory|texts/s)\w*\W*$")
"""Ends what stands before a number that differs from run to run."""

NUMBER = re.compile(r"(?<![\w.])-?\d+(?:\.\d+)?(?:e-?\d+)?(?![\w.]*\w)")
TOLERANCE = 2e-3
"""For a probability: other processors round otherwise."""


@dataclass(frozen=True)
class Block:
    """A fenced block: its language, its lines, and the line of the page where they begin."""

    language: str
    lines: list[str]
    line_number: int


@dataclass(frozen=True)
class Command:
    """A command with its continuation lines, and the lines shown as its output."""

    command: str
    line_number: int
    output: list[str] = field(default_factory=list)


def blocks_of(page: Path) -> list[Block]:
    """All fenced blocks of a page."""
    blocks: list[Block] = []
    language = None
    for number, line in enumerate(page.read_text(encoding="utf-8").split("\n"), start=1):
        if not line.startswith("```"):
            if language is not None:
                blocks[-1].lines.append(line)
        elif language is None:
            language = line.removeprefix("```").strip()
            blocks.append(Block(language, [], number + 1))
        else:
            language = None
    return blocks


def commands_of(block: Block) -> list[Command]:
    """The commands of a console block; `$ ` begins one, a backslash or `> ` continues it."""
    commands: list[Command] = []
    continues = False
    for number, line in enumerate(block.lines, start=block.line_number):
        if line.startswith("$ "):
            commands.append(Command(line[2:], number))
        elif commands and (continues or line.startswith("> ")):
            known = commands.pop()
            commands.append(Command(f"{known.command}\n{line.removeprefix('> ')}", known.line_number))
        elif commands:
            commands[-1].output.append(line)
        continues = line.endswith("\\")
    return commands


def difference(expected: list[str], actual: list[str]) -> str | None:
    """The first line in which an output is not as shown, told in a sentence; None if all is as shown."""
    expected = [line.rstrip() for line in expected]
    actual = [line.rstrip() for line in actual]
    while expected and expected[-1] in ("", ELLIPSIS):
        is_open = expected.pop() == ELLIPSIS
        if is_open:
            return _difference_of_parts(expected, actual[: len(expected)]) if ELLIPSIS not in expected else None
    if ELLIPSIS in expected:
        middle = expected.index(ELLIPSIS)
        tail = expected[middle + 1 :]
        return _difference_of_parts(expected[:middle], actual[:middle]) or difference(tail, actual[-len(tail) :])
    while actual and not actual[-1]:
        actual.pop()
    return _difference_of_parts(expected, actual)


def _difference_of_parts(expected: list[str], actual: list[str]) -> str | None:
    for number, (shown, came) in enumerate(zip(expected, actual, strict=False), start=1):
        if not is_same_line(shown, came):
            return f"line {number} of the output is shown as\n  {shown}\nbut is\n  {came}"
    if len(expected) != len(actual):
        more = (expected if len(expected) > len(actual) else actual)[min(len(expected), len(actual))]
        return f"{len(expected)} lines are shown, {len(actual)} came; the first that differs is\n  {more}"
    return None


def is_same_line(shown: str, came: str) -> bool:
    """Whether two lines say the same, but for times, speeds, and the last digits of probabilities."""
    if NUMBER.sub("#", shown) != NUMBER.sub("#", came):
        return False
    for one, other in zip(NUMBER.finditer(shown), NUMBER.finditer(came), strict=True):
        if VOLATILE.search(shown[: one.start()]):
            continue
        is_float = "." in one.group() or "." in other.group()
        if is_float and abs(float(one.group()) - float(other.group())) > TOLERANCE:
            return False
        if not is_float and one.group() != other.group():
            return False
    return True
