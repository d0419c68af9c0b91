"""Texts inside objects: `--text-column messages.content`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from batch_client.text_path import value_at
from scoring import command
from stand_in import Service, prediction

Run = Callable[..., Result]
CHAT = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]


@pytest.mark.parametrize(
    ("value", "path", "found"),
    [
        ({"b": "x"}, "b", "x"),
        ({"b": {"c": "x"}}, "b.c", "x"),
        ({"b": None}, "b.c", None),
        ({}, "b", None),
        (None, "b", None),
        ("x", "b", None),
        (CHAT, "content", "Hello\nHi"),
        (CHAT, "0.content", "Hello"),
        (CHAT, "-1.content", "Hi"),
        (CHAT, "2.content", None),
        ({"b": ["x", None, "y"]}, "b", "x\ny"),
        ({"b": []}, "b", None),
        ([{"content": [{"text": "x"}, {"text": "y"}]}, {"content": []}, {}], "content.text", "x\ny"),
        ([{"content": 5}, {"content": "x"}], "content", [5, "x"]),
    ],
)
def test_what_is_inside_a_value(value: Any, path: str, found: Any) -> None:
    assert value_at(value, path.split(".")) == found


@pytest.fixture(params=["jsonl", "json", "parquet"])
def chats(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Two rows, each with a list of objects, of which the second one is empty."""
    rows = [{"id": 1, "messages": CHAT}, {"id": 2, "messages": []}]
    path = tmp_path / f"in.{request.param}"
    if request.param == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif request.param == "json":
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_texts_are_found_joined_and_kept_as_they_were(service: Service, run: Run, chats: Path) -> None:
    out = chats.with_name("o.jsonl")
    arguments = [*command(chats, service[0], out=out), "--text-column", "messages.content"]
    result = run(*arguments, "--report", chats.with_name("r.html"))
    assert result.exit_code == 3, result.stderr
    assert "Scored column 'messages.content' of " in result.stderr
    assert "In 1 row the texts of a list are joined by line breaks." in result.stderr
    assert service[1].seen == {"Hello\nHi": 1}
    first, second = map(json.loads, out.read_text().splitlines())
    assert (first["messages"], first["sentiment"]) == (CHAT, prediction("Hello\nHi")["sentiment"])
    assert (second["messages"], second["error"]) == ([], "the text is missing")
    assert "Hello\nHi" in chats.with_name("r.html").read_text()
    again = run(*command(out, service[0], out=chats.with_name("p.jsonl")), "--text-column", "messages.0.content")
    assert "choose other names with --prefix" in again.stderr


def test_failed_rows_are_asked_for_again(service: Service, run: Run, chats: Path) -> None:
    service[1].behaviour.poisonous_texts = frozenset({"Hello"})
    out, better = chats.with_name("o.parquet"), chats.with_name("p.parquet")
    path = ["--text-column", "messages.0.content"]
    if chats.suffix != ".parquet":  # only from there, Parquet gets the objects as such
        out, better = out.with_suffix(".jsonl"), better.with_suffix(".jsonl")
    run(*command(chats, service[0], out=out), *path)
    service[1].behaviour.poisonous_texts = frozenset()
    assert run(*command(out, service[0], "--retry-errors", out=better), *path).exit_code == 3
    assert service[1].seen == {"Hello": 1}


@pytest.mark.parametrize(
    ("name", "content", "path", "words"),
    [
        ("in.jsonl", '{"m": {"content": "x"}}\n' * 2, "m.contnet", "no row of "),
        ("in.jsonl", '{"m": {"content": "x"}}\n' * 2, "n.content", "has no column 'n.content'; it has 'm'"),
        ("in.jsonl", '{"m": {"content": "x"}}\n' * 2, "m.", "has no column 'm.'"),
        ("in.csv", "id,m\n1,x\n", "m.content", "has no column 'm.content'; it has 'id', 'm'"),
    ],
)
def test_a_path_that_leads_nowhere_is_said_before_a_request(
    service: Service, run: Run, tmp_path: Path, name: str, content: str, path: str, words: str
) -> None:
    (tmp_path / name).write_text(content)
    refused = run(*command(tmp_path / name, service[0]), "--text-column", path)
    assert refused.exit_code == 1
    assert words in refused.stderr
    assert not service[1].requests


def test_a_column_whose_name_holds_dots_counts_first(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"a": {"b": "inside"}, "a.b": "column"}\n')
    assert run(*command(tmp_path / "in.jsonl", service[0]), "--text-column", "a.b").exit_code == 0
    assert service[1].seen == {"column": 1}
