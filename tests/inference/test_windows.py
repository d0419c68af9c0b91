"""Windows cover a text and nothing else, their means weigh its tokens alike, and they cost what the text is long."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from batch_classification.in_process import start_engine
from batch_inference.engine import Engine
from batch_inference.errors import QueueFullError
from batch_inference.token_rows import TokenRows, starts_of
from batch_inference.windows import Windows, text_means

NEWS = "The parcel came on Monday and we put it on the table. "
ANGER = "This is terrible, I hate it, and it was a complete waste of money!"


@given(
    lengths=st.lists(st.integers(0, 300), max_size=8),
    size=st.integers(1, 60),
    stride=st.floats(0.01, 1),
)
def test_windows_cover_every_token_in_order(lengths: list[int], size: int, stride: float) -> None:
    texts = TokenRows.of([list(range(1000 * number, 1000 * number + n)) for number, n in enumerate(lengths)])
    windows = Windows.over(texts, size, stride)
    assert windows.counts.sum() == len(windows.rows) == len(windows.weights)
    rows = windows.rows.tolists()
    for text, first, count in zip(texts.tolists(), starts_of(windows.counts), windows.counts, strict=True):
        own = rows[first : first + count]
        seen: list[int] = []
        for row, weight in zip(own, windows.weights[first : first + count], strict=True):
            assert len(row) == min(size, len(text))
            assert weight > 0 or not text
            seen += row[len(row) - weight :]
        assert seen == text
        # Each window starts a stride after the one before, the last at most that; and there is none too many.
        step = max(1, round(size * stride))
        further = windows.weights[first + 1 : first + count].tolist()
        assert further[:-1] == [step] * (count - 2)
        assert max(further, default=0) <= step
        assert count == 1 or (count - 2) * step + size < len(text)


def test_means_weigh_tokens_alike() -> None:
    values = np.array([[1.0], [3.0], [5.0]], np.float32)
    means = text_means(values, np.array([2, 1], np.int32), np.array([30, 10, 7], np.int32))
    assert means.tolist() == [[1.5], [5.0]]


@pytest.fixture(scope="module")
def long_text() -> str:
    return NEWS * ((10_000 - len(ANGER)) // len(NEWS))


@pytest.mark.parametrize("max_length", [50, 512])
def test_the_last_sentence_of_ten_thousand_characters_counts(engine: Engine, long_text: str, max_length: int) -> None:
    texts = [long_text, long_text + ANGER]
    assert len(texts[1]) <= 10_000
    plain, planted = engine.run(texts, max_length).answers
    assert plain.tolist() == pytest.approx(planted.tolist(), abs=1e-6)
    plain, planted = engine.run(texts, max_length, in_windows=True).answers
    negative = engine.model.labels.index("NEGATIVE")
    # A sentence among two hundred; without windows it makes no difference at all.
    assert planted[negative] > plain[negative] + 0.005


def test_every_token_is_seen(engine: Engine, long_text: str) -> None:
    cut, whole = (engine.run([long_text], 128, in_windows=windows) for windows in (False, True))
    assert whole.num_tokens[0] == cut.num_tokens[0] + cut.num_dropped[0]
    assert (whole.num_dropped[0], cut.num_windows[0]) == (0, 1)
    assert whole.answers.sum() == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("max_length", [50, 64, 128])
def test_short_texts_are_answered_as_ever(engine: Engine, tweets: list[str], max_length: int) -> None:
    is_short = engine.run(tweets[:100], max_length).num_dropped == 0
    assert is_short.sum() > 50
    for text in np.array(tweets[:100])[is_short][:8]:
        alone, windowed = (engine.run([str(text)], max_length, in_windows=windows) for windows in (False, True))
        assert windowed.answers.tolist()[0] == pytest.approx(alone.answers.tolist()[0], abs=1e-6)


def test_cost_grows_with_the_length(engine: Engine) -> None:
    def tokens_run(repeats: int) -> int:
        return engine.run([NEWS * repeats], 64, in_windows=True).num_tokens_run

    per_repeat = [tokens_run(repeats) / repeats for repeats in (20, 40, 80)]
    assert max(per_repeat) < 1.15 * min(per_repeat)


def test_windows_count_when_a_request_is_admitted() -> None:
    engine = start_engine(model="bundled", device="cpu", answer_cache_mib=0, max_queued_tokens=150)
    with engine.admitted(["word " * 38], 512):
        # 64 tokens fit beside the 40 that are there; the windows of the same text do not.
        engine.run([NEWS * 100], 64)
        with pytest.raises(QueueFullError):
            engine.run([NEWS * 100], 64, in_windows=True)
    engine.close()
