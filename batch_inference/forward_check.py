"""Start-up check: use the packed pass only if it agrees with transformers' own on this device, and is faster.

Both run rows of all lengths, known texts among them. The packed pass serves if its answers are within the precision's
tolerance of the other's, all of them finite, the known texts keep their labels and answer the same alone, and it is
faster. Both halves round, each its own way: where they differ by more, it also serves if it is not much further from
float32 than the other. Otherwise transformers' pass serves, and the log says why; only a lost device ends the start.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from itertools import cycle, islice

import numpy as np

from batch_inference.errors import DeviceLostError
from batch_inference.model import EncoderModel
from batch_inference.sample_texts import SAMPLE_TEXTS
from batch_inference.token_rows import Outputs, TokenRows
from batch_inference.tuning import timed_pass

logger = logging.getLogger(__name__)

TOLERANCES = {"float32": 1e-4, "float16": 5e-3, "bfloat16": 0.04, "int8": 0.2}
"""How far a probability may be from transformers' own in the same precision; `int8` from that in float32.

The halves round after every layer, each pass its own way, bfloat16 to 8 bits. `int8` is less exact by design: on
average the bundled model's probabilities move by 0.002, at most by 0.012 on the rows of this check (AVX-512).
"""

MAX_ERROR_OVER_PADDED = 2
"""In float16 and bfloat16, how much further from float32 than transformers' own pass the packed one may be."""

KNOWN_TEXTS = SAMPLE_TEXTS[:5]

HALVES = ("float16", "bfloat16")

NUM_GPU_LENGTHS, NUM_CPU_LENGTHS = 300, 8
"""Rows of all lengths, and on a CPU, where each costs, one for each doubling."""

NUM_CPU_ALONE = 1
"""Known texts that also run alone on a CPU. On a GPU all do: it takes other kernels for few tokens."""

GPU_TIMED_ROWS, CPU_TIMED_ROWS, TIMED_ROW_TOKENS = 256, 6, 32
"""A pass of tweets, of a size that both kinds of device run in practice: no padding for either."""

MIN_ROUNDS, MAX_ROUNDS = 2, 6
"""Fewer if the packed pass is ahead. Whatever else the machine does, one round in a few goes undisturbed."""


def pick_verified(
    make_packed: Callable[[], EncoderModel], padded: EncoderModel, make_exact: Callable[[], EncoderModel]
) -> EncoderModel:
    """The model that serves: the packed one if it passes the check, else the padded one, with a warning that says why.

    Args:
        make_packed: sets the packed pass up; may raise.
        padded: the same model on transformers' own pass.
        make_exact: that one in float32; called only if the two differ by too much in half precision.

    Raises:
        DeviceLostError: the device fails at everything from now on.
    """
    started_at = time.monotonic()
    try:
        packed = make_packed()
        reason = why_rejected(packed, padded, make_exact)
    except DeviceLostError:
        raise
    except Exception as error:
        reason = f"it failed: {str(error).strip().splitlines()[0]}" if str(error).strip() else f"it failed: {error!r}"
    if reason is None:
        logger.info("The pass without padding passed its check in %.1f s.", time.monotonic() - started_at)
        return packed
    logger.warning(
        "The pass without padding does not serve, for %s. transformers' own does, in %s, which is slower.",
        reason,
        padded.precision,
    )
    padded.notes.choices.append(
        f"transformers' own pass, which pads: the one without padding does not serve, for {reason}."
    )
    return padded


def why_rejected(packed: EncoderModel, padded: EncoderModel, make_exact: Callable[[], EncoderModel]) -> str | None:
    """What speaks against the packed pass, as the end of a sentence; None if nothing does."""
    known = packed.tokenizer.encode(KNOWN_TEXTS, packed.max_tokens).rows
    rows = TokenRows.joined([known, _rows_of_all_lengths(known, packed)])
    expected = _in_parts(padded, rows)
    answers = packed.answers(rows)
    difference = _distance(answers, expected)
    tolerance = TOLERANCES[packed.precision]
    if not difference <= tolerance:
        if packed.precision not in HALVES or not np.isfinite(difference):
            return f"a probability is off by {difference:.2g}, and {tolerance:.2g} is allowed in {packed.precision}"
        if reason := _why_inexact(answers, expected, _in_parts(make_exact(), rows), tolerance):
            return reason
    num_alone = NUM_CPU_ALONE if packed.device == "cpu" else len(known)
    alone = np.concatenate([packed.answers(known.part(row, row + 1)) for row in range(num_alone)])
    if not (from_itself := _distance(alone, answers[:num_alone])) <= tolerance:
        return (
            f"a known text alone differs from itself among others by {from_itself:.2g}, and {tolerance:.2g} is allowed"
        )
    packed.notes.choices.append(
        f"The pass without padding: probabilities within {difference:.1e} of transformers' own, those of a text alone "
        f"within {from_itself:.1e} of the same among others; {tolerance:.0e} is allowed in {packed.precision}."
    )
    # An embedding has no labels.
    if packed.labels:
        labels = [[packed.labels[index] for index in part[: len(known)].argmax(1)] for part in (answers, expected)]
        if labels[0] != labels[1]:
            return f"the known texts are {', '.join(labels[0])}, not {', '.join(labels[1])}"
    return _why_slower(packed, padded, known)


def _why_inexact(answers: Outputs, expected: Outputs, exact: Outputs, tolerance: float) -> str | None:
    """The answers of both passes against those in float32."""
    difference, padded_difference = _distance(answers, exact), _distance(expected, exact)
    allowed = max(tolerance, MAX_ERROR_OVER_PADDED * padded_difference)
    if difference <= allowed:
        return None
    return (
        f"a probability is off from float32 by {difference:.2g}, transformers' own by {padded_difference:.2g}, and "
        f"{allowed:.2g} is allowed"
    )


def _distance(some: Outputs, others: Outputs) -> float:
    """The largest difference."""
    return float(np.abs(some - others).max())


def _in_parts(model: EncoderModel, rows: TokenRows) -> Outputs:
    """The answers of a pass that pads."""
    return np.concatenate([model.answers(part) for part in _parts(rows)])


def _rows_of_all_lengths(known: TokenRows, model: EncoderModel) -> TokenRows:
    """From one token up to as many as the model can take: the known texts' ids, over and over.

    On a CPU none is very long, for RoBERTa-base takes a second for 400 tokens on one core.
    """
    num_lengths = NUM_CPU_LENGTHS if model.device == "cpu" else NUM_GPU_LENGTHS
    longest = model.max_tokens // 4 if model.device == "cpu" else model.max_tokens
    lengths = np.geomspace(1, longest, num_lengths).astype(int).tolist()
    ids = cycle(known.input_ids.tolist())
    return TokenRows.of([list(islice(ids, length)) for length in lengths])


def _parts(rows: TokenRows) -> list[TokenRows]:
    """Rows in parts of like length, in their order, so that padding them costs little."""
    starts = [0]
    for row, length in enumerate(rows.lengths.tolist()):
        if not rows.lengths[starts[-1]] / 2 <= length <= rows.lengths[starts[-1]] * 2:
            starts.append(row)
    return [rows.part(start, end) for start, end in zip(starts, [*starts[1:], len(rows)], strict=True)]


def _why_slower(packed: EncoderModel, padded: EncoderModel, known: TokenRows) -> str | None:
    num_rows = CPU_TIMED_ROWS if packed.device == "cpu" else GPU_TIMED_ROWS
    ids = islice(cycle(known.input_ids.tolist()), num_rows * TIMED_ROW_TOKENS)
    rows = TokenRows(np.fromiter(ids, np.int32), np.full(num_rows, TIMED_ROW_TOKENS, np.int32))
    packed_s = padded_s = float("inf")
    for number in range(MAX_ROUNDS):
        padded_s = min(padded_s, timed_pass(padded, rows))
        packed_s = min(packed_s, timed_pass(packed, rows))
        if number + 1 >= MIN_ROUNDS and packed_s < padded_s:
            packed.notes.tokens_per_second[rows.num_tokens] = rows.num_tokens / packed_s
            packed_ms, padded_ms = 1000 * packed_s, 1000 * padded_s
            packed.notes.choices.append(
                f"It takes {packed_ms:.1f} ms for {rows.num_tokens} tokens, transformers' {padded_ms:.1f} ms."
            )
            return None
    return f"it takes {1000 * packed_s:.1f} ms where the other takes {1000 * padded_s:.1f} ms"
