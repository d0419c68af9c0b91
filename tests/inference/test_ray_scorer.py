"""What an actor of the Ray Data job does with a batch of rows; Ray itself is not needed for that."""

from __future__ import annotations

import pyarrow as pa
import pytest

from batch_ray.scorer import Scorer


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_PROCESSOR_MODEL", "bundled")
        patch.setenv("BATCH_PROCESSOR_DEVICE", "cpu")
        patch.setenv("BATCH_PROCESSOR_FORWARD", "packed")
        patch.setenv("BATCH_PROCESSOR_ANALYSES", "emotion=bundled")
        with pytest.raises(ValueError, match="no analysis 'irony', only sentiment, emotion"):
            Scorer("text", ["irony"])
        return Scorer("text", ["emotion", "sentiment"])


def test_each_analysis_has_its_columns(scorer: Scorer) -> None:
    texts = ["I feel so lonely and depressed, I cried all day", None, "What a happy day, I love it"]
    scored = scorer(pa.table({"id": [0, 1, 2], "emotion": ["of the file", None, None], "text": texts}))
    assert scored.column_names == [
        "id", "text", "emotion", "emotion_confidence", "sentiment", "sentiment_confidence", "token_count", "truncated",
        "error",
    ]  # fmt: skip
    assert scored["emotion"].to_pylist() == ["SADNESS", None, "JOY"]
    assert scored["sentiment"].to_pylist() == ["NEGATIVE", None, "POSITIVE"]
    assert scored["error"].to_pylist() == [None, "not a string", None]
    assert scored["truncated"].to_pylist() == [False, None, False]
