"""Results of a request that names analyses: what each of them says of a text, under its name."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from batch_classification.settings import SENTIMENT
from batch_http.responses import Json
from batch_inference.outcome import Outcome, Outcomes
from schemas import BatchRequest, SingleRequest

HOLDS_FROM: Final = 0.5
"""Probability from which such a label holds."""

FOR_SENTIMENT: Final = {"sentiment": "label", "confidence": "confidence", "scores": "scores"}
"""Fields of a result that are there if sentiment was asked for, and those of its analysis that they repeat."""

OF_FIRST: Final = ("token_count", "truncated", "tokens_dropped", "windows")
"""Fields of a result that repeat those of the first analysis."""


def analysed_results(
    request: BatchRequest | SingleRequest, valid: Sequence[tuple[int, str]], outcomes: Outcomes
) -> list[Json]:
    """An `AnalysedText` for each valid text; `valid` has each with its index in the request."""
    by_name = {name: _analysis_results(request, outcome) for name, outcome in outcomes.by_model.items()}
    results: list[Json] = []
    for (order, text), *each in zip(valid, *by_name.values(), strict=True):
        analyses = dict(zip(by_name, each, strict=True))
        result: Json = {"text": text, "processing_order": order}
        if sentiment := analyses.get(SENTIMENT):
            result |= {name: sentiment[field] for name, field in FOR_SENTIMENT.items() if field in sentiment}
        first = each[0]
        result |= {field: first[field] for field in OF_FIRST if field in first}
        result["analyses"] = analyses
        results.append(result)
    return results


def held_labels(labels: Sequence[str], probabilities: Sequence[float]) -> list[str]:
    """The labels that hold for a text, of a model that gives each a probability of its own; best first."""
    best_first = sorted(range(len(labels)), key=probabilities.__getitem__, reverse=True)
    return [labels[index] for index in best_first if probabilities[index] >= HOLDS_FROM]


def add_optional_fields(results: Sequence[Json], request: BatchRequest | SingleRequest, outcome: Outcome) -> None:
    """Add to the results of texts what the request asks for, and what a model of several labels says beside the
    best."""
    if request.in_windows:
        for result, num_windows in zip(results, outcome.num_windows.tolist(), strict=True):
            result["windows"] = num_windows
    if outcome.is_multi_label:
        for result, probabilities in zip(results, outcome.answers.tolist(), strict=True):
            result["labels"] = held_labels(outcome.labels, probabilities)
    if request.return_all_scores:
        for result, probabilities in zip(results, outcome.answers.tolist(), strict=True):
            result["scores"] = dict(zip(outcome.labels, probabilities, strict=True))


def _analysis_results(request: BatchRequest | SingleRequest, outcome: Outcome) -> list[Json]:
    """An `AnalysisResult` for each text."""
    labels = outcome.labels
    results: list[Json] = [
        {
            "label": labels[best],
            "confidence": probabilities[best],
            "token_count": num_tokens,
            "truncated": num_dropped > 0,
            "tokens_dropped": num_dropped,
        }
        for best, probabilities, num_tokens, num_dropped in outcome.classified()
    ]
    add_optional_fields(results, request, outcome)
    return results
