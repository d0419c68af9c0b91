"""Parquet as other programs write it: what the file says about itself is neither believed nor copied."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import Dataset, Value
from typer.testing import Result

from stand_in import Service, prediction

Run = Callable[..., Result]
Score = Callable[..., Result]
ADDED = ["sentiment", "confidence", "token_count", "truncated", "error"]
TEXTS = ["good", "bad", "fine"]
SPARK_ROW = b"org.apache.spark.sql.parquet.row.metadata"


@pytest.fixture
def score(service: Service, run: Run, tmp_path: Path) -> Score:
    """Score in.parquet to o.parquet, or to `out`."""

    def scored(content: pa.Table | bytes | None = None, *options: str, out: str = "o.parquet") -> Result:
        if isinstance(content, bytes):
            (tmp_path / "in.parquet").write_bytes(content)
        elif content is not None:
            pq.write_table(content, tmp_path / "in.parquet")
        given = ("--text-column", "review", "--url", service[0], "--out", tmp_path / out)
        return run("score", tmp_path / "in.parquet", *given, *options)

    return scored


class TestWhatDescribesColumns:
    """It is not copied: columns are added, so that it would be wrong."""

    def test_sparks_row_schema(self, score: Score, tmp_path: Path) -> None:
        fields = [{"name": "review", "type": "string", "nullable": True, "metadata": {}}]
        table = pa.table({"review": TEXTS}).replace_schema_metadata(
            {SPARK_ROW: json.dumps({"type": "struct", "fields": fields}), b"org.apache.spark.version": b"4.0.0"}
        )
        result = score(table)
        assert result.exit_code == 0
        assert f"without the metadata '{SPARK_ROW.decode()}'" in result.stderr
        kept = pq.read_metadata(tmp_path / "o.parquet").metadata
        assert SPARK_ROW not in kept
        assert kept[b"org.apache.spark.version"] == b"4.0.0"  # says which calendar old dates are in
        assert pq.read_schema(tmp_path / "o.parquet").names == ["review", *ADDED]

    def test_features_of_datasets(self, score: Score, tmp_path: Path) -> None:
        Dataset.from_dict({"review": TEXTS}).to_parquet(str(tmp_path / "in.parquet"))
        assert b"huggingface" in pq.read_schema(tmp_path / "in.parquet").metadata
        assert score().exit_code == 0
        scored = Dataset.from_parquet(str(tmp_path / "o.parquet"), cache_dir=str(tmp_path / "cache"))
        assert scored.column_names == ["review", *ADDED]
        assert scored.features["confidence"] == Value("float64")
        assert scored["sentiment"] == [prediction(text)["sentiment"] for text in TEXTS]

    def test_the_index_of_pandas(self, score: Score, tmp_path: Path) -> None:
        pd.DataFrame({"review": TEXTS}, index=pd.Index([7, 8, 9], name="id")).to_parquet(tmp_path / "in.parquet")
        assert score().exit_code == 0
        scored = pd.read_parquet(tmp_path / "o.parquet")
        assert list(scored.columns) == ["review", "id", *ADDED]
        assert scored["id"].tolist() == [7, 8, 9]

    def test_a_file_that_was_scored_before_is_scored_again(self, score: Score, tmp_path: Path) -> None:
        score(pa.table({"review": TEXTS}))
        score((tmp_path / "o.parquet").read_bytes(), "--prefix", "again_", out="p.parquet")
        scored = pq.read_table(tmp_path / "p.parquet")
        assert scored["again_sentiment"].equals(scored["sentiment"])


def int96(**columns: pa.Array) -> bytes:
    content = io.BytesIO()
    num_rows = len(next(iter(columns.values())))
    table = pa.table({"review": ["good"] * num_rows, **columns})
    pq.write_table(table, content, use_deprecated_int96_timestamps=True, store_schema=False)
    return content.getvalue()


class TestOldTimestamps:
    """INT96 comes out as something that Spark reads, in all its digits."""

    @pytest.mark.parametrize(
        ("moments", "unit"),
        [
            ([datetime(2024, 1, 5, 9, 30, 0, 123456), None], "MICROS"),
            ([datetime(1, 1, 1), datetime(9999, 12, 31, 23, 59, 59, 999999)], "MICROS"),
            ([pd.Timestamp("2024-01-05 09:30:00.123456789")], "NANOS"),
        ],
    )
    def test_the_unit_is_the_one_that_keeps_all_digits(
        self, score: Score, tmp_path: Path, moments: list[datetime | None], unit: str
    ) -> None:
        array = pa.array(moments, pa.timestamp("ns" if unit == "NANOS" else "us"))
        assert score(int96(when=array)).exit_code == 0
        written = pq.ParquetFile(tmp_path / "o.parquet")
        assert f'"timeUnit": "{unit.lower()[:2]}' in written.schema.column(1).logical_type.to_json() or (
            unit.lower() in written.schema.column(1).logical_type.to_json().lower()
        )
        assert written.read()["when"].to_pylist() == array.to_pylist()

    def test_nested_ones_too(self, score: Score, tmp_path: Path) -> None:
        moment = pd.Timestamp("2024-01-05 09:30:00.123456789")
        array = pa.array([[{"at": moment}], [], None], pa.list_(pa.struct([("at", pa.timestamp("ns"))])))
        assert score(int96(stays=array)).exit_code == 0
        assert pq.read_table(tmp_path / "o.parquet")["stays"].to_pylist() == array.to_pylist()
        micro = pa.array([[{"at": datetime(2024, 1, 5)}]], pa.list_(pa.struct([("at", pa.timestamp("us"))])))
        assert score(int96(stays=micro), "--overwrite").exit_code == 0
        assert pq.read_schema(tmp_path / "o.parquet").field("stays").type == micro.type

    def test_where_spark_wrote_them_they_stay_points_in_time(self, score: Score, tmp_path: Path) -> None:
        at = pa.struct([("at", pa.timestamp("us"))])
        moment = datetime(2024, 1, 5, 9, 30)
        written = io.BytesIO()
        columns = {
            "review": pa.array(["good"]),
            "when": pa.array([moment], pa.timestamp("us")),
            "rows": pa.array([[{"at": moment}]], pa.list_(at)),
            "by": pa.array([[("x", moment)]], pa.map_(pa.string(), pa.timestamp("us"))),
        }
        table = pa.table(columns)
        with pq.ParquetWriter(
            written, table.schema, use_deprecated_int96_timestamps=True, store_schema=False
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({"org.apache.spark.version": "4.0.0"})
        assert score(written.getvalue()).exit_code == 0
        found = pq.read_table(tmp_path / "o.parquet")
        zoned = pa.timestamp("us", "UTC")
        assert found["when"].type == zoned
        assert found["rows"].type.value_type.field("at").type == zoned
        assert found["by"].type.item_type == zoned
        assert found["when"].to_pylist() == [moment.replace(tzinfo=UTC)]
        assert found["rows"].to_pylist() == [[{"at": moment.replace(tzinfo=UTC)}]]

    def test_digits_and_years_that_no_one_type_holds_are_refused(self, score: Score, service: Service) -> None:
        # Arrow writes INT96 from microseconds or nanoseconds; each column may need another unit.
        far = pa.array([datetime(9999, 12, 31)], pa.timestamp("us"))
        fine = pa.array([pd.Timestamp("2024-01-05 09:30:00.123456789")], pa.timestamp("ns"))
        result = score(int96(far=far, fine=fine))
        assert result.exit_code == 1
        assert "no one type can hold" in result.stderr
        assert not service[1].requests


class TestCounts:
    """The rows of the file, of its groups and of its columns must be as many."""

    def said(self, num_rows: int, said: int, index: int) -> bytes:
        """A file of `num_rows` rows whose footer says `said` at its `index`-th count."""

        def count(number: int) -> bytes:  # of Thrift's compact protocol: zigzag, seven bits a byte
            number <<= 1
            return bytes([number & 127 | 128, number >> 7])

        content = io.BytesIO()
        pq.write_table(pa.table({"review": [f"text {n}" for n in range(num_rows)]}), content, store_schema=False)
        data = content.getvalue()
        start = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
        body, footer = data[:start], data[start:]
        pieces = footer.split(count(num_rows))
        assert len(pieces) > index + 1
        return (
            body + count(num_rows).join(pieces[: index + 1]) + count(said) + count(num_rows).join(pieces[index + 1 :])
        )

    @pytest.mark.parametrize("index", [0, 1, 3], ids=["file", "column", "group"])
    def test_a_footer_that_contradicts_itself_is_refused(self, score: Score, service: Service, index: int) -> None:
        result = score(self.said(1000, 900, index))
        assert result.exit_code == 1
        assert "is not sound Parquet" in result.stderr
        assert not service[1].requests


class TestBombs:
    """Small files that grow beyond measure are a sentence, and large values do not take all memory."""

    @pytest.mark.parametrize("kind", ["text", "bytes", "list"])
    def test_one_text_many_times(self, score: Score, service: Service, kind: str) -> None:
        value = pa.array([b"x" * 2**20 if kind == "bytes" else "x" * 2**20])
        array = pa.DictionaryArray.from_arrays(pa.array([0] * 1500, pa.int32()), value)
        if kind == "list":
            array = pa.ListArray.from_arrays(pa.array(range(1501), pa.int32()), array)
        content = io.BytesIO()
        table = pa.table({"review": ["good"] * 1500, "x": array})
        pq.write_table(table, content, store_schema=False, dictionary_pagesize_limit=2**22)
        assert len(content.getvalue()) < 60_000
        result = score(content.getvalue())
        assert result.exit_code == 1, result.stderr
        assert "grows to more than 1." in result.stderr
        assert len(result.stderr.splitlines()) == 1
        assert not service[1].requests

    def test_a_value_that_would_take_all_memory(self, score: Score) -> None:
        result = score(pa.table({"review": ["good"], "x": ["x" * (2**25 + 1)]}))
        assert result.exit_code == 1
        assert "a value of 32 MiB; is this a text?" in result.stderr

    def test_rows_that_cost_nothing(self, score: Score) -> None:
        table = pa.table({f"c{n}": pa.nulls(2**16, pa.int64()) for n in range(60)})
        content = io.BytesIO()
        with pq.ParquetWriter(content, table.schema) as writer:
            for _ in range(40):
                writer.write_table(table)
        grown = 2**16 * 40 * 60 * 8
        result = score(content.getvalue(), "--text-column", "c0")
        assert (result.exit_code, grown > 2**30) == (1, True)
        assert "grows to more than" in result.stderr

    def test_large_values_are_read_a_few_at_a_time(self, score: Score, tmp_path: Path) -> None:
        rng = np.random.default_rng(3)
        texts = [rng.bytes(2**19).hex() for _ in range(3)]
        table = pa.table({"review": ["good"] * 240, "x": texts * 80})
        result = score(table)
        assert result.exit_code == 0, result.stderr
        assert pq.read_table(tmp_path / "o.parquet", columns=["x"]).equals(table.select(["x"]))
