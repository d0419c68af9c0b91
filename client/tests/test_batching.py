from hypothesis import given
from hypothesis import strategies as st

from batch_client.batching import split_into_batches
from batch_client.outcomes import Failure
from batch_client.texts import MAX_TEXT_CHARACTERS, check_text

VALUES = st.lists(st.one_of(st.none(), st.integers(), st.text(max_size=40)), max_size=80)


@given(VALUES, st.integers(1, 5), st.integers(1, 60))
def test_batches_hold_every_value_in_order_within_both_limits(
    values: list[object], max_texts: int, max_bytes: int
) -> None:
    batches = list(split_into_batches(values, max_texts, max_bytes))
    assert [item for batch in batches for item in batch] == [check_text(value) for value in values]
    for batch in batches:
        texts = [item for item in batch if isinstance(item, str)]
        assert len(texts) <= max_texts
        assert len(texts) <= 1 or sum(len(text.encode()) for text in texts) <= max_bytes


def test_endless_blank_rows_stay_bounded() -> None:
    batches = split_into_batches(("" for _ in range(10_000)), 100, 1000)
    assert max(len(batch) for batch in batches) <= 1000


def test_texts_are_stripped_and_bad_ones_named() -> None:
    assert check_text("  fine \n") == "fine"
    bad = [None, 3, " \t", "x" * (MAX_TEXT_CHARACTERS + 1), "a\0b", "a\ud800"]
    kinds = [checked.kind for value in bad if isinstance(checked := check_text(value), Failure)]
    assert kinds == ["missing", "not_text", "blank", "too_long", "nul", "not_unicode"]
    assert check_text(" " + "x" * MAX_TEXT_CHARACTERS) == "x" * MAX_TEXT_CHARACTERS
