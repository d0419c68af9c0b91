"""The model code of the peers that bring none: what their documentations show for a Hugging Face classifier.

Batching requests is the peer's own; here the texts of what it has batched run in chunks, padded to the longest. The
chunk is the batch size that suits transformers' pipeline best, as a pass larger than that only adds padding on a CPU.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

MODEL = os.environ["BENCH_MODEL"]
PORT = int(os.environ["BENCH_PORT"])
CHUNK_SIZE = int(os.environ["BENCH_CHUNK_SIZE"])
MAX_REQUESTS = int(os.environ["BENCH_MAX_REQUESTS"])
"""Requests that the peer may batch together."""
WAIT_MS = int(os.environ["BENCH_WAIT_MS"])
"""How long the peer may wait for a batch to fill."""
TORCH_THREADS = int(os.environ["BENCH_THREADS"])

Labels = list[str]


class Classifier:
    """Texts in, labels out, in float32."""

    def __init__(self) -> None:
        torch.set_num_threads(TORCH_THREADS)
        self._tokenizer = AutoTokenizer.from_pretrained(MODEL)
        self._model = AutoModelForSequenceClassification.from_pretrained(MODEL, dtype=torch.float32).eval()

    def classify(self, texts: Sequence[str]) -> Labels:
        """The label of each text."""
        chunks = [texts[start : start + CHUNK_SIZE] for start in range(0, len(texts), CHUNK_SIZE)]
        return [label for chunk in chunks for label in self._classify_chunk(chunk)]

    def classify_requests(self, requests: Sequence[Sequence[str]]) -> list[Labels]:
        """The labels of each request, the texts of all of them sharing chunks."""
        labels = iter(self.classify([text for texts in requests for text in texts]))
        return [list(_take(labels, len(texts))) for texts in requests]

    @torch.inference_mode()
    def _classify_chunk(self, texts: Sequence[str]) -> Labels:
        encoded = self._tokenizer(list(texts), padding=True, truncation=True, max_length=512, return_tensors="pt")
        logits = self._model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits
        return [self._model.config.id2label[index] for index in logits.argmax(-1).tolist()]


def _take(labels: Iterator[str], count: int) -> Iterator[str]:
    for _ in range(count):
        yield next(labels)
