"""What is told to oneDNN and the allocator; that memory is level then, `make soak` shows."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from batch_inference.host_memory import MAX_CACHED_KERNELS, bound_kept_memory

NAMES = ("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "LRU_CACHE_CAPACITY")

COUNT_KERNELS = """
import torch
from batch_inference.host_memory import bound_kept_memory
bound_kept_memory()
weight = torch.ops.mkldnn._reorder_linear_weight(torch.zeros(8, 8))
for _ in range(2):
    for rows in range(1, 300):
        torch.ops.mkldnn._linear_pointwise.default(torch.zeros(rows, 8), weight, torch.zeros(8), "none", [], "")
"""
"""299 shapes, twice: with fewer kernels kept than that, oneDNN compiles each of them twice."""


RUN_SHORT_PASSES = """
from batch_inference.host_memory import bound_kept_memory
bound_kept_memory()
import torch
from transformers import RobertaConfig, RobertaForSequenceClassification
from batch_inference.forward.kernels_cpu import CpuKernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.token_rows import TokenRows
config = RobertaConfig(
    vocab_size=9, hidden_size=32, intermediate_size=48, num_attention_heads=2, num_hidden_layers=2, num_labels=3
)
classifier = PackedClassifier(RobertaForSequenceClassification(config).eval(), CpuKernels())
def run():
    for length in range(1, 65):
        classifier.logits(classifier.prepare(TokenRows.of([[5] * length])))
with torch.inference_mode():
    run()
    with torch.backends.mkldnn.verbose(torch.backends.mkldnn.VERBOSE_ON_CREATION):
        run()
"""
"""Passes of every size up to 64 tokens, twice; what oneDNN makes in the second round is printed."""


def run_apart(code: str, variables: dict[str, str]) -> str:
    """What code prints in a process of its own, where nobody has set oneDNN's variables but these."""
    environment = {name: value for name, value in os.environ.items() if name not in NAMES} | variables
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_a_deployer_has_set_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(NAMES[0], raising=False)
    monkeypatch.setenv(NAMES[1], "7")
    bound_kept_memory()
    assert [os.environ[name] for name in NAMES] == [MAX_CACHED_KERNELS, "7"]


def test_the_kernels_of_short_passes_are_all_kept() -> None:
    printed = run_apart(RUN_SHORT_PASSES, {})
    assert printed.count("create:cache_hit") >= 64 * 6
    assert "create:cache_miss" not in printed


@pytest.mark.parametrize(("capacity", "num_compiled"), [(None, 2 * 299), ("1024", 299)])
def test_onednn_keeps_no_more_kernels_than_told(capacity: str | None, num_compiled: int) -> None:
    printed = run_apart(
        COUNT_KERNELS, {"ONEDNN_VERBOSE": "profile_create"} | ({NAMES[0]: capacity} if capacity else {})
    )
    misses = [line for line in printed.splitlines() if "create:cache_miss" in line]
    assert sum("matmul" in line or "inner_product" in line for line in misses) == num_compiled
