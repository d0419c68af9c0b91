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


def test_analyses_are_further_checkpoints_with_the_service_s_other_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_PROCESSOR_ANALYSES", "emotion=org/feelings@abc123, toxicity=/models/toxicity")
    monkeypatch.setenv("BATCH_PROCESSOR_ANALYSES_TEXT_PREPARATION", "emotion=none")
    monkeypatch.setenv("BATCH_PROCESSOR_REVISION", "of sentiment")
    monkeypatch.setenv("BATCH_PROCESSOR_PRECISION", "float32")
    settings = load_settings(ClassifierSettings)
    emotion, toxicity = settings.further_analyses
    assert settings.analysis_names == ["sentiment", "emotion", "toxicity"]
    assert (emotion.model_source, emotion.pinned_revision, emotion.text_preparation) == (
        "org/feelings",
        "abc123",
        "none",
    )
    assert (toxicity.model_source, toxicity.pinned_revision, toxicity.text_preparation) == (
        "/models/toxicity",
        None,
        "auto",
    )
    assert {emotion.precision, toxicity.precision} == {"float32"}


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [
        ("ANALYSES", "emotion", "'emotion' must be NAME=CHECKPOINT"),
        ("ANALYSES", "Emotion=org/a", "the name 'Emotion' must have up to 32 of a-z, 0-9 and _, a letter first"),
        ("ANALYSES", "emotion=org/a,emotion=org/b", "it names emotion twice; leave one out"),
        ("ANALYSES", "sentiment=org/a", "sentiment is what BATCH_PROCESSOR_MODEL names; leave it out here"),
        ("ANALYSES", "emotion=", "emotion must be NAME=CHECKPOINT or NAME=CHECKPOINT@REVISION, but is ''"),
        ("ANALYSES", "emotion=org/a@", "emotion must be NAME=CHECKPOINT or NAME=CHECKPOINT@REVISION, but is 'org/a@'"),
        ("ANALYSES", "nothing=bundled", "there is no bundled model for nothing; name a checkpoint, or train"),
        ("ANALYSES", ",".join(f"a{n}=org/a" for n in range(16)), "it names 16 analyses, and 15 is the most"),
        ("ANALYSES_TEXT_PREPARATION", "emotion=tweets", "there is no analysis emotion; there are none"),
    ],
)
def test_a_list_of_analyses_that_breaks_a_rule_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, problem: str
) -> None:
    monkeypatch.setenv(f"BATCH_PROCESSOR_{name}", value)
    with pytest.raises(SettingsError) as caught:
        load_settings(ClassifierSettings)
    assert str(caught.value).startswith(f"BATCH_PROCESSOR_{name}={value!r} is not valid: {problem}")


def test_a_preparation_that_there_is_not_is_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BATCH_PROCESSOR_ANALYSES", "emotion=org/a")
    monkeypatch.setenv("BATCH_PROCESSOR_ANALYSES_TEXT_PREPARATION", "emotion=loud")
    with pytest.raises(SettingsError, match="is not valid: emotion must be auto, tweets, none, but is 'loud'"):
        load_settings(ClassifierSettings)
