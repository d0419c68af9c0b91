"""`batch-client` and its helpers, where the platform has no instance yet, or loses one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from batch_client import FaultError, results_of_stream
from batch_client.cli import app
from batch_client.options import Options
from rehearsal.demand import Demand
from rehearsal.front import running_front
from rehearsal.gateway import Gateway
from rehearsal.running import Instance
from rehearsal.scripted import Reply, ScriptedInstance

SCALE = 600
"""Ten of the platform's minutes in a second."""

STARTED = '{"status":"started","total_texts":2}\n'
FIRST = '{"status":"batch_complete","partial_results":[{"sentiment":"POSITIVE"}]}\n'
SECOND = '{"status":"batch_complete","partial_results":[{"sentiment":"NEGATIVE"}]}\n'
COMPLETED = '{"status":"completed"}\n'
SENTIMENTS = [{"sentiment": "POSITIVE"}, {"sentiment": "NEGATIVE"}]


def test_31_minutes_of_cold_chute_are_within_the_default(instance: Instance, tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("I love this!\nWhat a waste of money.\n")
    demand = Demand(cold_for_s=31 * 60, scale=SCALE)
    with running_front(Gateway(instance, demand=demand)) as url:
        arguments = ["score", str(tmp_path / "in.txt"), "--url", url, "--out", str(tmp_path / "out.csv")]
        result = CliRunner().invoke(app, [*arguments, "--cold-start", str(Options.cold_start_s / SCALE)])
    assert result.exit_code == 0, result.stderr
    assert "others have waited 17 to 97 minutes" in result.stderr
    assert demand.num_starts == 1
    rows = (tmp_path / "out.csv").read_text(encoding="utf-8")
    assert "POSITIVE" in rows
    assert "NEGATIVE" in rows


def streamed(*instances: Reply) -> Iterator[list[str]]:
    """The lines of many calls to a chute with instances that answer so."""

    def scripted(reply: Reply) -> ScriptedInstance:
        async def script(_: str, __: Any) -> Reply:
            return reply

        return ScriptedInstance(script)

    first, *others = map(scripted, instances)
    with running_front(Gateway(first, others=tuple(others))) as url:
        for _ in range(6):
            yield httpx.post(f"{url}/process-batch-stream", json={"texts": ["a", "b"]}).text.splitlines()


BROKEN = Reply(chunks=(STARTED, FIRST), breaks=True)
WHOLE = Reply(chunks=(STARTED, FIRST, SECOND, COMPLETED))


def test_a_stream_cut_in_the_middle_is_no_success() -> None:
    for lines in streamed(BROKEN):
        with pytest.raises(FaultError, match="broke after 1 texts: Unhandled exception during response stream"):
            results_of_stream(lines)


def test_with_a_second_instance_no_line_counts_twice() -> None:
    seen = {len(lines): results_of_stream(lines) for lines in streamed(BROKEN, WHOLE)}
    assert all(results == SENTIMENTS for results in seen.values())
    # At first the broken one may or may not be asked; it starts over for those who met it.
    assert set(seen) <= {4, 6}


@pytest.mark.parametrize(
    "lines",
    [
        [STARTED, FIRST],
        [STARTED, FIRST, COMPLETED],
        [FIRST, SECOND, COMPLETED],
        [STARTED, FIRST, SECOND, COMPLETED, STARTED, FIRST],
        [STARTED, FIRST, '{"status":"error","error":{"message":"lost"},"completed_texts":1}'],
        [STARTED, "{"],
        ["[]"],
        [],
    ],
)
def test_what_is_not_a_whole_stream_is_no_success(lines: list[str]) -> None:
    with pytest.raises(FaultError):
        results_of_stream(lines)


def test_a_whole_stream_in_text_or_bytes() -> None:
    lines = [STARTED, "\n", FIRST, SECOND, COMPLETED]
    assert results_of_stream(lines) == results_of_stream([line.encode() for line in lines]) == SENTIMENTS
    assert results_of_stream([STARTED, FIRST, *lines]) == SENTIMENTS
