"""What sits on top of an encoder: the part in which a classifier and a model of embeddings differ. Everything else
(queue, planner, passes, out of memory, shutdown) is the same for all of them.

A new kind of model is a subclass of `ClassifierHead`, or of `Head` for what is no classifier, given to `Engine.start`:
docs/heads.md has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from batch_inference.errors import ModelLoadError
from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import Kernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.padded import PaddedForward
from batch_inference.forward.streams import Upload
from batch_inference.forward.weights import HeadWeights

MAX_LABELS_LENGTH = 256
"""Characters of all label names together: 100 results with scores must fit a 64 KiB line of a stream."""


class Head(ABC):
    """What one kind of model has of its own.

    Attributes:
        auto_class: the class of transformers that loads its checkpoints.
        max_tokens: longest row it wants; None if only the position embeddings limit it.
        known_answers: texts whose label nobody doubts, each with that label: checked at start-up.
    """

    auto_class: Any
    max_tokens: int | None = None
    known_answers: Mapping[str, str] = {}

    def prepare_text(self, text: str) -> str:
        """What the model sees of a text: all of it, unless a head says otherwise."""
        return text

    @abstractmethod
    def labels(self, config: Any) -> tuple[str, ...]:
        """Names of the outputs, in their order; empty if they have none.

        Raises:
            ModelLoadError: the checkpoint is of another kind.
        """

    @abstractmethod
    def num_outputs(self, config: Any) -> int:
        """How many numbers there are for each row."""

    @abstractmethod
    def can_pack(self, model: Any) -> bool:
        """Whether `packed` knows this model, its encoder apart."""

    @abstractmethod
    def packed(self, model: Any, kernels: Kernels) -> Forward:
        """The pass without padding. Takes the model's layers, which may be dropped."""

    @abstractmethod
    def padded(self, model: Any, upload: Upload) -> Forward:
        """transformers' own pass; `upload` brings its rows to the model's device."""

    @abstractmethod
    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """From a pass's outputs to what callers get; shape (rows, outputs) both."""


class ClassifierHead(Head):
    """A sequence classifier of transformers. The labels are those of its configuration, their scores are softmax's."""

    auto_class: Any = AutoModelForSequenceClassification

    def labels(self, config: Any) -> tuple[str, ...]:
        labels = tuple(str(config.id2label[index]).upper() for index in range(config.num_labels))
        if len(labels) < 2 or len("".join(labels)) > MAX_LABELS_LENGTH:
            raise ModelLoadError(
                f"the model has the labels {', '.join(labels)[:200]}; a classifier has 2 or more, of at most "
                f"{MAX_LABELS_LENGTH} characters together. Choose another model, or mend id2label in its config.json."
            )
        return labels

    def num_outputs(self, config: Any) -> int:
        return int(config.num_labels)

    def can_pack(self, model: Any) -> bool:
        return HeadWeights.of(model) is not None

    def packed(self, model: Any, kernels: Kernels) -> Forward:
        return PackedClassifier(model, kernels)

    def padded(self, model: Any, upload: Upload) -> Forward:
        return PaddedForward(model, upload)

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        probabilities: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
        return probabilities
