"""Rows of token ids in one array: what is done for all of them at once equals what is done for each."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from batch_inference.token_rows import TokenRows

ROWS = st.lists(st.lists(st.integers(0, 50_000), max_size=8), max_size=12)


@given(ROWS)
def test_what_goes_in_comes_out(rows: list[list[int]]) -> None:
    packed = TokenRows.of(rows)
    assert packed.tolists() == rows
    assert len(packed) == len(rows)
    assert packed.num_tokens == sum(map(len, rows))


@given(ROWS, st.data())
def test_rows_are_selected_in_any_order_and_repeatedly(rows: list[list[int]], data: st.DataObject) -> None:
    indices = data.draw(st.lists(st.integers(0, len(rows) - 1))) if rows else []
    assert TokenRows.of(rows).select(np.array(indices, np.intp)).tolists() == [rows[index] for index in indices]


@given(ROWS, st.integers(0, 12), st.integers(0, 12))
def test_a_part_is_a_slice(rows: list[list[int]], start: int, end: int) -> None:
    assert TokenRows.of(rows).part(start, end).tolists() == rows[start:end]


@given(ROWS, st.integers(0, 9))
def test_every_row_is_cut(rows: list[list[int]], max_length: int) -> None:
    assert TokenRows.of(rows).cut(max_length).tolists() == [row[:max_length] for row in rows]
    ends = [row[max(0, len(row) - max_length) :] for row in rows]
    assert TokenRows.of(rows).cut(max_length, keeps_end=True).tolists() == ends


@given(ROWS, st.lists(st.integers(0, 9), max_size=3), st.lists(st.integers(0, 9), max_size=3))
def test_every_row_is_framed(rows: list[list[int]], prefix: list[int], suffix: list[int]) -> None:
    assert TokenRows.of(rows).framed(prefix, suffix).tolists() == [[*prefix, *row, *suffix] for row in rows]


@given(st.lists(ROWS, min_size=1, max_size=4))
def test_joined_rows_follow_each_other(parts: list[list[list[int]]]) -> None:
    joined = TokenRows.joined([TokenRows.of(part) for part in parts])
    assert joined.tolists() == [row for part in parts for row in part]
