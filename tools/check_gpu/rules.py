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
MAX_RECALL_LOST = 0.002
MIN_REPLAY_OVER_EAGER = 2.0
MIN_SOAK_END_OVER_START = 0.9
MAX_SOAK_MEMORY_GROWTH = 1.05
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
        _replay(report),
        _precision(report),
        _alone(report),
        _out_of_memory(report),
        _soak(report),
        _without_cublaslt(report),
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


def _replay(report: dict[str, Any]) -> Decision:
    gain = _over(
        report,
        ("launches", "1024/eager", "beside_busy_threads_us"),
        ("launches", "1024/replay", "beside_busy_threads_us"),
    )
    question = f"replay, if a launch beside busy threads takes {MIN_REPLAY_OVER_EAGER:g} times as long call by call"
    return _decision(question, gain, MIN_REPLAY_OVER_EAGER, "replay", "CUDA_GRAPHS=false")


def _precision(report: dict[str, Any]) -> Decision:
    exact, half = (_figure(report, "recall", precision, "macro_recall") for precision in ("float32", "float16"))
    question = f"float16, if it loses at most {MAX_RECALL_LOST} of the macro recall"
    if exact is None or half is None:
        return Decision(question, "", "not measured")
    is_kept = exact - half <= MAX_RECALL_LOST
    return Decision(question, f"{exact:.4f}, {half:.4f}", "float16" if is_kept else "PRECISION=float32")


def _alone(report: dict[str, Any]) -> Decision:
    difference = _figure(report, "correctness", "packed", "batched_against_alone")
    question = f"a text alone answers as among others, within {MAX_DIFFERENCE}"
    return _within(question, difference, MAX_DIFFERENCE)


def _out_of_memory(report: dict[str, Any]) -> Decision:
    difference = report.get("out_of_memory", {}).get("max_difference")
    question = f"with little memory the answers stay, within {MAX_DIFFERENCE}"
    return _within(question, difference, MAX_DIFFERENCE)


def _soak(report: dict[str, Any]) -> Decision:
    speeds, memory = (report.get("soak", {}).get(name) for name in ("texts_per_s", "memory_gib"))
    question = f"a minute of load slows nothing ({MIN_SOAK_END_OVER_START:g} of the start) and keeps no memory"
    if not speeds or not memory or None in memory:
        return Decision(question, "", "not measured")
    # The first part warms up.
    speed, growth = speeds[-1] / speeds[1], memory[-1] / memory[1]
    is_good = speed >= MIN_SOAK_END_OVER_START and growth <= MAX_SOAK_MEMORY_GROWTH
    return Decision(question, f"{speed:.2f}, {growth:.2f}", "yes" if is_good else "no: look for the cause")


def _without_cublaslt(report: dict[str, Any]) -> Decision:
    gain = _over(report, ("passes", _key("packed"), "device_ms"), ("without_cublaslt", f"{SIZE}/packed", "device_ms"))
    question = f"DISABLE_ADDMM_CUDA_LT=1, if it brings {MIN_GAIN_OF_A_PART - 1:.0%}"
    return _decision(question, gain, MIN_GAIN_OF_A_PART, "set it", "leave it")


def _within(question: str, difference: float | None, allowed: float) -> Decision:
    if difference is None:
        return Decision(question, "", "not measured")
    return Decision(question, f"{difference:.1e}", "yes" if difference <= allowed else "no: look for the cause")


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
