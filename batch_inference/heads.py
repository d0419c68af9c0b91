"""What sits on top of an encoder: the part in which a classifier and a model of embeddings differ. Everything else
(queue, planner, passes, out of memory, shutdown) is the same for all of them.

A new kind of model is a subclass of `ClassifierHead`, or of `Head` for what is no classifier, given to `Engine.start`:
docs/heads.md has one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from copy import copy
from typing import Any, Final, Literal, Self

import numpy as np
from numpy.typing import NDArray
from transformers import AutoModelForSequenceClassification, TextClassificationPipeline

from batch_inference.forward.forward import Forward
from batch_inference.forward.kernels import Kernels
from batch_inference.forward.packed import PackedClassifier
from batch_inference.forward.padded import PaddedForward
from batch_inference.forward.row_layout import RowLayout
from batch_inference.forward.streams import Upload
from batch_inference.forward.weights import HeadWeights
from batch_inference.label_names import label_names

Function = Literal["softmax", "sigmoid"]

AS_IT_IS: Final = "none"
"""The preparation of texts that changes nothing."""


class Head(ABC):
    """What one kind of model has of its own.

    Attributes:
        name: what an engine calls its model; empty where a chute has but one.
        auto_class: the class of transformers that loads its checkpoints.
        max_tokens: longest row it wants; None if only the position embeddings limit it.
        known_answers: texts whose label nobody doubts, each with that label: checked at start-up.
        unused_weights: how the names of weights begin that this head does without; others must be in the checkpoint.
        text_preparation: what `prepare_text` does, in a word.
        is_multi_label: any number of labels may hold for a text, and each has a probability of its own.
    """

    name: str = ""
    auto_class: Any
    max_tokens: int | None = None
    known_answers: Mapping[str, str] = {}
    unused_weights: Sequence[str] = ()
    text_preparation: str = AS_IT_IS
    is_multi_label: bool = False

    def fitted(self, config: Any, source: str) -> Self:
        """This head as a checkpoint wants it.

        Args:
            config: of the checkpoint.
            source: its hub id or folder.

        Raises:
            ModelLoadError: the checkpoint is of another kind.
        """
        return self

    def prepare_text(self, text: str) -> str:
        """What the model sees of a text: all of it, unless a head says otherwise."""
        return text

    @abstractmethod
    def own_labels(self, config: Any) -> tuple[str, ...]:
        """Names of the outputs as the checkpoint writes them, in their order; empty if they have none.

        Raises:
            ModelLoadError: the checkpoint is of another kind.
        """

    def labels(self, config: Any) -> tuple[str, ...]:
        """The same in upper case, unless two would become one.

        Raises:
            as `own_labels`.
        """
        own = self.own_labels(config)
        upper = tuple(label.upper() for label in own)
        return upper if len(set(upper)) == len(upper) else own

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
    def padded(self, model: Any, upload: Upload, layout: RowLayout) -> Forward:
        """transformers' own pass; `upload` brings its rows, laid out as `layout` says, to the model's device."""

    @abstractmethod
    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        """From a pass's outputs to what callers get; shape (rows, outputs) both."""

    def reference(
        self, model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int
    ) -> NDArray[np.float32] | None:
        """What transformers' own pipeline answers to texts: a start ends if the engine's answers are others.

        Returns:
            Shape (texts, outputs), as `answers`; None if transformers has no such pipeline.
        """
        return None


class ClassifierHead(Head):
    """A sequence classifier of transformers, with the labels of its configuration.

    Attributes:
        function: makes probabilities of outputs; None leaves it to the checkpoint, as transformers does.
    """

    auto_class: Any = AutoModelForSequenceClassification
    function: Function | None = None

    def fitted(self, config: Any, source: str) -> Self:
        # Before anything else trips over them.
        self.own_labels(config)
        fitted = copy(self)
        many = config.problem_type == "multi_label_classification"
        fitted.function = self.function or ("sigmoid" if many else "softmax")
        fitted.is_multi_label = fitted.function == "sigmoid"
        return fitted

    def own_labels(self, config: Any) -> tuple[str, ...]:
        return label_names(config.num_labels, config.problem_type, config.id2label)

    def num_outputs(self, config: Any) -> int:
        return int(config.num_labels)

    def can_pack(self, model: Any) -> bool:
        return HeadWeights.of(model) is not None

    def packed(self, model: Any, kernels: Kernels) -> Forward:
        return PackedClassifier(model, kernels)

    def padded(self, model: Any, upload: Upload, layout: RowLayout) -> Forward:
        return PaddedForward(model, upload, layout)

    def answers(self, outputs: NDArray[np.float32]) -> NDArray[np.float32]:
        return probabilities(outputs, self.function or "softmax")

    def reference(
        self, model: Any, tokenizer: Any, texts: Sequence[str], max_tokens: int
    ) -> NDArray[np.float32] | None:
        classify = TextClassificationPipeline(model=model, tokenizer=tokenizer)
        wanted: dict[str, Any] = {"top_k": None, "truncation": True, "max_length": max_tokens}
        if type(self).function:
            wanted["function_to_apply"] = type(self).function
        prepared = [self.prepare_text(text) for text in texts]
        # A configuration may number its labels.
        scores = [{str(entry["label"]): entry["score"] for entry in answer} for answer in classify(prepared, **wanted)]
        own = self.own_labels(model.config)
        return np.array([[row[label] for label in own] for row in scores], np.float32)


def probabilities(outputs: NDArray[np.float32], function: Function) -> NDArray[np.float32]:
    """Of a classifier's outputs; shape (rows, labels) both."""
    if function == "sigmoid":
        # Half of a hyperbolic tangent: the exponential of a large number would overflow.
        sigmoids: NDArray[np.float32] = (0.5 + 0.5 * np.tanh(0.5 * outputs)).astype(np.float32)
        return sigmoids
    powers = np.exp(outputs - outputs.max(axis=1, keepdims=True))
    softmax: NDArray[np.float32] = powers / powers.sum(axis=1, keepdims=True)
    return softmax
