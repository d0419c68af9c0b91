"""Several analyses of a text, from the request to the columns and the page."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest
from click.testing import Result

from batch_client import Client, InputError, RequestRefusedError, classify_frame
from batch_client.journal import num_rows_done
from batch_client.options import Options
from batch_client.outcomes import Analysis, Failure, prediction_from
from batch_client.report.page import render
from batch_client.report.tally import Tally
from stand_in import Behaviour, Service, serving

Run = Callable[..., Result]
ASKED = ("--text-column", "review", "--analyses", "emotion,offensive")


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _input(folder: Path, num_rows: int = 6) -> Path:
    path = folder / "in.csv"
    path.write_text("shop,review\n" + "".join(f"Oslo,review {number}\n" for number in range(num_rows)) + "Rome,\n")
    return path


def test_each_analysis_has_columns_of_its_own(service: Service, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    result = run("score", _input(tmp_path), *ASKED, "--url", service[0], "--out", out)
    assert result.exit_code == 3, result.stderr
    rows = _rows(out)
    assert list(rows[0]) == [
        "shop", "review", "emotion", "emotion_confidence", "offensive", "offensive_confidence", "token_count",
        "truncated", "error",
    ]  # fmt: skip
    assert service[1].last_body["analyses"] == ["emotion", "offensive"]
    assert {row["emotion"] for row in rows[:-1]} <= {"ANGER", "JOY", "OPTIMISM", "SADNESS"}
    assert rows[-1]["emotion"] == ""
    assert rows[-1]["error"] == "the text is blank"
    assert "emotion model stand-in-emotion" in result.stderr


def test_labels_that_hold_and_scores_are_columns_too(service: Service, run: Run, tmp_path: Path) -> None:
    out = tmp_path / "out.parquet"
    asked = ("--text-column", "review", "--analyses", "sentiment,topic", "--all-scores", "--prefix", "its_")
    assert run("score", _input(tmp_path, 40), *asked, "--url", service[0], "--out", out).exit_code == 3
    table = pq.read_table(out)
    assert table.column_names[2:] == [
        "its_sentiment", "its_sentiment_confidence", "its_sentiment_score_negative", "its_sentiment_score_neutral",
        "its_sentiment_score_positive", "its_topic", "its_topic_confidence", "its_topic_labels",
        "its_topic_score_film", "its_topic_score_food", "its_topic_score_sports", "its_topic_score_travel",
        "its_token_count", "its_truncated", "its_error",
    ]  # fmt: skip
    for row in table.to_pylist()[:-1]:
        holding = [
            label for label in ("FILM", "FOOD", "SPORTS", "TRAVEL") if row[f"its_topic_score_{label.lower()}"] >= 0.5
        ]
        assert sorted(filter(None, row["its_topic_labels"].split("|"))) == holding


def test_columns_are_the_same_where_no_text_got_an_answer(service: Service, run: Run, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("review,n\n,1\n")
    asked = ("--text-column", "review", "--analyses", "topic", "--url", service[0])
    assert run("score", tmp_path / "in.csv", *asked, "--out", tmp_path / "o.csv").exit_code == 3
    assert "topic_labels" in _rows(tmp_path / "o.csv")[0]


@pytest.mark.parametrize(("analyses", "words"), [
    ("emotion,irony", "'irony' is not one of sentiment, emotion"), ("Emotion", "'Emotion' is no analysis's name"),
    ("emotion,emotion", "name one twice"), ("error", "two columns named 'error'"), (",", "'' is no analysis's name"),
])  # fmt: skip
def test_analyses_that_cannot_be_asked_for(
    service: Service, run: Run, tmp_path: Path, analyses: str, words: str
) -> None:
    service[1].behaviour.analyses["error"] = ("A", "B")
    asked = ("--text-column", "review", "--analyses", analyses, "--url", service[0], "--out", tmp_path / "o.csv")
    result = run("score", _input(tmp_path), *asked)
    assert result.exit_code == 1
    assert words in result.stderr


def test_other_servers_have_one_model(run: Run) -> None:
    result = run("classify", "x", "--analyses", "emotion", "--protocol", "tei", "--url", "http://127.0.0.1:9")
    assert "--analyses is for batch-processor only" in result.stderr


def test_failed_rows_are_asked_again_and_others_keep_their_answers(service: Service, run: Run, tmp_path: Path) -> None:
    source, first, again = _input(tmp_path, 30), tmp_path / "first.csv", tmp_path / "again.csv"
    asked = ("--text-column", "review", "--analyses", "emotion,topic", "--all-scores", "--url", service[0])
    service[1].behaviour.refused_texts = frozenset({"review 3"})
    assert run("score", source, *asked, "--out", first).exit_code == 3
    service[1].behaviour.refused_texts = frozenset()
    assert run("score", source, *asked, "--out", tmp_path / "whole.csv").exit_code == 3
    service[1].seen.clear()
    assert run("score", first, *asked, "--retry-errors", "--out", again).exit_code == 3
    assert list(service[1].seen) == ["review 3"]
    assert again.read_bytes() == (tmp_path / "whole.csv").read_bytes()
    other = run(
        "score", first, "--text-column", "review", "--url", service[0], "--retry-errors", "--out", tmp_path / "x.csv"
    )
    assert "was scored with --analyses emotion,topic" in other.stderr


def test_labels_that_differ_in_case_alone_have_a_column_each(service: Service, run: Run, tmp_path: Path) -> None:
    service[1].behaviour.analyses["mood"] = ("pos", "POS", "Größe")
    source, first, again, whole = _input(tmp_path, 30), *(tmp_path / f"{name}.csv" for name in ("f", "a", "w"))
    asked = ("--text-column", "review", "--analyses", "mood", "--all-scores", "--url", service[0])
    assert run("score", source, *asked, "--out", whole).exit_code == 3
    row = _rows(whole)[0]
    scores = {name: float(cell) for name, cell in row.items() if name.startswith("mood_score_")}
    assert list(scores) == ["mood_score_Größe", "mood_score_POS", "mood_score_pos"]
    assert sum(scores.values()) == pytest.approx(1, abs=0.01)
    service[1].behaviour.refused_texts = frozenset({"review 3"})
    assert run("score", source, *asked, "--out", first).exit_code == 3
    service[1].behaviour.refused_texts = frozenset()
    assert run("score", first, *asked, "--retry-errors", "--out", again).exit_code == 3
    assert again.read_bytes() == whole.read_bytes()


def test_a_run_killed_twice_ends_as_one_that_was_not(run: Run, tmp_path: Path) -> None:
    source, out, whole = _input(tmp_path, 2000), tmp_path / "out.csv", tmp_path / "whole.csv"
    with serving(Behaviour(delay_s=0.15)) as (url, stand_in):
        options = ("--text-column", "review", "--url", url, "--max-concurrency", "1", "--out")
        asked = ("--analyses", "sentiment,emotion,topic")
        for num_rows in (1, 600):
            _kill_midway(["score", source, *options, out, *asked], out, num_rows)
        stand_in.behaviour.delay_s = 0.0
        other = run("score", source, *options, out, "--analyses", "emotion")
        assert "an unfinished run with another --analyses" in other.stderr
        assert run("score", source, *options, out, *asked).exit_code == 3
        assert run("score", source, *options, whole, *asked).exit_code == 3
    assert out.read_bytes() == whole.read_bytes()
    assert len(_rows(out)) == 2001


def _kill_midway(arguments: list[object], out: Path, num_rows: int) -> None:
    """Start the command, and kill it once it has so many rows."""
    process = subprocess.Popen([sys.executable, "-m", "batch_client.cli", *map(str, arguments)], stderr=subprocess.PIPE)
    folder = out.with_name(f"{out.name}.partial")
    while process.poll() is None and num_rows_done(folder) < num_rows:
        time.sleep(0.02)
    assert process.poll() is None
    process.kill()
    process.communicate()


def test_python_gets_every_analysis(service: Service) -> None:
    with Client(service[0], analyses=["emotion", "topic"], all_scores=True) as client:
        prediction = client.classify(["I love this!"])[0]
        columns = client.columns(["I love this!", None])
    assert prediction.sentiment is None
    assert list(prediction.analyses) == ["emotion", "topic"]
    assert sum(prediction.analyses["emotion"].scores.values()) == pytest.approx(1)
    assert prediction.analyses["emotion"].labels is None
    assert columns["emotion"] == [prediction.analyses["emotion"].label, None]
    with Client(service[0], analyses=["offensive", "sentiment"]) as client:
        prediction = client.classify(["I love this!"])[0]
    assert prediction.sentiment == prediction.analyses["sentiment"].label
    with Client(service[0], analyses=["irony"]) as client, pytest.raises(RequestRefusedError, match="irony"):
        client.classify(["x"])
    with pytest.raises(InputError, match="put it in a list"):
        Options("http://x", analyses="emotion")


def test_a_frame_gets_typed_columns(service: Service) -> None:
    frame = pd.DataFrame({"review": ["I love this!", None]})
    with Client(service[0], analyses=["emotion", "topic"]) as client:
        scored = classify_frame(frame, "review", client)
    assert list(scored.columns[1:6]) == ["emotion", "emotion_confidence", "topic", "topic_confidence", "topic_labels"]
    assert scored["topic_labels"].dtype == "string"
    assert scored["emotion_confidence"].dtype == "Float64"


def test_classify_prints_them(service: Service, run: Run) -> None:
    result = run("classify", "fine", "--analyses", "emotion,topic", "--url", service[0])
    row = json.loads(result.stdout)
    assert list(row)[:6] == ["text", "emotion", "emotion_confidence", "topic", "topic_confidence", "topic_labels"]


def test_a_page_has_a_panel_for_each(service: Service, run: Run, tmp_path: Path) -> None:
    out, page, later = tmp_path / "o.csv", tmp_path / "r.html", tmp_path / "later.html"
    asked = ("--text-column", "review", "--analyses", "emotion,topic")
    result = run(
        "score",
        _input(tmp_path, 50),
        *asked,
        "--url",
        service[0],
        "--out",
        out,
        "--report",
        page,
        "--report-by",
        "shop",
    )
    assert result.exit_code == 3, result.stderr
    assert run("report", out, "--text-column", "review", "--by", "shop", "--out", later).exit_code == 0
    for html in (page.read_text(), later.read_text()):
        assert "<h1>Emotion and topic of" in html
        for section in ("emotion", "emotion-confidences", "emotion-groups", "topic", "topic-doubtful"):
            assert f'<section id="{section}"' in html
        assert html.count("Several labels may hold") == 1


def test_a_multi_label_chart_counts_what_holds() -> None:
    tally = Tally()
    for labels in (("A", "B"), ("A",), ()):
        tally.add("text", prediction_from({"topic": Analysis("A", 0.9, labels=labels)}))
    tally.add("text", Failure("blank", "the text is blank"))
    assert tally.analyses["topic"].holding == {"A": 2, "B": 1}
    assert "66.7% · 2" in render(tally, None, "x.csv")
