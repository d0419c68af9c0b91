"""The recipes' blocks, run as they stand but for the address of the service."""

from __future__ import annotations

import pytest

from recipes import RECIPES, run_recipe
from stand_in import Service, prediction

TOO_LARGE_FOR_A_TEST = {"Ray Data", "Spark"}
LOVE, TERRIBLE = (prediction(text)["sentiment"] for text in ("I love this!", "Terrible."))


def test_all_recipes_are_known() -> None:
    assert (
        set(RECIPES)
        == {"pandas", "Polars", "Several analyses", "Hugging Face datasets", "DuckDB", "Jupyter"} | TOO_LARGE_FOR_A_TEST
    )


def test_pandas(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_recipe("pandas", service[0], capsys)
    assert LOVE in printed
    assert "the text is missing" in printed


def test_polars(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert LOVE in run_recipe("Polars", service[0], capsys)


def test_several_analyses(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert "emotion_confidence" in run_recipe("Several analyses", service[0], capsys)


def test_datasets(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_recipe("Hugging Face datasets", service[0], capsys).strip() == f"{LOVE} the text is blank 25000"


def test_duckdb(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_recipe("DuckDB", service[0], capsys).strip() == str([(1, LOVE), (2, None), (3, TERRIBLE)])


def test_jupyter(service: Service, capsys: pytest.CaptureFixture[str]) -> None:
    printed = run_recipe("Jupyter", service[0], capsys)
    assert LOVE in printed
    assert TERRIBLE in printed


@pytest.mark.parametrize("name", sorted(TOO_LARGE_FOR_A_TEST))
def test_the_others_are_at_least_python(name: str) -> None:
    compile(RECIPES[name], name, "exec")
