"""What the scheduler needs of each model: passes that it can launch, and what one costs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from batch_inference.budget import Budget
from batch_inference.token_rows import Outputs, TokenRows

PreparedT = TypeVar("PreparedT")


class RunningPass(Protocol):
    """A pass that a device may still be at."""

    def wait(self) -> None:
        """Wait for the end of the pass, however it ends; called from a thread of its own."""
        ...

    def result(self) -> Outputs:
        """Wait for the pass, and read its outputs back."""
        ...


class PassRunner(Protocol[PreparedT]):
    """A model's passes."""

    def prepare(self, rows: TokenRows) -> PreparedT:
        """Lay rows of token ids out as the model takes them, and start moving them to the device."""
        ...

    def launch(self, prepared: PreparedT) -> RunningPass:
        """Start a forward pass. A device that works by itself is not waited for, not even if it is at another pass."""
        ...


@dataclass(frozen=True, slots=True)
class ScheduledModel:
    """A model whose passes are scheduled.

    Attributes:
        runner: its passes.
        budget: tokens that one of them may hold; shrinks when the device runs out of memory.
    """

    runner: PassRunner[Any]
    budget: Budget
