"""A model runtime measured in process: jobs as JSON lines on standard input, as `bench.worker` has them.

The texts of a run are sorted by their tokens and cut into passes of at most `PASS_TOKENS`, padded to the longest: the
best case of padding, since all requests are there at once. The latency of each is that of the run.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer

MAX_LENGTH = 512
PASS_TOKENS = 1024

Forward = Callable[[Any, Any], Any]
"""From ids and attention mask, int64 of shape (rows, longest), to logits of shape (rows, labels)."""


class Runtime:
    """A tokenizer and a runtime's forward pass."""

    def __init__(self, checkpoint: Path, forward: Forward) -> None:
        config = json.loads((checkpoint / "config.json").read_text())
        self._labels = [config["id2label"][str(number)] for number in range(len(config["id2label"]))]
        self._pad = config["pad_token_id"]
        self._tokenizer = Tokenizer.from_file(str(checkpoint / "tokenizer.json"))
        self._tokenizer.enable_truncation(MAX_LENGTH)
        self._tokenizer.no_padding()
        self._forward = forward

    def classify(self, texts: list[str]) -> tuple[list[str], list[int]]:
        """Label and number of tokens of each text."""
        rows = [encoding.ids for encoding in self._tokenizer.encode_batch(texts)]
        labels = [""] * len(rows)
        for indices in passes([len(row) for row in rows]):
            ids, mask = padded([rows[index] for index in indices], self._pad)
            for index, best in zip(indices, self._forward(ids, mask).argmax(axis=1).tolist(), strict=True):
                labels[index] = self._labels[best]
        return labels, [len(row) for row in rows]


def passes(lengths: list[int]) -> Iterator[list[int]]:
    """Indices of rows, by length, in passes of at most `PASS_TOKENS`."""
    batch: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda index: lengths[index]):
        if batch and (len(batch) + 1) * lengths[index] > PASS_TOKENS:
            yield batch
            batch = []
        batch.append(index)
    yield batch


def padded(rows: list[list[int]], pad: int) -> tuple[Any, Any]:
    """Ids and attention mask of rows, padded to the longest."""
    lengths = np.array([len(row) for row in rows])
    mask = np.arange(lengths.max()) < lengths[:, None]
    ids = np.full(mask.shape, pad, np.int64)
    ids[mask] = [token for row in rows for token in row]
    return ids, mask.astype(np.int64)


def serve(load: Callable[[Path, bool, int], Forward]) -> None:
    """Answer jobs; `load` is given the checkpoint, whether it is to run in int8, and the number of threads."""
    arm, checkpoint = sys.argv[1], Path(sys.argv[2])
    # Results have standard output for themselves: whatever libraries print goes to standard error.
    results = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    runtime = Runtime(checkpoint, load(checkpoint, arm.endswith("-int8"), int(os.environ["OMP_NUM_THREADS"])))
    print(json.dumps({"is_ready": True}), file=results, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        texts = [text for request in job["requests"] * job["cycles"] for text in request]
        cpu_before, started_at = time.process_time(), time.perf_counter()
        labels, num_tokens = runtime.classify(texts)
        elapsed_s = time.perf_counter() - started_at
        result = {
            "elapsed_s": elapsed_s,
            "cpu_s": time.process_time() - cpu_before,
            "latencies_s": [elapsed_s] * len(job["requests"]) * job["cycles"],
            "labels": labels,
            "num_tokens": num_tokens,
        }
        print(json.dumps(result), file=results, flush=True)


def export_onnx(checkpoint: Path, file: Path) -> None:
    """Write the checkpoint as ONNX, for any number of rows of any length."""
    import torch

    rows = torch.full((2, 16), 5)
    axes = {name: {0: "rows", 1: "length"} for name in ("input_ids", "attention_mask")}
    torch.onnx.export(
        load_torch(checkpoint),
        (rows, torch.ones_like(rows)),
        str(file),
        input_names=list(axes),
        output_names=["logits"],
        dynamic_axes=axes | {"logits": {0: "rows"}},
        opset_version=17,
        dynamo=False,
    )


def load_torch(checkpoint: Path) -> Any:
    """The checkpoint as transformers has it, answering with logits alone."""
    import torch
    from transformers import AutoModelForSequenceClassification

    class Logits(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()

        def forward(self, input_ids: Any, attention_mask: Any) -> Any:
            return self.model(input_ids=input_ids, attention_mask=attention_mask).logits

    return Logits().eval()
