"""Groups of rows for attention: all rows, in order, little padding, and nothing of a row lost."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from batch_inference.forward.attention_groups import MAX_GROUP_PADDING, MIN_CALL_TOKENS, AttentionGroup, grouped

LENGTHS = st.lists(st.integers(min_value=1, max_value=512), min_size=1, max_size=80)


@given(LENGTHS)
def test_every_row_is_in_one_group_in_order(lengths: list[int]) -> None:
    assert [length for group in grouped(lengths) for length in group] == lengths


@given(LENGTHS)
def test_padding_is_bounded(lengths: list[int]) -> None:
    for group in grouped(lengths):
        assert len(group) * max(group) <= MAX_GROUP_PADDING * sum(group)


def test_many_rows_of_one_length_are_not_padded() -> None:
    many = [30] * (MIN_CALL_TOKENS // 30 + 1)
    assert grouped([28, 29, *many, 31, 32]) == [[28, 29], many, [31, 32]]


def test_few_rows_of_near_lengths_share_a_call() -> None:
    assert len(grouped(list(range(24, 36)))) == 1


@given(LENGTHS)
def test_padding_and_taking_it_away_gives_the_same_tokens(lengths: list[int]) -> None:
    group = AttentionGroup.of(lengths)
    tokens = torch.arange(group.num_tokens)
    if group.padded is None or group.real is None or group.mask is None:
        assert len(set(lengths)) == 1
        return
    places = tokens[group.padded]
    assert len(places) == group.num_rows * group.length
    assert torch.equal(places[group.real], tokens)
    assert (group.mask == 0).sum(dim=-1).flatten().tolist() == lengths
