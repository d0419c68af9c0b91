"""Spark and the client: its recipe runs, and Spark sees what was added to the files that it wrote, old times included.

`make test-hosts` runs it: apart from the other tests, as PySpark takes half a gigabyte, and Java.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from typer.testing import Result

from recipes import run_recipe
from scoring import command
from stand_in import Service, prediction

pytest.importorskip("pyspark", reason="Spark is large: make test-hosts")
if shutil.which("java") is None:
    pytest.skip("Spark needs Java, such as Debian's default-jre-headless", allow_module_level=True)

Run = Callable[..., Result]
MOMENTS = [datetime(2024, 1, 5, 9, 30, 0, 123456), datetime(1815, 12, 10, 1, 2, 3), datetime(9999, 12, 31), None]
TEXTS = ["I love this!", "Terrible.", "So so.", None]


@pytest.fixture(scope="module")
def spark() -> Iterator[Any]:
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable  # else its workers are run by whatever is called python3
    builder = SparkSession.builder.master("local[2]").config("spark.ui.enabled", "false")
    session = builder.config("spark.sql.session.timeZone", "Asia/Tokyo").getOrCreate()
    yield session
    session.stop()


def test_the_recipe_runs(spark: Any, service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_recipe("Spark", service[0], capsys)
    assert prediction("I love this!")["sentiment"] in printed
    assert "the text is missing" in printed


@pytest.mark.parametrize("kind", ["INT96", "TIMESTAMP_MICROS", "TIMESTAMP_MILLIS"])
def test_spark_reads_what_was_added_to_its_own_files(
    spark: Any, service: Service, run: Run, tmp_path: Path, kind: str
) -> None:
    spark.conf.set("spark.sql.parquet.outputTimestampType", kind)
    moments = [moment and moment.replace(microsecond=0) for moment in MOMENTS] if "MILLIS" in kind else MOMENTS
    rows = [
        (number, text, moment and moment.replace(tzinfo=UTC), date(2024, 1, 5), Decimal("12.50"), [{"a": number}])
        for number, (text, moment) in enumerate(zip(TEXTS, moments, strict=True))
    ]
    schema = "id long, review string, moment timestamp, day date, price decimal(9,2), tags array<map<string, int>>"
    spark.createDataFrame(rows, schema).coalesce(1).write.parquet(str(tmp_path / "in"))
    source = next((tmp_path / "in").glob("part-*.parquet"))
    physical = {column.name: column.physical_type for column in pq.ParquetFile(source).schema}
    assert (physical["moment"] == "INT96") == (kind == "INT96")
    assert run(*command(source, service[0], out=tmp_path / "o.parquet")).exit_code == 3
    scored = spark.read.parquet(str(tmp_path / "o.parquet")).orderBy("id")
    assert scored.columns[:6] == ["id", "review", "moment", "day", "price", "tags"]
    assert dict(scored.dtypes)["moment"] == "timestamp"
    assert scored.select("moment").collect() == spark.read.parquet(str(source)).orderBy("id").select("moment").collect()
    read = scored.drop("moment").collect()
    for row, given in zip(read, rows, strict=True):
        assert (row.id, row.review, row.day, row.price, row.tags) == (*given[:2], *given[3:])
    assert [row.sentiment for row in read] == [text and prediction(text)["sentiment"] for text in TEXTS]
    assert read[3].error == "the text is missing"


def test_spark_reads_a_folder_of_results(spark: Any, service: Service, run: Run, tmp_path: Path) -> None:
    spark.createDataFrame([(text,) for text in TEXTS[:3]], "review string").repartition(3).write.parquet(
        str(tmp_path / "in")
    )
    assert run(*command(tmp_path / "in", service[0], out=tmp_path / "out")).exit_code == 0
    counted = spark.read.parquet(str(tmp_path / "out")).groupBy("sentiment").count().collect()
    assert sum(row["count"] for row in counted) == 3
