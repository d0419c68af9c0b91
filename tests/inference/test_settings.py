"""Every knob is read from its variable, and a bad value is one sentence."""

from __future__ import annotations

import pytest

from batch_classification.settings import BUNDLED_MODEL_PATH, CARDIFF_MODEL, CARDIFF_REVISION, ClassifierSettings
from batch_embedding.settings import EmbedderSettings
from batch_generation.settings import GeneratorSettings
from batch_http.deployment import DeploymentSettings
from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings


def test_the_default_model_is_pinned() -> None:
    settings = load_settings(ClassifierSettings)
    assert (settings.model_source, settings.pinned_revision) == (CARDIFF_MODEL, CARDIFF_REVISION)


def test_another_model_is_not_given_the_default_models_revision() -> None:
    assert load_settings(ClassifierSettings, model="someone/else").pinned_revision is None
    assert load_settings(ClassifierSettings, model="someone/else", revision="abc").pinned_revision == "abc"


def test_bundled_is_the_folder_in_the_repository() -> None:
    assert load_settings(ClassifierSettings, model="bundled").model_source == str(BUNDLED_MODEL_PATH)


def test_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_PROCESSOR_MAX_BATCH_TOKENS", "4096")
    monkeypatch.setenv("BATCH_PROCESSOR_PRECISION", "bfloat16")
    settings = load_settings(ClassifierSettings)
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
        load_settings(ClassifierSettings)
    assert str(caught.value).startswith(f"BATCH_PROCESSOR_{name}={value!r} is not valid: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("kind", "variable", "closest"),
    [
        (GeneratorSettings, "BATCH_GENERATOR_FORWARD", ""),
        (GeneratorSettings, "BATCH_GENERATOR_WINDOW_STRIDE", ""),
        (GeneratorSettings, "BATCH_GENERATOR_ANSWER_CACHE_MIB", ""),
        (EmbedderSettings, "BATCH_EMBEDDER_CACHE_TOKENS", ""),
        (ClassifierSettings, "BATCH_PROCESSOR_MAX_BATCH_TOKEN", "BATCH_PROCESSOR_MAX_BATCH_TOKENS"),
    ],
)
def test_a_setting_that_the_chute_ignores_is_refused(
    monkeypatch: pytest.MonkeyPatch, kind: type[DeploymentSettings], variable: str, closest: str
) -> None:
    monkeypatch.setenv(variable, "1")
    with pytest.raises(SettingsError, match=rf"^{variable} is not a setting of this chute; unset it, or set {closest}"):
        load_settings(kind)
