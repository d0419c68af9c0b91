"""Each peer's batching settings: what they are now, and the file they are kept in. `bench.tune` finds them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

TUNED_FILE = Path(__file__).resolve().parent / "peers" / "tuned.json"


@dataclass(frozen=True)
class Tuning:
    """How a peer batches.

    Attributes:
        chunk_size: texts in one forward pass (Infinity: its `--batch-size`).
        max_requests: requests that may be batched together (not Infinity, which counts texts; vLLM: texts, its
            `--max-num-seqs`).
        wait_ms: how long a batch may wait to fill (not Infinity, BentoML or vLLM, which have no such setting).
        is_compiled: whether the model goes through `torch.compile` (Infinity's own option).
    """

    chunk_size: int = 16
    max_requests: int = 16
    wait_ms: int = 2
    is_compiled: bool = False


def read_tuned(model: str, kind: str, peer: str) -> Tuning:
    """The settings kept for a peer with a model on a kind of text; else those for tweets; else the defaults."""
    kept = _read()
    return Tuning(**kept.get(_key(model, kind), kept.get(_key(model, "tweets"), {})).get(peer, {}))


def write_tuned(model: str, kind: str, peer: str, tuning: Tuning) -> None:
    """Keep a peer's settings for a model and kind of text."""
    tuned = _read()
    tuned.setdefault(_key(model, kind), {})[peer] = asdict(tuning)
    TUNED_FILE.write_text(json.dumps(tuned, indent=2) + "\n")


def _key(model: str, kind: str) -> str:
    return f"{model}, {kind}"


def _read() -> dict[str, dict[str, dict[str, Any]]]:
    tuned: dict[str, dict[str, dict[str, Any]]] = json.loads(TUNED_FILE.read_text()) if TUNED_FILE.exists() else {}
    return tuned
