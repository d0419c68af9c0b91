"""Every knob is read from its variable, and a bad value is one sentence."""

from __future__ import annotations

import pytest

from batch_inference.errors import SettingsError
from batch_inference.settings import BUNDLED_MODEL_PATH, CARDIFF_MODEL, CARDIFF_REVISION, load_settings


def test_the_default_model_is_pinned() -> None:
    settings = load_settings()
    assert (settings.model_source, settings.pinned_revision) == (CARDIFF_MODEL, CARDIFF_REVISION)


def test_another_model_is_not_given_the_default_models_revision() -> None:
    assert load_settings(model="someone/else").pinned_revision is None
    assert load_settings(model="someone/else", revision="abc").pinned_revision == "abc"


def test_bundled_is_the_folder_in_the_repository() -> None:
    assert load_settings(model="bundled").model_source == str(BUNDLED_MODEL_PATH)


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_PROCESSOR_MAX_BATCH_TOKENS", "4096")
    monkeypatch.setenv("BATCH_PROCESSOR_PRECISION", "bfloat16")
    settings = load_settings()
    assert (settings.max_batch_tokens, settings.precision) == (4096, "bfloat16")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DEVICE", "gpu"),
        ("PRECISION", "half"),
        ("MAX_BATCH_TOKENS", "-1"),
        ("MAX_BATCH_TOKENS", "many"),
        ("MAX_QUEUED_TOKENS", "0"),
        ("CONCURRENCY", "257"),
        ("CHUTE_NAME", "With Spaces"),
        ("MODEL", ""),
    ],
)
def test_a_bad_value_is_one_sentence_with_variable_and_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(f"BATCH_PROCESSOR_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings()
    assert str(caught.value).startswith(f"BATCH_PROCESSOR_{name}={value!r} is not valid: ")
    assert "\n" not in str(caught.value)
