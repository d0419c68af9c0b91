"""What sits on top of an encoder: the part in which a sentiment classifier, one for many labels at once, and a model of
embeddings differ. Everything else (queue, planner, passes, out-of-memory, shutdown) is the same for all of them.

A new kind of model is a subclass of `ClassifierHead`, or of `Head` for what is no classifier, given to `Engine.start`:
docs/heads.md has one.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification

from batch_inference.errors import ModelLoadError
from batch_inference.forward.kernels import Kernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.padded import PaddedForward
from batch_inference.forward.streams import Upload
from batch_inference.forward.weights import HeadWeights
from batch_inference.masking import mask_handles_and_links
from batch_inference.self_test import self_test
from batch_inference.settings import Settings

if TYPE_CHECKING:
    from batch_inference.model import Forward, SentimentModel

logger = logging.getLogger(__name__)

SENTIMENTS = ("NEGATIVE", "NEUTRAL", "POSITIVE")

MAX_LABELS_LENGTH = 256
"""Characters of all label names together: 100 results with scores must fit a 64 KiB line of a stream."""


class Head(Protocol):
    """What one kind of model has of its own.

    Attributes:
        auto_class: the class of transformers that loads its checkpoints.
        max_tokens: longest row it wants; None if only the position embeddings limit it.
    """

    auto_class: Any
    max_tokens: int | None

    def prepare_text(self, text: str) -> str:
        """What the model sees of a text."""
        ...

    def labels(self, config: Any) -> tuple[str, ...]:
        """Names of the outputs, in their order; empty if they have none.

        Raises:
            ModelLoadError: the checkpoint is of another kind.
        """
        ...

    def num_outputs(self, config: Any) -> int:
        """How many numbers there are for each row."""
        ...

    def can_pack(self, model: Any) -> bool:
        """Whether `packed` knows this model, its encoder apart."""
        ...

    def packed(self, model: Any, kernels: Kernels) -> Forward:
        """The pass without padding. Takes the model's layers, which may be dropped."""
        ...

    def padded(self, model: Any, upload: Upload) -> Forward:
        """transformers' own pass; `upload` brings its rows to the model's device."""
        ...

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """From a pass's outputs to what callers get; shape (rows, outputs) both."""
        ...

    def self_test(self, model: SentimentModel, settings: Settings) -> None:
        """Check at start-up that the model does what it is for.

        Raises:
            ModelLoadError: it does not.
        """
        ...


class ClassifierHead(Head):
    """A sequence classifier of transformers. The labels are those of its configuration, their scores are softmax's."""

    auto_class: Any = AutoModelForSequenceClassification
    max_tokens: int | None = None

    def prepare_text(self, text: str) -> str:
        return text

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

    def self_test(self, model: SentimentModel, settings: Settings) -> None:
        pass


class SentimentHead(ClassifierHead):
    """The classifier that this service is for: trained on tweets with handles and links masked."""

    def prepare_text(self, text: str) -> str:
        return mask_handles_and_links(text)

    def labels(self, config: Any) -> tuple[str, ...]:
        labels = super().labels(config)
        if not set(labels) <= set(SENTIMENTS):
            logger.warning(
                "The model's labels are %s, not %s; callers get them as they are. Its config.json names them in "
                "id2label.",
                labels,
                SENTIMENTS,
            )
        return labels

    def self_test(self, model: SentimentModel, settings: Settings) -> None:
        self_test(model, settings)
