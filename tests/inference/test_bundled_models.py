"""The bundled models beside the one of sentiments: real weights through the ordinary loader, on a CPU in float32."""

from __future__ import annotations

from pathlib import Path

import pytest

from batch_classification.in_process import load_classifier
from batch_inference.model import EncoderModel

MODELS = Path(__file__).resolve().parents[2] / "models"
LABELS = {
    "emotion": ("ANGER", "JOY", "OPTIMISM", "SADNESS"),
    "offensive": ("NON-OFFENSIVE", "OFFENSIVE"),
}
TEXTS = {
    "emotion": {
        "I'm so angry, how dare they do this to me! #furious": "ANGER",
        "What a happy day, we laughed and danced all night": "JOY",
        "I feel so lonely and depressed, I cried all day": "SADNESS",
    },
    "offensive": {
        "You are a disgusting idiot, shut up": "OFFENSIVE",
        "What a lovely morning, thank you all": "NON-OFFENSIVE",
    },
}


@pytest.fixture(scope="module", params=LABELS)
def analysis(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(analysis: str) -> EncoderModel:
    # Which of two passes serves is a matter of their speed, unless one is asked for.
    return load_classifier(model=str(MODELS / f"tiny-{analysis}"), device="cpu", precision="float32", forward="packed")


def test_it_knows_its_labels_and_says_what_is_plain(analysis: str, model: EncoderModel) -> None:
    assert model.labels == LABELS[analysis]
    texts = TEXTS[analysis]
    answers = model.answers(model.tokenizer.encode(list(texts), model.max_tokens).rows)
    assert [model.labels[best] for best in answers.argmax(axis=1)] == list(texts.values())


def test_it_runs_without_padding_on_handles_that_are_masked(model: EncoderModel) -> None:
    assert not model.is_padded
    assert model.head.text_preparation == "tweets"


@pytest.mark.parametrize("name", LABELS)
def test_it_is_small_and_has_the_tokenizer_of_sentiments(name: str) -> None:
    folder = MODELS / f"tiny-{name}"
    assert sum(file.stat().st_size for file in folder.iterdir()) <= 14_000_000
    tokenizer = (MODELS / "tiny-sentiment" / "tokenizer.json").read_bytes()
    assert (folder / "tokenizer.json").read_bytes() == tokenizer
