"""What the figures decide, by rules that were fixed before any were there. Pure functions over the report."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

MIN_EFFICIENT_OVER_FLASH = 1.15
MIN_FLASH_OVER_EFFICIENT = 1.15
MIN_GAIN_OF_A_PART = 1.03
MIN_DEPTH_TWO_OVER_ONE = 1.1
MIN_PACKED_OVER_PADDED = 1.3
MAX_DIFFERENCE = 5e-3
SIZE = 8192
"""Tokens of the passes that are compared."""


@dataclass(frozen=True)
class Decision:
    """One question, and what the figures say: the verdict is `not measured` where they are missing."""

    question: str
    figure: str
    verdict: str


def decide(report: dict[str, Any]) -> list[Decision]:
    """All rules, in the order of the code that they are about. A dry run decides nothing."""
    if report.get("machine", {}).get("is_dry"):
        report = {}
    return [
        _attention_for_tweets(report),
        _attention_for_long_rows(report),
        _part(report, "fold biases", "packed, biases not folded"),
        _part(report, "GELU within the product", "packed, GELU apart"),
        _two_in_flight(report),
        _packed(report),
    ]


def _attention_for_tweets(report: dict[str, Any]) -> Decision:
    gain = _over(report, ("attention", "tweets/flash", "us"), ("attention", "tweets/efficient", "us"))
    question = f"efficient attention, if at least {MIN_EFFICIENT_OVER_FLASH} times as fast as flash on tweets"
    return _decision(question, gain, MIN_EFFICIENT_OVER_FLASH, "efficient", "flash")


def _attention_for_long_rows(report: dict[str, Any]) -> Decision:
    question = f"flash attention for rows of a length where it is {MIN_FLASH_OVER_EFFICIENT} times as fast"
    gains = {
        int(key.split("/")[0]): _over(
            report, ("attention", key.replace("flash", "efficient"), "us"), ("attention", key, "us")
        )
        for key in report.get("attention", {})
        if key.endswith("/flash") and key.split("/")[0].isdigit()
    }
    if not gains:
        return Decision(question, "", "not measured")
    shown = ", ".join(f"{length}: {gain:.2f}" for length, gain in sorted(gains.items()) if gain)
    lengths = [length for length, gain in gains.items() if gain and gain >= MIN_FLASH_OVER_EFFICIENT]
    return Decision(question, shown, f"from {min(lengths)} tokens on" if lengths else "never")


def _part(report: dict[str, Any], name: str, without: str) -> Decision:
    gain = _over(report, ("passes", _key(without), "device_ms"), ("passes", _key("packed"), "device_ms"))
    return _decision(f"{name}, if it brings {MIN_GAIN_OF_A_PART - 1:.0%}", gain, MIN_GAIN_OF_A_PART, "keep", "drop")


def _two_in_flight(report: dict[str, Any]) -> Decision:
    sizes = {key.split("/")[0] for key in report.get("depth", {}) if "/" in key}
    gains = [
        _over(report, ("depth", f"{size}/2", "tokens_per_s"), ("depth", f"{size}/1", "tokens_per_s")) for size in sizes
    ]
    best = max((gain for gain in gains if gain is not None), default=None)
    question = f"two passes in flight, if {MIN_DEPTH_TWO_OVER_ONE} times as fast at any size"
    return _decision(question, best, MIN_DEPTH_TWO_OVER_ONE, "two", "one")


def _packed(report: dict[str, Any]) -> Decision:
    gain = _over(report, ("passes", _key("transformers"), "device_ms"), ("passes", _key("packed"), "device_ms"))
    difference = _figure(report, "correctness", "packed", "max_difference")
    question = (
        f"ship the packed pass, if {MIN_PACKED_OVER_PADDED} times as fast as transformers in half precision at {SIZE} "
        f"tokens and within {MAX_DIFFERENCE}"
    )
    if gain is None or difference is None:
        return Decision(question, "", "not measured")
    is_good = gain >= MIN_PACKED_OVER_PADDED and difference <= MAX_DIFFERENCE
    verdict = "ship it" if is_good else "half weights without autocast's casts"
    return Decision(question, f"{gain:.2f}, {difference:.1e}", verdict)


def _decision(question: str, gain: float | None, needed: float, yes: str, no: str) -> Decision:
    if gain is None:
        return Decision(question, "", "not measured")
    return Decision(question, f"{gain:.2f}", yes if gain >= needed else no)


def _key(name: str) -> str:
    return f"float16/tweets/{SIZE}/{name}"


def _over(report: dict[str, Any], above: tuple[str, str, str], below: tuple[str, str, str]) -> float | None:
    numerator, denominator = _figure(report, *above), _figure(report, *below)
    return numerator / denominator if numerator is not None and denominator else None


def _figure(report: dict[str, Any], part: str, key: str, name: str) -> float | None:
    figures = report.get(part, {}).get(key)
    return float(figures[name]) if isinstance(figures, dict) and name in figures else None
