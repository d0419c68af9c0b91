"""The analyses that a service offers, as environment variables list them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal, cast, get_args

from pydantic_core import PydanticCustomError

from batch_inference.settings import BUNDLED_MODEL

MAX_FURTHER: Final = 15
NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,31}")

TextPreparation = Literal["auto", "tweets", "none"]


@dataclass(frozen=True)
class Analysis:
    """An analysis, by the checkpoint that makes it.

    Attributes:
        name: what callers call it.
        checkpoint: a hub id, a folder, or `bundled`.
        revision: commit of the checkpoint on the hub; None for `main`.
    """

    name: str
    checkpoint: str
    revision: str | None


def parse_analyses(value: str, first: str, bundled_folder: Callable[[str], Path]) -> list[Analysis]:
    """Read `NAME=CHECKPOINT[@REVISION],...`.

    Args:
        value: the list; empty for none.
        first: the analysis that is there anyway.
        bundled_folder: what `bundled` stands for, by the analysis.

    Raises:
        PydanticCustomError: the list breaks a rule; says which.
    """
    analyses = []
    for name, target in _pairs(value, "CHECKPOINT"):
        if name == first:
            raise _wrong(f"{first} is what BATCH_PROCESSOR_MODEL names; leave it out here")
        checkpoint, _, revision = target.partition("@")
        if not checkpoint or ("@" in target and not revision):
            raise _wrong(f"{name} must be NAME=CHECKPOINT or NAME=CHECKPOINT@REVISION, but is {target!r}")
        if checkpoint == BUNDLED_MODEL and not bundled_folder(name).is_dir():
            raise _wrong(f"there is no bundled model for {name}; name a checkpoint, or train models/tiny-{name}")
        analyses.append(Analysis(name, checkpoint, revision or None))
    if len(analyses) > MAX_FURTHER:
        raise _wrong(f"it names {len(analyses)} analyses, and {MAX_FURTHER} is the most; deploy a second chute")
    return analyses


def parse_preparations(value: str, names: Sequence[str]) -> dict[str, TextPreparation]:
    """Read `NAME=PREPARATION,...`; `names` are those of the analyses there are.

    Raises:
        PydanticCustomError: the list breaks a rule; says which.
    """
    preparations: dict[str, TextPreparation] = {}
    for name, preparation in _pairs(value, "PREPARATION"):
        if name not in names:
            raise _wrong(f"there is no analysis {name}; there are {', '.join(names) or 'none'}")
        if preparation not in get_args(TextPreparation):
            raise _wrong(f"{name} must be {', '.join(get_args(TextPreparation))}, but is {preparation!r}")
        preparations[name] = cast(TextPreparation, preparation)
    return preparations


def _pairs(value: str, what: str) -> Iterator[tuple[str, str]]:
    seen = set()
    for part in filter(None, map(str.strip, value.split(","))):
        name, equals, target = map(str.strip, part.partition("="))
        if not equals:
            raise _wrong(f"{part!r} must be NAME={what}")
        if not NAME.fullmatch(name):
            raise _wrong(f"the name {name!r} must have up to 32 of a-z, 0-9 and _, a letter first")
        if name in seen:
            raise _wrong(f"it names {name} twice; leave one out")
        seen.add(name)
        yield name, target


def _wrong(problem: str) -> PydanticCustomError:
    return PydanticCustomError("analyses", "{problem}", {"problem": problem})
