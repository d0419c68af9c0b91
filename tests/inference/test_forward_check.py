"""At start-up the pass without padding proves itself; with a fault planted in it, transformers' own serves."""

from __future__ import annotations

import logging
import re
from typing import Any

import pytest
import torch
from transformers import AutoModelForSequenceClassification

from batch_classification.head import SentimentHead
from batch_classification.settings import BUNDLED_MODEL_PATH, ClassifierSettings
from batch_http.engine_stats import batch_stats
from batch_inference.engine import Engine
from batch_inference.errors import DeviceLostError, ModelLoadError
from batch_inference.forward.kernels import DeviceRows
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.weights import Affine
from batch_inference.loading import load_model
from batch_inference.model import EncoderModel
from batch_inference.settings import load_settings
from batch_inference.token_rows import TokenRows

ROWS = [[0, 5, 8, 2], [0, *range(100, 140), 2]]


def settings(**overrides: Any) -> ClassifierSettings:
    return load_settings(ClassifierSettings, model="bundled", device="cpu", **overrides)


class WrongWeight(PackedClassifier):
    @torch.inference_mode()
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._encoder._weights.positions[40:].neg_()


class WrongHead(PackedClassifier):
    @torch.inference_mode()
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._out = Affine(self._out.weight.roll(1, 0), self._out.bias)


class NotFinite(PackedClassifier):
    def logits(self, rows: DeviceRows) -> torch.Tensor:
        logits = super().logits(rows)
        # In the longest row only, as an overflow would.
        logits[int(rows.row_starts.diff()[: rows.num_rows].argmax())] = float("nan")
        return logits


class FailsToLoad(PackedClassifier):
    def __init__(self, *arguments: Any) -> None:
        raise NotImplementedError("no such kernel")


class FailsToRun(PackedClassifier):
    def logits(self, rows: DeviceRows) -> torch.Tensor:
        raise RuntimeError("no kernel image is available")


class Slow(PackedClassifier):
    def logits(self, rows: DeviceRows) -> torch.Tensor:
        return [super(Slow, self).logits(rows) for _ in range(12)][-1]


PLANTED = {
    WrongWeight: "a probability is off by",
    WrongHead: "a probability is off by",
    NotFinite: "it failed: the model answered with numbers that are not finite",
    FailsToLoad: "it failed: no such kernel",
    FailsToRun: "it failed: the forward pass failed: no kernel image",
    Slow: "it takes .* where the other takes",
}


@pytest.fixture(scope="module")
def expected() -> torch.Tensor:
    plain = AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float32).eval()
    with torch.inference_mode():
        return torch.cat([plain(input_ids=torch.tensor([row])).logits for row in ROWS]).softmax(-1)


def answers(model: EncoderModel) -> torch.Tensor:
    return torch.from_numpy(model.answers(TokenRows.of(ROWS)))


@pytest.mark.parametrize(("planted", "reason"), PLANTED.items(), ids=lambda value: getattr(value, "__name__", ""))
def test_a_fault_makes_transformers_own_pass_serve(
    planted: type[PackedClassifier],
    reason: str,
    expected: torch.Tensor,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("batch_inference.heads.PackedClassifier", planted)
    model = load_model(settings(), SentimentHead())
    assert model.is_padded
    (warning,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert warning.name == "batch_inference.forward_check"
    assert re.search(reason, warning.getMessage())
    assert torch.allclose(answers(model), expected, atol=1e-5)


@pytest.mark.parametrize("planted", [WrongHead, NotFinite, FailsToRun])
def test_int8_that_is_at_fault_serves_in_float32(
    planted: type[PackedClassifier], expected: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("batch_inference.heads.PackedClassifier", planted)
    model = load_model(settings(precision="int8"), SentimentHead())
    assert (model.is_padded, model.precision) == (True, "float32")
    assert torch.allclose(answers(model), expected, atol=1e-5)


def test_a_lost_device_is_no_reason_to_fall_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # A poisoned CUDA context cannot be had here: nothing can be read off the device any more.
    monkeypatch.setattr("batch_inference.heads.PackedClassifier", FailsToRun)
    monkeypatch.setattr(EncoderModel, "_is_device_alive", lambda self: False)
    with pytest.raises(DeviceLostError):
        load_model(settings(), SentimentHead())


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_without_a_fault_it_serves_and_nothing_is_told(precision: str, caplog: pytest.LogCaptureFixture) -> None:
    model = load_model(settings(precision=precision), SentimentHead())
    assert (model.is_padded, model.precision) == (False, precision)
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


def test_a_deployer_can_force_either(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_inference.heads.PackedClassifier", Slow)
    assert not load_model(settings(forward="packed"), SentimentHead()).is_padded
    monkeypatch.undo()
    assert load_model(settings(forward="padded"), SentimentHead()).is_padded
    with pytest.raises(ModelLoadError, match="BATCH_PROCESSOR_PRECISION='int8' needs a pass without padding"):
        load_model(settings(forward="padded", precision="int8"), SentimentHead())


@pytest.mark.parametrize("forward", ["packed", "padded"])
def test_the_statistics_tell_which_serves(forward: str) -> None:
    engine = Engine.start(settings(forward=forward), SentimentHead())
    assert batch_stats(engine, settings()).forward == forward
    engine.close()
