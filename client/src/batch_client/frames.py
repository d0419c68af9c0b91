"""Data frames: pandas, Polars, and all else that narwhals knows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from batch_client.client import Client
from batch_client.columns import PredictionColumns
from batch_client.errors import BatchClientError, InputError
from batch_client.progress import Progress
from batch_client.screen import no_column

if TYPE_CHECKING:
    import narwhals as nw

FrameT = TypeVar("FrameT")

_PANDAS_TYPES = {str: "string", float: "Float64", int: "Int64", bool: "boolean"}
"""pandas' types that can hold a missing value: its older ones would turn counts into floats."""


def classify_frame(
    frame: FrameT, column: str, client: Client, *, prefix: str = "", progress: Progress = False
) -> FrameT:
    """The frame with the columns that `batch-client score` adds: one row in, one row out, the index as it was.

        with Client("http://127.0.0.1:8000") as client:
            scored = classify_frame(reviews, "review", client)

    Args:
        frame: a data frame of pandas, Polars, PyArrow or another library that narwhals knows; not a lazy one.
        column: the column that holds the texts. A missing value, or one that is no text, gets an `error`.
        client: what asks the service; with `all_scores=True` there is a column per label too.
        prefix: put before the names of the added columns.
        progress: whether to show a bar, or a function that gets a `batch_client.progress.Tick` now and then.

    Raises:
        InputError: the frame is lazy, lacks the column or has one of the added ones, or narwhals is not installed.
        ServiceError: the service is not to be reached or refuses access.
    """
    nw = _narwhals()
    with _own_errors("read"):
        wrapped = _wrapped(nw, frame)
        if column not in wrapped.columns:
            raise InputError(no_column("the frame", column, wrapped.columns))
        # A name can be wrong without any request being made, hence before them.
        columns = PredictionColumns(prefix, client.options.analyses)
        columns.check_against(wrapped.columns, client.options.all_scores)
        texts = wrapped.get_column(column)
        # pandas says NaN for a missing text, which would be taken for a number.
        values = [None if is_null else value for value, is_null in zip(texts.to_list(), texts.is_null(), strict=True)]
    added = client.columns(values, prefix=prefix, progress=progress)
    with _own_errors("given columns"):
        series = [_series(nw, wrapped, name, cells, columns.type_of(name)) for name, cells in added.items()]
        result: FrameT = wrapped.with_columns(*series).to_native()
    return result


def _wrapped(nw: Any, frame: object) -> Any:
    """The frame as narwhals has it. Raises InputError for what is no frame, or has names that no result can have."""
    try:
        wrapped = nw.from_native(frame, eager_only=True)
    except TypeError:
        raise InputError(
            f"{type(frame).__name__} is not a data frame that is in memory; give one of pandas or Polars, "
            "and collect() a lazy one first"
        ) from None
    if any(isinstance(name, tuple) for name in wrapped.columns):
        raise InputError(
            "the frame's column names have several levels; make them texts first, in pandas with "
            "frame.columns = ['_'.join(map(str, names)) for names in frame.columns]"
        )
    if others := [name for name in wrapped.columns if not isinstance(name, str)]:
        raise InputError(
            f"the frame has the column name {others[0]!r}, which is no text; make them texts first, in pandas with "
            "frame.columns = frame.columns.map(str)"
        )
    return wrapped


@contextmanager
def _own_errors(what: str) -> Iterator[None]:
    """Turn what narwhals and the frame's own library raise into InputError: they have no base in common."""
    try:
        yield
    except BatchClientError:
        raise
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(f"the frame cannot be {what}: {reason}") from error


def _narwhals() -> Any:
    try:
        import narwhals as nw
    except ImportError:
        raise InputError("for data frames narwhals is needed: pip install narwhals") from None
    return nw


def _series(nw: Any, frame: nw.DataFrame[Any], name: str, cells: list[Any], kind: type) -> Any:
    if frame.implementation.is_pandas():
        pd = frame.implementation.to_native_namespace()
        native = pd.Series(cells, name=name, dtype=_PANDAS_TYPES[kind], index=nw.to_native(frame).index)
        return nw.from_native(native, series_only=True)
    dtype = {str: nw.String, float: nw.Float64, int: nw.Int64, bool: nw.Boolean}[kind]
    return nw.new_series(name, cells, dtype, backend=frame.implementation)
