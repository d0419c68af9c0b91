"""The names of a classifier's outputs, as its config.json has them, or why they cannot be labels. Knows no torch."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping

from batch_inference.errors import ModelLoadError

MAX_LABEL_BYTES = 256
"""Of a name, in JSON: 100 results without scores must fit a 64 KiB line of a stream."""


def label_names(num_labels: int, problem_type: str | None, id2label: Mapping[int, object]) -> tuple[str, ...]:
    """The names in the order of the outputs. The arguments are the fields of those names in a configuration.

    Raises:
        ModelLoadError: the model has no labels, or an output has none, a long one, or that of another.
    """
    if num_labels == 1 or problem_type == "regression":
        raise ModelLoadError(
            f"the model computes numbers and no labels (num_labels is {num_labels}, problem_type {problem_type}), so "
            "there is nothing to classify. Use a model with two labels or more; "
            "docs/heads.md says how to serve a model of another kind."
        )
    try:
        labels = tuple(str(id2label[index]) for index in range(num_labels))
    except KeyError as error:
        raise ModelLoadError(
            f"id2label in the model's config.json has no label {error}: it must number all {num_labels} "
            "outputs from 0. Correct it there."
        ) from None
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        raise ModelLoadError(
            f"id2label in the model's config.json calls several outputs {twice[0]!r}, so that callers could not "
            "tell them apart. Give each a name of its own there."
        )
    for label in labels:
        if not 0 < len(json.dumps(label)) - 2 <= MAX_LABEL_BYTES:
            raise ModelLoadError(
                f"id2label in the model's config.json has a label of {len(label)} characters, {label[:40]!r}; "
                f"a name has 1 to {MAX_LABEL_BYTES}. Choose another one there."
            )
    return labels
