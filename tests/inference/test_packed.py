"""Passes without padding against transformers' own; those of a GPU too, as far as a CPU can run them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch.nn.functional import gelu
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import (
    AutoModelForSequenceClassification,
    BertConfig,
    CamembertConfig,
    PretrainedConfig,
    RobertaConfig,
    XLMRobertaConfig,
)

from batch_classification.settings import BUNDLED_MODEL_PATH
from batch_inference.forward.attention_cuda import attend_efficient, attend_flash, attend_row_by_row
from batch_inference.forward.kernels import DeviceRows, Kernels
from batch_inference.forward.kernels_cpu import CpuKernels
from batch_inference.forward.kernels_cuda import CudaKernels, can_fuse_gelu
from batch_inference.forward.packed import PackedClassifier, PackedEncoder
from batch_inference.forward_check import TOLERANCES
from batch_inference.token_rows import TokenRows

CUDA_ON_CPU = CudaKernels(torch.from_numpy, attend_row_by_row)
"""A GPU's classes. Neither of its attentions has a CPU kernel, so tests bring one."""
KERNELS = {
    "cpu": CpuKernels(),
    "cuda": CUDA_ON_CPU,
    "cuda-unfolded": CudaKernels(torch.from_numpy, attend_row_by_row, has_folded_biases=False, has_fused_gelu=False),
}
needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")

Rows = Sequence[Sequence[int]]


@pytest.fixture(scope="module")
def bundled() -> Any:
    return AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float32).eval()


@pytest.fixture(scope="module", params=[RobertaConfig, XLMRobertaConfig, CamembertConfig, BertConfig])
def small(request: pytest.FixtureRequest) -> Any:
    """A small model of each architecture, with random weights: none is nought or one, which could hide a fault."""
    return small_model(request.param)


def small_model(config_type: type[PretrainedConfig]) -> Any:
    torch.manual_seed(0)
    config = config_type(
        vocab_size=1000, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128,
        num_labels=3, max_position_embeddings=514,
    )  # fmt: skip
    model = AutoModelForSequenceClassification.from_config(config).eval()
    for parameter in model.parameters():
        is_norm = parameter.dim() == 1 and bool(parameter.eq(1).all())
        torch.nn.init.normal_(parameter, 1.0 if is_norm else 0.0, 0.1)
    return model


def rows_of(lengths: Sequence[int], num_ids: int) -> list[list[int]]:
    rng = np.random.default_rng(0)
    return [rng.integers(0, num_ids, length).tolist() for length in lengths]


@torch.inference_mode()
def plain(model: Any, rows: Rows) -> torch.Tensor:
    """Probabilities by transformers, a row at a time, without padding."""
    answers = [model(input_ids=torch.tensor([row]), attention_mask=torch.ones(1, len(row))).logits for row in rows]
    return torch.cat(answers).softmax(-1)


@torch.inference_mode()
def packed(classifier: PackedClassifier, rows: Rows) -> torch.Tensor:
    return classifier.logits(classifier.prepare(TokenRows.of(rows))).softmax(-1)


def test_500_rows_by_the_gpus_classes_are_those_of_transformers() -> None:
    model = small_model(RobertaConfig)
    lengths = np.geomspace(1, 512, 500).round().astype(int).tolist()
    rows = rows_of(lengths, 1000)
    order = np.random.default_rng(1).permutation(500)
    classifier = PackedClassifier(model, CUDA_ON_CPU)
    got = torch.cat([packed(classifier, [rows[i] for i in part]) for part in np.array_split(order, 20)])
    assert (got - plain(model, rows)[order]).abs().max().item() <= 1e-5


def test_real_weights_are_as_transformers_has_them(bundled: Any) -> None:
    rows = rows_of([1, 2, 33, 512], bundled.config.vocab_size)
    assert torch.allclose(packed(PackedClassifier(bundled, CUDA_ON_CPU), rows), plain(bundled, rows), atol=1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
def test_every_architecture_is_as_transformers_has_it(small: Any, kernels: str) -> None:
    # Few different ids: some are the pad token, which shifts the positions after it in all but BERT.
    rows = [*rows_of([1, 2, 5, 30, 30, 31, 100, 512, 7], 20), [small.config.pad_token_id] * 3]
    assert torch.allclose(packed(PackedClassifier(small, KERNELS[kernels]), rows), plain(small, rows), atol=1e-5)


@pytest.mark.parametrize("kernels", KERNELS)
@torch.inference_mode()
def test_hidden_states_of_all_tokens_are_those_of_the_encoder(small: Any, kernels: str) -> None:
    rows = rows_of([3, 40, 17], 1000)
    encoder = PackedEncoder(small.base_model, KERNELS[kernels])
    hidden = encoder.hidden_states(encoder.prepare(TokenRows.of(rows)))
    expected = [small.base_model(input_ids=torch.tensor([row])).last_hidden_state[0] for row in rows]
    assert torch.allclose(hidden[:60], torch.cat(expected), atol=1e-5)


@torch.inference_mode()
def test_rows_without_tokens_change_nothing(bundled: Any) -> None:
    classifier = PackedClassifier(bundled, CUDA_ON_CPU)
    rows = classifier.prepare(TokenRows.of(rows_of([4, 9, 30], 1000)))
    end = rows.row_starts[-1:]
    with_empty = replace(rows, row_starts=torch.cat([rows.row_starts, end, end]))
    assert torch.equal(classifier.logits(with_empty), classifier.logits(rows))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("attend", [attend_efficient, attend_flash])
def test_torch_takes_the_attention_calls(attend: Any, dtype: torch.dtype) -> None:
    """On tensors without contents: whether arguments and shapes fit is known without a GPU."""
    queries, keys, values = torch.empty(100, 3 * 96, dtype=dtype, device="meta").view(100, 3, 12, 8).unbind(1)
    attended = attend(queries, keys, values, torch.empty(5, dtype=torch.int32, device="meta"), 50)
    assert attended.shape == (100, 12, 8)
    assert attended.dtype == dtype


@needs_gpu
@pytest.mark.parametrize("attend", [attend_efficient, attend_flash])
def test_on_a_gpu_attention_is_that_of_each_row(attend: Any) -> None:
    projected = torch.randn(544, 3, 12, 64, dtype=torch.float16, device="cuda")
    starts = torch.tensor([0, 1, 32, 544], dtype=torch.int32, device="cuda")
    arguments = (*projected.unbind(1), starts, 512)
    assert torch.allclose(attend(*arguments).float(), attend_row_by_row(*arguments).float(), atol=5e-3)


@needs_gpu
def test_on_a_gpu_float16_is_near_transformers_float32(bundled: Any) -> None:
    rows = rows_of([1, 2, 5, 30, 31, 100, 512], 1000)
    half = AutoModelForSequenceClassification.from_pretrained(BUNDLED_MODEL_PATH, dtype=torch.float16).eval()
    answers = packed(
        PackedClassifier(half.to("cuda:0"), CudaKernels(lambda array: torch.from_numpy(array).to("cuda:0"))), rows
    ).cpu()
    assert torch.allclose(answers, plain(bundled, rows), atol=5e-3)


class Calls(TorchDispatchMode):
    """Writes down what torch computes, and in which precision its inputs are. Autocast has had its say by then."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[str, tuple[torch.dtype, ...]]] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.calls.append((func.name(), tuple(part.dtype for part in _floats(args))))
        return func(*args, **(kwargs or {}))


def _floats(values: Any) -> Iterator[torch.Tensor]:
    for value in values:
        if isinstance(value, torch.Tensor) and value.is_floating_point():
            yield value
        elif isinstance(value, list | tuple):
            yield from _floats(value)


def casts(calls: list[tuple[str, tuple[torch.dtype, ...]]]) -> list[str]:
    return [name for name, _ in calls if name.startswith(("aten::to.", "aten::_to_copy"))]


@torch.inference_mode()
def calls_of(encoder: PackedEncoder, rows: DeviceRows, is_autocast: bool) -> list[tuple[str, tuple[torch.dtype, ...]]]:
    with Calls() as seen, torch.autocast("cpu", torch.bfloat16) if is_autocast else nullcontext():
        encoder.hidden_states(rows)
    return seen.calls


NO_ATTENTION = CudaKernels(torch.from_numpy, lambda queries, keys, values, row_starts, longest: queries.contiguous())
"""A GPU's classes without attention: no call of a stand-in is among those that are counted."""


def test_gelu_is_fused_only_where_that_is_near_enough() -> None:
    assert [can_fuse_gelu(precision) for precision in ("float16", "bfloat16", "float32")] == [True, True, False]


def test_in_float32_a_gpus_fused_gelu_would_fail_the_start_up_check(
    bundled: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    # On a CPU the fused GELU is the exact one: the GPU's, by the tanh formula, is put in its place.
    def fused(bias: torch.Tensor, inputs: torch.Tensor, weight: torch.Tensor, *, use_gelu: bool) -> torch.Tensor:
        return gelu(torch.addmm(bias, inputs, weight), approximate="tanh")

    monkeypatch.setattr(torch, "_addmm_activation", fused)
    rows = rows_of([3, 17, 60, 200], bundled.config.vocab_size)
    apart = CudaKernels(torch.from_numpy, attend_row_by_row, has_fused_gelu=False)
    errors = [
        (packed(PackedClassifier(bundled, kernels), rows) - plain(bundled, rows)).abs().max().item()
        for kernels in (CUDA_ON_CPU, apart)
    ]
    assert errors[0] > TOLERANCES["float32"] > errors[1]


@pytest.mark.parametrize("kernels", [KERNELS["cpu"], NO_ATTENTION], ids=["cpu", "cuda"])
def test_autocast_costs_nothing(kernels: Kernels) -> None:
    if kernels is KERNELS["cpu"] and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        pytest.skip("oneDNN has no bfloat16 on this machine")
    encoder = PackedEncoder(small_model(RobertaConfig).to(torch.bfloat16).base_model, kernels, is_first_wanted=True)
    rows = encoder.prepare(TokenRows.of(rows_of([3, 40, 17], 1000)))
    calls = calls_of(encoder, rows, is_autocast=True)
    assert calls == calls_of(encoder, rows, is_autocast=False)
    assert not casts(calls)


@torch.inference_mode()
def test_casts_would_be_seen() -> None:
    linear = torch.nn.Linear(4, 4)
    with Calls() as seen, torch.autocast("cpu", torch.bfloat16):
        linear(torch.ones(1, 4))
    assert len(casts(seen.calls)) == 3


def test_a_block_is_seven_kernels() -> None:
    encoder = PackedEncoder(small_model(RobertaConfig).to(torch.float16).base_model, NO_ATTENTION, is_first_wanted=True)
    calls = [
        name
        for name, _ in calls_of(encoder, encoder.prepare(TokenRows.of(rows_of([3, 40, 17], 1000))), is_autocast=False)
    ]
    computing = [name for name in calls if "addmm" in name or name == "aten::layer_norm"]
    # With attention: queries, keys and values; attention; output and residual; norm; inner and GELU; outer; norm.
    assert len(computing) == 1 + 3 * 6
