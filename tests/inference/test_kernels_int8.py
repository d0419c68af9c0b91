"""Layers in int8 against the same in float32: close where bytes can be, in float32 where they cannot."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray
from torch.nn.functional import gelu, linear
from transformers import AutoModelForSequenceClassification, AutoTokenizer

from batch_classification.masking import mask_handles_and_links
from batch_classification.settings import BUNDLED_MODEL_PATH
from batch_inference.forward import kernels_int8
from batch_inference.forward.kernels_cpu import CpuKernels
from batch_inference.forward.kernels_int8 import (
    ByteRange,
    CalibratedFeedForward,
    CalibratedLinear,
    Int8Kernels,
    Int8Linear,
)
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.weights import Affine
from batch_inference.sample_texts import SAMPLE_TEXTS
from batch_inference.token_rows import TokenRows
from batch_inference.tokenizer import TextTokenizer
from rehearsal.texts import OWN_SHORT_TEXTS, read_labelled

TOKENIZER = TextTokenizer(AutoTokenizer.from_pretrained(BUNDLED_MODEL_PATH), mask_handles_and_links)
VALUES = arrays(np.float32, st.integers(1, 60), elements=st.floats(-1e6, 1e6, width=32))


@pytest.fixture(autouse=True)
def without_gradients() -> Iterator[None]:
    with torch.inference_mode():
        torch.manual_seed(0)
        yield


def affine(inputs: int, outputs: int) -> Affine:
    return Affine(torch.randn(outputs, inputs) * 0.05, torch.randn(outputs) * 0.1)


@pytest.mark.parametrize("highest_byte", [127, 255])
@given(VALUES)
def test_bytes_are_within_half_a_step_of_their_values(highest_byte: int, numbers: NDArray[np.float32]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # Which of the two it is depends on the processor.
        patch.setattr(kernels_int8, "HIGHEST_BYTE", highest_byte)
        values = torch.from_numpy(numbers)
        span = ByteRange.of(float(values.min()), float(values.max()))
        read_back = (span.bytes_of(values).double() - span.zero_point) * span.scale
        assert int(span.bytes_of(values).max()) <= highest_byte
        assert float((read_back - values).abs().max()) <= span.scale * 0.51
        assert int(span.bytes_of(torch.zeros(1))) == span.zero_point


def test_an_output_without_weights_is_its_bias() -> None:
    weights = affine(64, 8)
    weights.weight[3] = 0
    assert Int8Linear(weights)(torch.randn(5, 64))[:, 3].tolist() == pytest.approx([float(weights.bias[3])] * 5)


def test_channels_of_all_sizes_are_told_apart() -> None:
    inputs = torch.randn(100, 64) * torch.logspace(-2, 2, 64)
    weights = Affine(affine(64, 32).weight / torch.logspace(-2, 2, 64), torch.zeros(32))
    layer = CalibratedLinear(weights)
    expected = layer(inputs)
    layer.settle()
    assert layer.is_int8
    assert (layer(inputs) - expected).norm() / expected.norm() < 0.02
    assert (Int8Linear(weights)(inputs) - expected).norm() / expected.norm() > 0.1


def test_a_layer_that_bytes_cannot_compute_stays_in_float32() -> None:
    # Every token is large in two channels of its own, which cancel out: no channel stands out, and what is left of a
    # token is lost in the steps that the large values need.
    large = torch.eye(32).repeat_interleave(2, dim=1) * torch.tensor([1000.0, -1000.0]).repeat(32)
    inputs = torch.randn(32, 64) + large
    weight = affine(32, 16).weight.repeat_interleave(2, dim=1)
    layer = CalibratedLinear(Affine(weight, torch.zeros(16)))
    expected = layer(inputs)
    layer.settle()
    assert not layer.is_int8
    assert torch.allclose(layer(inputs), expected, atol=1e-3)


def relative_errors(outputs: torch.Tensor, expected: torch.Tensor) -> torch.Tensor:
    return (outputs - expected).norm(dim=1) / expected.norm(dim=1)


def test_tokens_beyond_the_range_are_as_close_as_all_others() -> None:
    inner, outer = affine(64, 256), affine(256, 64)

    def in_float32(hidden: torch.Tensor) -> torch.Tensor:
        values = gelu(linear(hidden, inner.weight, inner.bias))
        return linear(values, outer.weight, outer.bias) + hidden

    # One inner value is large, for tokens of one kind.
    inner.weight[7] = 0
    inner.weight[7, 0], inner.bias[7] = 5.0, -20.0
    feed_forward = CalibratedFeedForward(inner, outer)
    feed_forward(torch.randn(100, 64))
    feed_forward.settle()
    assert feed_forward.is_int8
    hidden = torch.randn(50, 64)
    hidden[[0, 17, 49]] = 8 * torch.eye(64)[0]
    assert float(relative_errors(feed_forward(hidden), in_float32(hidden)).max()) < kernels_int8.MAX_ERROR
    only_large = hidden[[0, 17, 49]]
    assert float(relative_errors(feed_forward(only_large), in_float32(only_large)).max()) < kernels_int8.MAX_ERROR


@pytest.fixture(scope="module")
def int8_kernels() -> Int8Kernels:
    return Int8Kernels(TOKENIZER.encode(SAMPLE_TEXTS, 512).rows)


@pytest.fixture(scope="module")
def classifiers(int8_kernels: Int8Kernels) -> dict[str, PackedClassifier]:
    """The bundled model, by precision."""
    model = AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float32).eval()
    kernels = {"float32": CpuKernels(), "int8": int8_kernels}
    return {precision: PackedClassifier(model, kernel) for precision, kernel in kernels.items()}


def probabilities(classifier: PackedClassifier, rows: TokenRows) -> torch.Tensor:
    return classifier.logits(classifier.prepare(rows)).softmax(-1)


def test_real_weights_are_all_in_int8_and_close_to_float32(
    classifiers: dict[str, PackedClassifier], int8_kernels: Int8Kernels
) -> None:
    assert len(int8_kernels.parts) > 0
    assert all(part.is_int8 for part in int8_kernels.parts)
    texts = [text.text for text in read_labelled(OWN_SHORT_TEXTS)][:200]
    rows = TOKENIZER.encode(texts, 512).rows
    difference = (probabilities(classifiers["int8"], rows) - probabilities(classifiers["float32"], rows)).abs()
    # A mean of 0.005 with 255 steps, of 0.008 with 127.
    assert float(difference.mean()) < 0.012
    assert float(difference.max()) < 0.25


def test_a_text_of_one_token_and_one_of_many_share_a_pass(classifiers: dict[str, PackedClassifier]) -> None:
    rows = TokenRows.of([[0], [0, 5, 2], [0, *range(100, 600), 2]])
    difference = (probabilities(classifiers["int8"], rows) - probabilities(classifiers["float32"], rows)).abs()
    assert float(difference.max()) < 0.1
