"""The Ray Data job on this machine: two actors, killed in the middle, resumed.

`make test-ray` runs it on few rows; `ROWS=100000 make test-ray` is the full rehearsal.
"""

from __future__ import annotations

import datetime
import os
import random
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from batch_ray.unwritten import BLOCKS_PER_ACTOR

ROOT = Path(__file__).resolve().parent.parent.parent
NUM_ROWS = int(os.environ.get("ROWS", "6000"))
ROWS_PER_BLOCK = max(500, NUM_ROWS // 50)
NUM_ACTORS = 2
TIMEOUT_S = 1500
pytestmark = pytest.mark.timeout(2 * TIMEOUT_S)


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A folder with `in.parquet` and, as the environment of `start` wants it, a model of one small random layer."""
    rng = random.Random(0)
    words = ["good", "bad", "parcel", "love", "hate", "monday", "ten", "fine", "slow", "great"]
    texts: list[str | None] = [f"{' '.join(rng.choices(words, k=rng.randrange(2, 8)))} {n}" for n in range(NUM_ROWS)]
    texts[10], texts[20] = "   ", None
    pq.write_table(pa.table({"id": range(NUM_ROWS), "text": texts}), tmp_path / "in.parquet")
    source = ROOT / "models" / "tiny-sentiment"
    config = AutoConfig.from_pretrained(source)
    config.num_hidden_layers, config.hidden_size, config.intermediate_size, config.num_attention_heads = 1, 32, 64, 2
    AutoModelForSequenceClassification.from_config(config).save_pretrained(tmp_path / "model")
    AutoTokenizer.from_pretrained(source).save_pretrained(tmp_path / "model")
    return tmp_path


def start(job: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "batch_ray.tests.counted", str(job / "in.parquet"), str(job / "out")]
    command += ["--actors", str(NUM_ACTORS), "--rows-per-block", str(ROWS_PER_BLOCK)]
    environment = os.environ | {
        "BATCH_PROCESSOR_MODEL": str(job / "model"),
        "BATCH_PROCESSOR_DEVICE": "cpu",
        "COUNT_FILE": str(job / "count"),
        "RAY_USAGE_STATS_ENABLED": "0",
        "OMP_NUM_THREADS": "1",
    }
    with (job / "log").open("ab") as log:
        return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT)


def num_scored(job: Path) -> int:
    return sum(map(int, (job / "count").read_text().split())) if (job / "count").exists() else 0


def num_committed(job: Path) -> int:
    files = (job / "out.checkpoint").glob("*.parquet")
    return sum(pq.read_metadata(file).num_rows for file in files if ".pending" not in file.name)


def kill_with_all_children(process: subprocess.Popen[bytes]) -> None:
    """As when the machine goes down: Ray's own processes too."""
    for victim in [*psutil.Process(process.pid).children(recursive=True), psutil.Process(process.pid)]:
        victim.kill()
    process.wait()


def test_killed_and_resumed_every_row_comes_once(job: Path) -> None:
    first = start(job)
    deadline = time.monotonic() + TIMEOUT_S
    try:
        while num_committed(job) < NUM_ROWS // 3:
            assert first.poll() is None, (job / "log").read_text()[-3000:]
            assert time.monotonic() < deadline, (job / "log").read_text()[-3000:]
            time.sleep(0.05)
    finally:
        kill_with_all_children(first)
    committed, scored = num_committed(job), num_scored(job)
    assert 0 < committed < NUM_ROWS

    second = start(job)
    try:
        assert second.wait(TIMEOUT_S) == 0, (job / "log").read_text()[-3000:]
    finally:
        if second.poll() is None:
            kill_with_all_children(second)
    lost, repeated = scored - committed, num_scored(job) - NUM_ROWS
    print(f"\n{NUM_ROWS} rows, {committed} safe when killed, {lost} scored and lost, {repeated} scored twice")
    assert repeated == lost
    assert lost <= BLOCKS_PER_ACTOR * NUM_ACTORS * ROWS_PER_BLOCK

    rows = pq.read_table(job / "out").to_pydict()
    assert sorted(rows["id"]) == list(range(NUM_ROWS))
    by_id = dict(zip(rows["id"], zip(rows["sentiment"], rows["error"], strict=True), strict=True))
    assert by_id[10] == (None, "the text is blank; remove it or send some text")
    assert by_id[20] == (None, "not a string")
    assert sum(error is not None for _, error in by_id.values()) == 2
    assert {sentiment for sentiment, _ in by_id.values()} <= {None, "NEGATIVE", "NEUTRAL", "POSITIVE"}


def test_values_come_out_as_they_were_and_all_columns_are_seen(job: Path) -> None:
    far = datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)
    schema = {b"org.apache.spark.sql.parquet.row.metadata": b'{"type": "struct", "fields": []}'}
    columns = {
        "id": pa.array([1, 2, 3]),
        "text": pa.array(["good", "bad", "fine"]),
        "until": pa.array([far, None, datetime.datetime(1, 1, 1)], pa.timestamp("us")),
        "big": pa.array([2**53 + 1, None, 7]),
        "tags": pa.array([["a"], None, []]),
        "sentiment": pa.array([1, 2, 3]),
    }
    table = pa.table(columns).replace_schema_metadata(schema)
    pq.write_table(table, job / "in.parquet", use_deprecated_int96_timestamps=True, store_schema=False)
    assert start(job).wait(TIMEOUT_S) == 0, (job / "log").read_text()[-3000:]
    scored = pq.read_table(job / "out").sort_by("id")
    for name in ("id", "text", "until", "big", "tags"):
        assert scored[name].to_pylist() == columns[name].to_pylist()
    assert set(scored["sentiment"].to_pylist()) <= {"NEGATIVE", "NEUTRAL", "POSITIVE"}
    for file in (job / "out").glob("*.parquet"):
        assert not [key for key in pq.read_metadata(file).metadata or {} if key.startswith(b"org.")]


def test_a_column_that_is_missing_is_named(job: Path) -> None:
    command = [sys.executable, "-m", "batch_ray.score", str(job / "in.parquet"), str(job / "out"), "--text-column", "x"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
    assert done.returncode == 1
    assert "has no column x; it has id, text" in done.stderr
