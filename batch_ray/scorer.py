"""One engine in an actor of Ray's: a batch of rows in, the same rows with answers out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from batch_classification.analysed import held_labels
from batch_classification.in_process import start_engine
from batch_http.requests import Text
from batch_inference.errors import ForwardPassError
from schemas import DEFAULT_MAX_LENGTH

_TEXT = TypeAdapter(Text)


class Scorer:
    """Loads the models once and classifies batches with them; the environment says which, as for the service.

    Args:
        text_column: what holds the texts.
        analyses: names of those asked for; none is the sentiment alone.

    Raises:
        ValueError: the environment has no such analysis.
    """

    def __init__(self, text_column: str, analyses: Sequence[str] = ()) -> None:
        self._text_column = text_column
        self._analyses = analyses
        self._engine = start_engine()
        if unknown := [name for name in analyses if name not in self._engine.served]:
            self._engine.close()
            raise ValueError(
                f"there is no analysis {unknown[0]!r}, only {', '.join(self._engine.served)}; "
                "BATCH_PROCESSOR_ANALYSES names further ones"
            )

    def __call__(self, rows: pa.Table) -> pa.Table:
        """The rows with the columns of their answers, which replace any of their own of these names.

        Without analyses: `sentiment`, `confidence`, `token_count`, `truncated` and `error`.
        With analyses, each has the columns NAME and NAME_confidence, and NAME_labels, a list, where several may hold;
        `token_count` is the first one's, and `truncated` says that one of them did not see the whole text.
        A text that the service would refuse, or that a model fails on, has its reason in `error` and nulls elsewhere.
        """
        values = rows[self._text_column].to_pylist()
        errors: list[str | None] = [_why_invalid(value) for value in values]
        answers: list[Mapping[str, Any]] = [{}] * len(values)
        valid = [index for index, error in enumerate(errors) if error is None]
        try:
            for index, answer in zip(valid, self._answers([values[index].strip() for index in valid]), strict=True):
                answers[index] = answer
        except ForwardPassError:
            for index in valid:
                try:
                    [answers[index]] = self._answers([values[index].strip()])
                except ForwardPassError as error:
                    errors[index] = str(error)
        columns = self._columns()
        rows = rows.drop_columns([name for name in (*columns, "error") if name in rows.column_names])
        for name, kind in columns.items():
            rows = rows.append_column(name, pa.array([answer.get(name) for answer in answers], kind))
        rows = rows.append_column("error", pa.array(errors, pa.string()))
        # Metadata of whoever wrote the rows may list the columns (Spark's schema, pandas'), and hide the new ones.
        return rows.replace_schema_metadata(None)

    def _columns(self) -> dict[str, pa.DataType]:
        """Those that are added, `error` apart, and their types: the same in every file."""
        columns: dict[str, pa.DataType] = {}
        for name in self._analyses:
            columns |= {name: pa.string(), f"{name}_confidence": pa.float64()}
            if self._engine.served[name].model.head.is_multi_label:
                columns[f"{name}_labels"] = pa.list_(pa.string())
        if not self._analyses:
            columns = {"sentiment": pa.string(), "confidence": pa.float64()}
        return columns | {"token_count": pa.int64(), "truncated": pa.bool_()}

    def _answers(self, texts: list[str]) -> list[dict[str, Any]]:
        """The cells of each text's row, by column. Raises ForwardPassError if a model fails."""
        if not texts:
            return []
        if not self._analyses:
            found = self._engine.run(texts, DEFAULT_MAX_LENGTH).predictions
            return [
                {
                    "sentiment": each.label, "confidence": each.confidence, "token_count": each.num_tokens,
                    "truncated": each.is_truncated,
                }
                for each in found
            ]  # fmt: skip
        with self._engine.admitted_for_several(self._analyses, texts, DEFAULT_MAX_LENGTH) as admitted:
            by_name = admitted.run().by_model
        rows: list[dict[str, Any]] = [{} for _ in texts]
        for name, outcome in by_name.items():
            for row, prediction in zip(rows, outcome.predictions, strict=True):
                row |= {name: prediction.label, f"{name}_confidence": prediction.confidence}
                row[f"{name}_labels"] = held_labels(list(prediction.scores), list(prediction.scores.values()))
                row.setdefault("token_count", prediction.num_tokens)
                row["truncated"] = row.get("truncated", False) or prediction.is_truncated
        return rows


def _why_invalid(value: object) -> str | None:
    try:
        _TEXT.validate_python(value)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        return f"the text {problem['msg']}" if "ctx" in problem or problem["type"] != "string_type" else "not a string"
    return None
