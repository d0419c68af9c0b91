"""Which files a run of several is about, and what their results are called."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from batch_client import locations
from batch_client.errors import InputError, OutputError
from batch_client.formats.detect import FORMATS_BY_SUFFIX, OUTPUT_FORMATS, format_by_name
from batch_client.formats.packings import SUFFIXES
from batch_client.screen import listed

_WRITTEN_AS = {"json": "jsonl", "text": "csv", None: "csv"}
"""The format of a result whose input's format is not written."""


@dataclass(frozen=True)
class Pair:
    """An input and where its result goes."""

    source: str
    out: str


@dataclass(frozen=True)
class Inputs:
    """The files of a run, in order, and those in its folders that were left out: no known ending says what they are."""

    pairs: Sequence[Pair]
    left_out: Sequence[str]


def are_several(sources: Sequence[str]) -> bool:
    """Whether these are inputs whose results go to a folder: more than one, or a folder."""
    return len(sources) > 1 or os.path.isdir(sources[0])


def find_inputs(sources: Sequence[str], out: str, out_format: str | None, takes_all: bool = False) -> Inputs:
    """The files among `sources` and, at any depth, in the folders among them; hidden ones and those of runs apart.

    A result has the name of its input, in the folder `out` and, if the input was found in a folder, in the same folders
    below it. The ending is the input's if that format is written; otherwise it is replaced. `takes_all` takes files
    whose ending is not known too.

    Raises:
        InputError: there is no file, or two would have the same result.
        OutputError: `out` cannot be a folder.
    """
    for location in (*sources, out):
        if location == locations.STANDARD or locations.is_address(location):
            raise InputError(f"several inputs are files and folders of this machine, and so is --out; not {location}")
    if out_format is not None and out_format not in OUTPUT_FORMATS:
        raise OutputError(f"--out-format {out_format} is not known; use one of {', '.join(OUTPUT_FORMATS)}")
    if os.path.exists(out) and not os.path.isdir(out):
        raise OutputError(f"{out} is a file; the results of several inputs go to a folder: choose another --out")
    pairs: list[Pair] = []
    left_out: list[str] = []
    for source in map(Path, sources):
        if not source.is_dir():
            pairs.append(Pair(str(source), str(Path(out) / result_name(source.name, out_format))))
            continue
        for path in _files_in(source, Path(out)):
            if format_by_name(path) is None and not takes_all:
                left_out.append(str(path))
                continue
            folder = Path(out) / path.relative_to(source).parent
            pairs.append(Pair(str(path), str(folder / result_name(path.name, out_format))))
    _check(pairs, sources, left_out)
    return Inputs(pairs, left_out)


def result_name(name: str, out_format: str | None) -> str:
    """What the result of an input of this name is called.

    `a.csv.gz` stays `a.csv.gz`, `a.json` becomes `a.jsonl`, `a.txt` becomes `a.csv`; with `out_format` parquet all of
    them become `a.parquet`.
    """
    packing = next((suffix for suffix in SUFFIXES if name.lower().endswith(suffix)), "")
    bare = Path(name[: len(name) - len(packing)])
    found = FORMATS_BY_SUFFIX.get(bare.suffix.lower())
    wanted = out_format or _WRITTEN_AS.get(found, found)
    if wanted == found and bare.suffix.lower() != ".xlsm":
        return name
    kept = "" if wanted in ("parquet", "xlsx") else name[len(name) - len(packing) :]
    return f"{bare if found is None else bare.stem}.{wanted}{kept}"


def _files_in(folder: Path, out: Path) -> list[Path]:
    found = []
    for at, folders, names in os.walk(folder):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and not name.endswith(".partial") and not _is_same(Path(at) / name, out)
        )
        found += [Path(at) / name for name in sorted(names) if not name.startswith(".")]
    return found


def _is_same(one: Path, other: Path) -> bool:
    return other.exists() and one.samefile(other)


def _check(pairs: Sequence[Pair], sources: Sequence[str], left_out: Sequence[str]) -> None:
    if not pairs:
        advice = f"; it has {listed(left_out)}, for which --format says what they are" if left_out else ""
        raise InputError(f"there is no file to score in {listed(sources)}{advice}")
    sources_by_out: dict[str, str] = {}
    for pair in pairs:
        key = os.path.normcase(os.path.abspath(pair.out))
        if (other := sources_by_out.get(key)) == pair.source:
            raise InputError(f"{other} is given twice; leave it out once")
        if other is not None:
            raise InputError(
                f"the results of {other} and {pair.source} would both be {pair.out}; "
                "rename one, or give the folder that holds both"
            )
        sources_by_out[key] = pair.source
