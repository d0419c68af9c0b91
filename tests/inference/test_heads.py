"""A head that is not ours: several labels at once, through the whole service."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification, AutoTokenizer

from batch_classification.head import SentimentHead
from batch_classification.settings import ClassifierSettings
from batch_inference.heads import ClassifierHead
from batch_inference.settings import load_settings
from rehearsal.dev_server import ROOT
from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import running_instance

EXAMPLE = ROOT / "examples" / "toxicity.py"
LABELS = ["toxic", "insult", "threat", "obscene"]


def test_the_example_is_short() -> None:
    assert len(EXAMPLE.read_text(encoding="utf-8").splitlines()) <= 90


def test_several_labels_at_once(tmp_path: Path) -> None:
    source = load_settings(ClassifierSettings, model="bundled").model_source
    config = AutoConfig.from_pretrained(source, id2label=dict(enumerate(LABELS)), num_labels=len(LABELS))
    torch.manual_seed(0)
    model = AutoModelForSequenceClassification.from_pretrained(
        source, config=config, dtype=torch.float32, ignore_mismatched_sizes=True
    ).eval()
    tokenizer = AutoTokenizer.from_pretrained(source)
    model.save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    texts = ["You fool!", "Have a nice day, @you.", "word " * 40]
    expected = []
    for text in texts:
        with torch.inference_mode():
            logits = model(**tokenizer(text.strip(), return_tensors="pt")).logits[0]
        scores = logits.sigmoid().tolist()
        expected.append({label.upper(): score for label, score in zip(LABELS, scores, strict=True)})
    # Else the test would show nothing that softmax does not: never two labels at once.
    assert any(sum(score > 0.5 for score in scores.values()) > 1 for scores in expected)

    environment = {"TOXICITY_MODEL": str(tmp_path / "model"), "TOXICITY_DEVICE": "cpu"}
    with running_instance(tmp_path, "toxicity:chute", EXAMPLE.parent, **environment) as instance:

        async def scenario(gateway: Gateway) -> None:
            answer = await gateway.post("/toxicity", {"texts": texts})
            assert answer.status == 200
            for scores, right in zip(answer.json()["results"], expected, strict=True):
                assert scores == pytest.approx(right, abs=1e-4)
            assert (await gateway.post("/toxicity", {"texts": []})).status == 400

        through_gateway(instance, scenario)


def test_handles_are_masked_for_models_of_tweets_only() -> None:
    assert SentimentHead("tweets").prepare_text("hi @bob") == "hi @user"
    assert SentimentHead("none").prepare_text("hi @bob") == "hi @bob"
    assert ClassifierHead().prepare_text("hi @bob") == "hi @bob"
