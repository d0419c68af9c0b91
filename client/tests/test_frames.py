"""Data frames of pandas and Polars: a row in, a row out, types and index as they should be."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from batch_client import Client, InputError, classify_frame
from stand_in import FAST, Service, prediction

TEXTS = ["I love this!", None, "Terrible.", " ", "It arrived."]
SENTIMENTS = [prediction(text)["sentiment"] if text and text.strip() else None for text in TEXTS]
ADDED = ["sentiment", "confidence", "token_count", "truncated", "error"]


@pytest.fixture
def client(service: Service) -> Iterator[Client]:
    with Client(service[0], **FAST) as client:
        yield client


def test_columns_are_as_long_as_the_texts(client: Client) -> None:
    columns = client.columns(TEXTS)
    assert list(columns) == ADDED
    assert columns["sentiment"] == SENTIMENTS
    assert columns["error"] == [None, "the text is missing", None, "the text is blank", None]


def test_columns_with_scores(service: Service) -> None:
    with Client(service[0], all_scores=True, **FAST) as client:
        columns = client.columns(["I love this!"], prefix="p_")
    assert columns["p_score_positive"] == [round(prediction("I love this!")["scores"]["POSITIVE"], 4)]


def test_pandas_keeps_index_columns_and_whole_numbers(client: Client) -> None:
    frame = pd.DataFrame({"id": [5, 6, 7, 8, 9], "review": TEXTS}, index=list("edcba"))
    scored = classify_frame(frame, "review", client)
    assert list(scored.columns) == ["id", "review", *ADDED]
    assert list(scored.index) == list("edcba")
    assert scored["sentiment"].tolist() == [pd.NA if each is None else each for each in SENTIMENTS]
    assert str(scored["token_count"].dtype) == "Int64"
    assert scored.loc["e", "token_count"] == prediction("I love this!")["token_count"]
    assert scored["error"].isna().tolist() == [True, False, True, False, True]
    assert list(frame.columns) == ["id", "review"], "the caller's frame is as it was"


def test_pandas_with_rows_taken_out_stays_aligned(client: Client) -> None:
    frame = pd.DataFrame({"review": ["a", "b", "c", "d"]})
    scored = classify_frame(frame[frame["review"] != "b"], "review", client)
    assert scored["sentiment"].to_dict() == {i: prediction(t)["sentiment"] for i, t in ((0, "a"), (2, "c"), (3, "d"))}


def test_polars(client: Client) -> None:
    scored = classify_frame(pl.DataFrame({"review": TEXTS}), "review", client, prefix="p_")
    assert scored.columns == ["review", *(f"p_{name}" for name in ADDED)]
    assert scored["p_sentiment"].to_list() == SENTIMENTS
    assert scored.schema["p_token_count"] == pl.Int64


def test_arrow(client: Client) -> None:
    scored = classify_frame(pa.table({"review": TEXTS}), "review", client)
    assert scored.column("sentiment").to_pylist() == SENTIMENTS


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"review": pd.Categorical(["good", None])}),
        pl.DataFrame({"review": pl.Series(["good", None], dtype=pl.Categorical)}),
        pa.table({"review": pa.array(["good", None]).dictionary_encode()}),
        pa.table({"review": pa.chunked_array([["good"], [None]], pa.string())}),
    ],
    ids=["pandas' categories", "polars' categories", "a dictionary", "chunks"],
)
def test_texts_that_are_stored_once_are_texts(service: Service, client: Client, frame: Any) -> None:
    scored = classify_frame(frame, "review", client)
    assert len(scored["sentiment"]) == 2
    assert service[1].seen == {"good": 1}


def test_an_empty_frame_gets_the_columns_too(client: Client) -> None:
    scored = classify_frame(pl.DataFrame({"review": []}, schema={"review": pl.String}), "review", client)
    assert scored.columns == ["review", *ADDED]


def test_mistakes_are_reported_before_anything_is_sent(service: Service, client: Client) -> None:
    with pytest.raises(InputError, match="has no column 'text'; it has 'review'"):
        classify_frame(pl.DataFrame({"review": TEXTS}), "text", client)
    with pytest.raises(InputError, match="collect"):
        classify_frame(pl.LazyFrame({"review": TEXTS}), "review", client)
    with pytest.raises(InputError, match="already; choose other names"):
        classify_frame(pl.DataFrame({"review": TEXTS, "sentiment": TEXTS}), "review", client)
    assert not service[1].requests


def test_a_frames_own_scores_are_not_overwritten(service: Service) -> None:
    frame = pl.DataFrame({"review": TEXTS, "score_positive": [1.0] * len(TEXTS)})
    with Client(service[0], all_scores=True, **FAST) as client:
        with pytest.raises(InputError, match="'score_positive' already; choose other names"):
            classify_frame(frame, "review", client)
        assert "p_score_positive" in classify_frame(frame, "review", client, prefix="p_").columns
    with Client(service[0], **FAST) as client:
        assert classify_frame(frame, "review", client)["score_positive"].to_list() == [1.0] * len(TEXTS)


@pytest.mark.parametrize(
    ("frame", "column", "words"),
    [
        (pd.DataFrame([["a", "b"]], columns=["review", "review"]), "review", "unique column names"),
        (pa.table([["a"], ["b"]], names=["review", "review"]), "review", "unique column names"),
        (pd.DataFrame([["a", "b"]]), 0, "column name 0, which is no text"),
        (pd.DataFrame([["a", "b"]], columns=pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")])), ("a", "b"), "levels"),
        (pd.DataFrame({"review": ["a"]}), ["review"], "has no column"),
        (pl.Series("review", ["a"]), "review", "not a data frame"),
        ({"review": ["a"]}, "review", "not a data frame"),
    ],
)
def test_frames_that_cannot_be_read_are_refused_in_our_words(
    service: Service, client: Client, frame: object, column: str, words: str
) -> None:
    with pytest.raises(InputError, match=words):
        classify_frame(frame, column, client)
    assert not service[1].requests


def test_names_that_look_alike_are_told_apart_in_escapes(client: Client) -> None:
    frame = pl.DataFrame({"id": [1], "cafe\u0301": ["a"]})
    with pytest.raises(InputError, match=r"has no column 'caf\\xe9'; it has 'id', 'cafe\\u0301'"):
        classify_frame(frame, "caf\xe9", client)
