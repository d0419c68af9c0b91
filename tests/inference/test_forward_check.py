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
from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import DeviceRows
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.weights import Affine
from batch_inference.forward_check import why_rejected
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


@pytest.fixture(scope="module")
def packed() -> EncoderModel:
    return load_model(settings(forward="packed"), SentimentHead())


@pytest.fixture(scope="module")
def padded() -> EncoderModel:
    return load_model(settings(forward="padded"), SentimentHead())


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


class OffWhenAlone(PackedClassifier):
    """As a kernel for few rows with less exact sums would be."""

    def logits(self, rows: DeviceRows) -> torch.Tensor:
        return super().logits(rows) * (0.8 if rows.num_rows == 1 else 1.0)


class Shifted:
    """A pass that is off by as much in every logit, one label's apart, as one that rounds is."""

    def __init__(self, forward: Forward, by: float) -> None:
        self.is_padded, self.prepare = forward.is_padded, forward.prepare
        self._forward, self._by = forward, by

    def logits(self, rows: Any) -> torch.Tensor:
        return self._forward.logits(rows) + torch.tensor([0.0, 0.0, self._by])


@pytest.mark.parametrize(
    ("packed_by", "padded_by", "reason"),
    [
        # In bfloat16, 0.04 of a probability is allowed.
        (0.1, 0.0, None),
        (0.2, -0.15, None),
        (0.6, -0.1, r"is off from float32 by 0\.1., transformers' own by 0\.02"),
    ],
)
def test_half_precision_is_judged_against_float32(
    packed_by: float, padded_by: float, reason: str | None, packed: EncoderModel, padded: EncoderModel
) -> None:
    found = why_rejected(
        packed.on(Shifted(packed.forward, packed_by), "bfloat16"),
        padded.on(Shifted(padded.forward, padded_by), "bfloat16"),
        lambda: padded,
    )
    assert re.search(reason, found or "") if reason else found is None


def test_a_text_alone_has_to_answer_as_among_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("batch_inference.heads.PackedClassifier", OffWhenAlone)
    model = load_model(settings(), SentimentHead())
    assert model.is_padded
    assert "a known text alone differs from itself among others by" in model.notes.choices[0]


def test_what_was_found_is_noted() -> None:
    notes = load_model(settings(), SentimentHead()).notes
    assert notes.choices[0].startswith("The pass without padding: probabilities within ")
    assert list(notes.tokens_per_second) == [192]


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
