"""Texts that wait together, and the rows of them that share a forward pass."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from batch_inference.errors import BatchInferenceError
from batch_inference.token_rows import Indices, Outputs, TokenRows, starts_of


@dataclass(slots=True)
class PassUsage:
    """What the forward passes that held a group's texts cost. Times in seconds.

    A pass shared with other requests counts in full: `inference_time_s` is the sum of those passes' durations, as
    `PassRecord` has them, not a share of it, and padding is that of the whole pass.
    """

    started_at: float | None = None
    num_passes: int = 0
    inference_time_s: float = 0.0
    num_tokens: int = 0
    num_padding_tokens: int = 0

    @property
    def padding_ratio(self) -> float:
        """Padding tokens over all tokens of those passes, from 0 to 1."""
        return self.num_padding_tokens / self.num_tokens if self.num_tokens else 0.0


@dataclass(slots=True, eq=False)
class TextGroup:
    """Texts whose answers are delivered together: the future gets the outputs of all of them, in order.

    Cancelling the future takes those texts out of the queue that are not in a pass yet.

    Attributes:
        rows: the texts' token ids.
        model: the name of the model that runs them.
        waiting: while the group is queued, indices of the rows that are in no pass yet, in order.
        lengths: tokens of those rows.
        num_tokens: tokens of all of those rows.
        outputs: what is known so far; None before the group's first pass.
        num_unanswered: rows whose outputs are not known.
    """

    rows: TokenRows
    model: str = ""
    future: Future[Outputs] = field(default_factory=Future)
    usage: PassUsage = field(default_factory=PassUsage)
    waiting: Indices = field(init=False)
    lengths: NDArray[np.int32] = field(init=False)
    num_tokens: int = field(init=False)
    outputs: Outputs | None = None
    num_unanswered: int = field(init=False)

    def __post_init__(self) -> None:
        self.num_unanswered = len(self.rows)
        self.waiting = np.arange(self.num_unanswered)
        self.lengths, self.num_tokens = self.rows.lengths, self.rows.num_tokens

    def leave_waiting(self, is_left: NDArray[np.bool_]) -> None:
        """Of the rows that wait, only these still do."""
        self.waiting, self.lengths = self.waiting[is_left], self.lengths[is_left]
        self.num_tokens = int(self.lengths.sum())

    def collect(self, indices: Indices, outputs: Outputs) -> None:
        """Note a pass's outputs of the rows at these indices. With the last of them, the future is resolved."""
        if len(self.rows) == 1:
            self.outputs = outputs.copy()
        else:
            if self.outputs is None:
                self.outputs = np.empty((len(self.rows), outputs.shape[1]), np.float32)
            self.outputs[indices] = outputs
        self.num_unanswered -= len(indices)
        if self.num_unanswered == 0:
            self.answer(self.outputs)

    def answer(self, outputs: Outputs) -> None:
        """Resolve the future, unless the caller has gone."""
        if self.future.set_running_or_notify_cancel():
            self.future.set_result(outputs)

    def fail(self, error: BatchInferenceError) -> None:
        """Resolve the future with an error, unless that has been done or the caller has gone."""
        if not self.future.done() and self.future.set_running_or_notify_cancel():
            self.future.set_exception(error)


@dataclass(frozen=True, slots=True, eq=False)
class PassRows:
    """The texts of a pass: which rows of which groups, all of one model.

    Attributes:
        groups: those with a row here; at least one.
        owners: the index in `groups` of each row's group; shape (rows,).
        indices: the index of each row in its group; shape (rows,).
        lengths: tokens of each row; shape (rows,).
    """

    groups: list[TextGroup]
    owners: Indices
    indices: Indices
    lengths: NDArray[np.int32]

    @classmethod
    def waiting_in(cls, groups: list[TextGroup]) -> PassRows:
        """All rows of these groups that are in no pass yet."""
        counts = [len(group.waiting) for group in groups]
        if len(groups) == 1:
            return cls(groups, np.zeros(counts[0], np.intp), groups[0].waiting, groups[0].lengths)
        return cls(
            groups,
            np.repeat(np.arange(len(groups)), counts),
            np.concatenate([group.waiting for group in groups]),
            np.concatenate([group.lengths for group in groups]),
        )

    def __len__(self) -> int:
        return len(self.owners)

    @property
    def model(self) -> str:
        """The name of the model that runs them."""
        return self.groups[0].model

    def token_rows(self) -> TokenRows:
        """The rows' token ids, in the order of the pass."""
        if len(self.groups) == 1 and len(self.groups[0].rows) == 1:
            return self.groups[0].rows
        if len(self.groups) == 1:
            return self.groups[0].rows.select(self.indices)
        firsts = starts_of(np.array([len(group.rows) for group in self.groups]))
        return TokenRows.joined([group.rows for group in self.groups]).select(firsts[self.owners] + self.indices)

    def part(self, rows: Indices | NDArray[np.bool_] | slice) -> PassRows:
        """Only these rows, and their groups."""
        owners, indices, lengths = self.owners[rows], self.indices[rows], self.lengths[rows]
        if len(owners) == len(self) or len(self.groups) == 1:
            return PassRows(self.groups, owners, indices, lengths)
        left, owners = np.unique(owners, return_inverse=True)
        return PassRows([self.groups[owner] for owner in left], owners, indices, lengths)

    def halves(self) -> list[PassRows]:
        """Two passes instead of one; none if there is nothing to halve."""
        middle = len(self) // 2
        return [self.part(slice(middle)), self.part(slice(middle, None))] if middle else []

    def by_group(self) -> list[PassRows]:
        """A pass for each group; none if there is but one."""
        return [self.part(positions) for _, positions, _ in self.by_owner()] if len(self.groups) > 1 else []

    def live(self) -> PassRows:
        """Only the rows whose group is not done yet."""
        is_live = np.array([not group.future.done() for group in self.groups], bool)
        return self.part(is_live[self.owners])

    def by_owner(self) -> Iterator[tuple[TextGroup, Indices | slice, Indices]]:
        """Per group: indices of its rows in this pass, and in the group."""
        if len(self.groups) == 1:
            yield self.groups[0], slice(None), self.indices
            return
        order = np.argsort(self.owners, kind="stable")
        start = 0
        for group, end in zip(self.groups, np.bincount(self.owners).cumsum().tolist(), strict=True):
            positions, start = order[start:end], end
            yield group, positions, self.indices[positions]
