"""The chute with faults where they would happen: a text that is one of the words below brings its fault about.

Replaced are the calls that fail; whatever deals with the failure is the service's own.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import torch

import batch_processor
from batch_inference import waiting_texts
from batch_processor import chute

FAILS_IN_TOKENIZER = "gnu"
FAILS_IN_PASS = "zebra"
DOES_NOT_FIT = "walrus"
DOES_NOT_FIT_WITH_OTHERS = "otter"
FAILS_IN_SERIALISING = "heron"
KILLS_WORKER = "moth"

RATE = float(os.environ.get("FAULT_RATE", "0"))
"""Share of forward passes that run out of memory or fail at random, for the soak."""


def _failing_tokenizer(encode: Callable[..., Any]) -> Callable[..., Any]:
    def failing(texts: Any, *args: Any, **kwargs: Any) -> Any:
        if FAILS_IN_TOKENIZER in texts:
            raise RuntimeError("Already borrowed")
        return encode(texts, *args, **kwargs)

    return failing


def _failing_pass(logits: Callable[[Any], Any], poison: dict[str, int], rng: random.Random) -> Callable[[Any], Any]:
    def failing(rows: Any) -> Any:
        ids = rows.input_ids.tolist()
        if poison[FAILS_IN_PASS] in ids or rng.random() < RATE:
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied")
        if poison[DOES_NOT_FIT] in ids or rng.random() < RATE:
            raise torch.OutOfMemoryError("tried to allocate 20.00 GiB")
        if poison[DOES_NOT_FIT_WITH_OTHERS] in ids and rows.num_rows > 1:
            raise torch.OutOfMemoryError("tried to allocate 2.00 GiB")
        return logits(rows)

    return failing


def _failing_serialiser(serialise: Callable[..., Any]) -> Callable[..., Any]:
    def failing(request: Any, *args: Any, **kwargs: Any) -> Any:
        if FAILS_IN_SERIALISING in request.texts:
            raise ValueError("Out of range float values are not JSON compliant")
        return serialise(request, *args, **kwargs)

    return failing


def _failing_planner(plan: Callable[..., Any], deadly_length: int) -> Callable[..., Any]:
    def failing(lengths: Any, *args: Any) -> Any:
        if deadly_length in lengths:
            raise AssertionError("a plan without texts")
        return plan(lengths, *args)

    return failing


@chute.on_startup()
async def break_things(self: Any) -> None:
    """Runs after the service's own start-up hook, so that the model is loaded and tested as it is."""
    model = self.engine.model
    poison = {
        word: int(model.tokenizer.encode([word], 512).rows.input_ids[1])
        for word in (FAILS_IN_PASS, DOES_NOT_FIT, DOES_NOT_FIT_WITH_OTHERS)
    }
    model.tokenizer.encode = _failing_tokenizer(model.tokenizer.encode)
    model.forward.logits = _failing_pass(model.forward.logits, poison, random.Random(1))
    batch_processor.batch_result = _failing_serialiser(batch_processor.batch_result)
    deadly = model.tokenizer.encode([f"{KILLS_WORKER} " * 99 + KILLS_WORKER], 512).rows.num_tokens
    waiting_texts.planned = _failing_planner(waiting_texts.planned, deadly)
