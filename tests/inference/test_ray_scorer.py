"""What an actor of the Ray Data job does with a batch of rows; Ray itself is not needed for that."""

from __future__ import annotations

import numpy as np
import pytest

from batch_ray.scorer import Scorer


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BATCH_PROCESSOR_MODEL", "bundled")
        patch.setenv("BATCH_PROCESSOR_DEVICE", "cpu")
        patch.setenv("BATCH_PROCESSOR_ANALYSES", "emotion=bundled")
        with pytest.raises(ValueError, match="no analysis 'irony', only sentiment, emotion"):
            Scorer("text", ["irony"])
        return Scorer("text", ["emotion", "sentiment"])


def test_each_analysis_has_its_columns(scorer: Scorer) -> None:
    texts = np.array(["I feel so lonely and depressed, I cried all day", None, "What a happy day, I love it"], object)
    scored = scorer({"id": np.arange(3), "text": texts})
    assert list(scored) == [
        "id", "text", "emotion", "emotion_confidence", "sentiment", "sentiment_confidence", "token_count", "truncated",
        "error",
    ]  # fmt: skip
    assert scored["emotion"].tolist() == ["SADNESS", None, "JOY"]
    assert scored["sentiment"].tolist() == ["NEGATIVE", None, "POSITIVE"]
    assert scored["error"].tolist() == [None, "not a string", None]
    assert scored["truncated"].tolist() == [False, None, False]
