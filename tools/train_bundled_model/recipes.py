"""What is trained, on what, and how."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Recipe:
    """What is trained, on what, and how.

    Attributes:
        labels: by the numbers of the files.
        head_rate: the head's learning rate, as a multiple of the others'.
        average_decay: per step, of the running average of the weights, which is kept (Polyak and Juditsky, 1992).
        frozen_layers: so many of the lowest layers, and the embeddings, stay as they are; None if all are trained.
        decays_vectors: whether weight decay is for biases and norms too.
        has_bfloat16: whether passes are in bfloat16, which is slow on processors without it.
    """

    labels: tuple[str, ...]
    train_file: str
    validation_file: str
    epochs: int
    batch_size: int = 32
    max_tokens: int = 64
    head_rate: float = 3.0
    label_smoothing: float = 0.1
    class_weights: tuple[float, ...] | None = None
    average_decay: float = 0.995
    frozen_layers: int | None = 2
    decays_vectors: bool = True
    has_bfloat16: bool = False


RECIPES = {
    "sentiment": Recipe(
        ("negative", "neutral", "positive"), "semeval-train.tsv", "tweeteval-val.tsv", 3,
        max_tokens=128, head_rate=5.0, label_smoothing=0.05, class_weights=(1.4, 1.0, 1.0), average_decay=0.999,
        frozen_layers=None, decays_vectors=False, has_bfloat16=True,
    ),
    "emotion": Recipe(
        ("anger", "joy", "optimism", "sadness"), "tweeteval-emotion-train.tsv", "tweeteval-emotion-val.tsv", 5,
        batch_size=16,
    ),
    "offensive": Recipe(
        ("non-offensive", "offensive"), "tweeteval-offensive-train.tsv", "tweeteval-offensive-val.tsv", 2,
    ),
}  # fmt: skip
