"""What runs in one process, without a server: our engine, the public example's routine, and transformers' pipeline."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer, pipeline

from batch_classification.in_process import start_engine

MAX_LENGTH = 512
EXAMPLE_CHUNK_SIZE = 16


@dataclass(frozen=True)
class Answer:
    """The label of each text of a request and, where the routine knows it, the tokens the model saw."""

    labels: list[str]
    num_tokens: list[int]


class Routine(ABC):
    """Classifies requests; called from as many threads as the workload has clients."""

    @abstractmethod
    def classify(self, texts: Sequence[str]) -> Answer:
        """Answer one request."""


class EngineRoutine(Routine):
    """Our engine: requests of all threads share forward passes."""

    def __init__(self, checkpoint: Path, precision: str) -> None:
        # Nobody else here keeps answers, and the rounds repeat their texts.
        self._engine = start_engine(model=str(checkpoint), device="cpu", precision=precision, answer_cache_mib=0)

    def classify(self, texts: Sequence[str]) -> Answer:
        predictions = self._engine.run(texts, MAX_LENGTH).predictions
        return Answer([p.label for p in predictions], [p.num_tokens for p in predictions])


class NaiveRoutine(Routine):
    """The public example's way: chunks of 16 in order of arrival, padded to the longest, each request on its own."""

    def __init__(self, checkpoint: Path) -> None:
        self._tokenizer = AutoTokenizer.from_pretrained(checkpoint)
        self._model: Any = AutoModelForSequenceClassification.from_pretrained(checkpoint, dtype=torch.float32).eval()
        # Requests that compete for the same cores are slower for it: one at a time is this routine at its best.
        self._one_at_a_time = threading.Lock()

    def classify(self, texts: Sequence[str]) -> Answer:
        chunks = [texts[start : start + EXAMPLE_CHUNK_SIZE] for start in range(0, len(texts), EXAMPLE_CHUNK_SIZE)]
        with self._one_at_a_time:
            return Answer([label for chunk in chunks for label in self._classify_chunk(chunk)], [])

    @torch.no_grad()
    def _classify_chunk(self, chunk: Sequence[str]) -> list[str]:
        encoded = self._tokenizer(
            list(chunk), padding=True, truncation=True, max_length=MAX_LENGTH, return_tensors="pt"
        )
        logits = self._model(input_ids=encoded["input_ids"], attention_mask=encoded["attention_mask"]).logits
        probabilities = torch.nn.functional.softmax(logits, dim=-1)
        return [self._model.config.id2label[index].upper() for index in probabilities.argmax(-1).tolist()]


class PipelineRoutine(Routine):
    """transformers' own `pipeline`, at the batch size that a sweep on the same texts found best."""

    def __init__(self, checkpoint: Path) -> None:
        self._batch_size = EXAMPLE_CHUNK_SIZE
        self._one_at_a_time = threading.Lock()
        self._pipeline: Any = pipeline(
            "text-classification", model=str(checkpoint), tokenizer=str(checkpoint), device="cpu", dtype=torch.float32
        )

    def configure(self, batch_size: int) -> None:
        """Take the batch size from now on."""
        self._batch_size = batch_size

    def classify(self, texts: Sequence[str]) -> Answer:
        with self._one_at_a_time:
            answers = self._pipeline(list(texts), batch_size=self._batch_size, truncation=True, max_length=MAX_LENGTH)
        return Answer([answer["label"].upper() for answer in answers], [])


def make_routine(arm: str, checkpoint: Path) -> Routine:
    """Load the routine behind an arm."""
    match arm:
        case "engine":
            return EngineRoutine(checkpoint, "float32")
        case "engine-int8":
            return EngineRoutine(checkpoint, "int8")
        case "naive":
            return NaiveRoutine(checkpoint)
        case "pipeline":
            return PipelineRoutine(checkpoint)
    raise ValueError(f"{arm!r} is not an in-process arm")
