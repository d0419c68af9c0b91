"""How rows are packed: every token once, in order, with transformers' own positions, and nothing without a row."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.models.roberta.modeling_roberta import RobertaEmbeddings

from batch_inference.forward.rows import PackedRows, pack
from batch_inference.forward.weights import Affine, EncoderWeights
from batch_inference.token_rows import TokenRows

PAD, VOCABULARY, MAX_TOKENS = 1, 50, 512
NOTHING = Affine(torch.empty(0), torch.empty(0))
ROBERTA = EncoderWeights(
    words=torch.empty(VOCABULARY, 1), positions=torch.empty(MAX_TOKENS + PAD + 1, 1), norm=NOTHING, blocks=(),
    epsilon=1e-5, num_heads=1, pad_token_id=PAD, first_position=PAD + 1, is_pad_skipped=True,
)  # fmt: skip
BERT = replace(ROBERTA, positions=torch.empty(MAX_TOKENS, 1), first_position=0, is_pad_skipped=False)

# Few ids, so that pad tokens that a text spells out are common.
ROWS = st.lists(st.lists(st.integers(0, 4), min_size=1, max_size=MAX_TOKENS), min_size=1, max_size=20)


def split(packed: PackedRows) -> list[tuple[list[int], list[int]]]:
    """Ids and positions of each row, the surplus ones too."""
    starts = packed.row_starts[1:-1]
    parts = zip(np.split(packed.input_ids, starts), np.split(packed.positions, starts), strict=True)
    return [(ids.tolist(), positions.tolist()) for ids, positions in parts]


@given(ROWS)
def test_every_row_is_there_once_and_in_order(rows: list[list[int]]) -> None:
    packed = pack(TokenRows.of(rows), ROBERTA)
    assert [ids for ids, _ in split(packed)[: packed.num_rows]] == rows
    assert packed.num_rows == len(rows)
    assert packed.lengths[: len(rows)] == tuple(map(len, rows))
    assert packed.buffer.dtype == np.int32


@given(ROWS)
def test_positions_are_those_of_transformers(rows: list[list[int]]) -> None:
    for ids, positions in split(pack(TokenRows.of(rows), ROBERTA)):
        expected = RobertaEmbeddings.create_position_ids_from_input_ids(torch.tensor([ids]), PAD)
        assert positions == expected[0].tolist()


@given(ROWS)
def test_a_bert_counts_every_token_from_nought(rows: list[list[int]]) -> None:
    for ids, positions in split(pack(TokenRows.of(rows), BERT)):
        assert positions == list(range(len(ids)))


@given(ROWS)
def test_the_surplus_is_rows_of_pad_tokens(rows: list[list[int]]) -> None:
    packed = pack(TokenRows.of(rows), ROBERTA)
    num_real = sum(map(len, rows))
    assert num_real <= packed.num_tokens <= max(num_real + 3, num_real * 17 / 16)
    assert packed.row_starts[0] == 0
    assert packed.row_starts[-1] == packed.num_tokens == len(packed.input_ids) == len(packed.positions)
    assert np.diff(packed.row_starts).tolist() == list(packed.lengths)
    assert min(packed.lengths) >= 1
    assert packed.longest == max(map(len, rows))
    assert all(set(ids) == {PAD} for ids, _ in split(packed)[packed.num_rows :])


def test_passes_have_few_sizes() -> None:
    lengths = [num for num in range(501, 2049) if num % 500]
    sizes = {
        num: pack(TokenRows.of([[5] * 500] * (num // 500) + [[5] * (num % 500)]), ROBERTA).num_tokens for num in lengths
    }
    assert len(set(sizes.values())) < len(lengths) / 15
    assert {size for num, size in sizes.items() if num > 1024} <= {64 * n for n in range(17, 34)}


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([5] * (MAX_TOKENS + 1), "513 tokens.* positions for 512"),
        ([0, VOCABULARY], "token 50 is none of the model's 50"),
    ],
)
def test_what_has_no_embedding_never_reaches_a_device(row: list[int], problem: str) -> None:
    with pytest.raises(IndexError, match=problem):
        pack(TokenRows.of([[0, 5, 2], row]), ROBERTA)
