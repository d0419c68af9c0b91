"""From the engine's outcome to the wire, as `schemas` has it: the tests hold every answer against its model there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from batch_classification.settings import ClassifierSettings
from batch_http.errors import ErrorReport
from batch_http.responses import Json
from batch_inference.engine import Engine
from batch_inference.heads import probabilities as probabilities_of
from batch_inference.outcome import Outcome
from schemas import (
    BatchRequest,
    InvalidText,
    SingleRequest,
    TextClassificationParameters,
    TextClassificationRequest,
)

HOLDS_FROM: Final = 0.5
"""Probability from which a label holds, of a model that gives each its own."""


def valid_texts(texts: Sequence[str | InvalidText]) -> list[str]:
    """What the engine is asked about."""
    return [text for text in texts if isinstance(text, str)]


def text_results(
    request: BatchRequest | SingleRequest, texts: Sequence[str | InvalidText], outcome: Outcome, start: int = 0
) -> list[Json]:
    """The answers for these texts, in order: a `TextResult` each, or a `FailedText`.

    Args:
        request: what was asked for.
        texts: some of its texts, one after the other.
        outcome: what the engine says of the valid ones.
        start: index of the first of these texts in the request.
    """
    answered = _text_results(request, texts, outcome, start)
    return [
        {"processing_order": order, "error": _failure(f"texts[{order}]", text)}
        if isinstance(text, InvalidText)
        else next(answered)
        for order, text in enumerate(texts, start)
    ]


def _text_results(
    request: BatchRequest | SingleRequest, texts: Sequence[str | InvalidText], outcome: Outcome, start: int
) -> Iterator[Json]:
    """A `TextResult` for each valid text. Its fields come from the columns of the outcome."""
    labels = outcome.labels
    valid = [(order, text) for order, text in enumerate(texts, start) if isinstance(text, str)]
    best_labels = outcome.answers.argmax(axis=1).tolist()
    columns = zip(
        valid,
        best_labels,
        outcome.answers.tolist(),
        outcome.num_tokens.tolist(),
        outcome.num_dropped.tolist(),
        outcome.num_windows.tolist(),
        strict=True,
    )
    for (order, text), best, probabilities, num_tokens, num_dropped, num_windows in columns:
        result: Json = {
            "text": text,
            "sentiment": labels[best],
            "confidence": probabilities[best],
            "token_count": num_tokens,
            "processing_order": order,
            "truncated": num_dropped > 0,
            "tokens_dropped": num_dropped,
        }
        if request.in_windows:
            result["windows"] = num_windows
        if outcome.is_multi_label:
            best_first = sorted(range(len(labels)), key=probabilities.__getitem__, reverse=True)
            result["labels"] = [labels[index] for index in best_first if probabilities[index] >= HOLDS_FROM]
        if request.return_all_scores:
            result["scores"] = dict(zip(labels, probabilities, strict=True))
        yield result


def _failure(name: str, text: InvalidText) -> Json:
    """A `Failure`."""
    return {"code": text.kind, "message": f"{name} {text.problem}"}


def batch_result(
    request: BatchRequest, outcome: Outcome, processing_time: float, engine: Engine, settings: ClassifierSettings
) -> Json:
    """Answer of `/process-batch`, a `BatchResult`; `processing_time` in seconds."""
    num_texts = len(request.texts)
    return {
        "results": text_results(request, request.texts, outcome),
        "total_texts": num_texts,
        "processing_time": processing_time,
        "average_time_per_text": processing_time / num_texts,
        "batch_info": {
            "requested_batch_size": request.batch_size,
            "actual_batches_used": outcome.usage.num_passes,
            "max_length": engine.effective_max_length(request.max_length),
            "device": engine.model.device,
            "model": settings.model,
            "precision": engine.model.precision,
        },
        "performance_metrics": {
            "texts_per_second": len(outcome) / processing_time,
            "gpu_memory_used": engine.model.memory_gib(),
            "total_tokens_processed": outcome.num_tokens_run,
            "queue_time": outcome.queue_time_s,
            "inference_time": outcome.usage.inference_time_s,
            "padding_ratio": outcome.usage.padding_ratio,
        },
    }


def single_result(request: SingleRequest, outcome: Outcome, processing_time: float) -> Json:
    """Answer of `/analyze-single`, a `SingleResult` or a `FailedSingle`; `processing_time` in seconds."""
    if isinstance(request.text, InvalidText):
        return {"processing_order": 0, "error": _failure("text", request.text), "processing_time": processing_time}
    [result] = text_results(request, [request.text], outcome)
    return result | {"processing_time": processing_time}


def label_scores(request: TextClassificationRequest, outcome: Outcome, labels: Sequence[str]) -> list[list[Json]]:
    """Answer of `/text-classification`: per text its best labels, best first, a `LabelScore` each.

    `labels` are the model's own: Hugging Face's clients show them as the checkpoint writes them.
    """
    parameters = request.parameters or TextClassificationParameters()
    function = parameters.function_to_apply
    if function is None:
        scores = outcome.answers
    else:
        scores = outcome.outputs if function == "none" else probabilities_of(outcome.outputs, function)
    best_first = scores.argsort(axis=1)[:, ::-1][:, : parameters.top_k]
    return [
        [{"label": labels[label], "score": float(row[label])} for label in ranked]
        for row, ranked in zip(scores, best_first.tolist(), strict=True)
    ]


def error_sentence(report: ErrorReport) -> str:
    """What `/text-classification` answers under `error`: Hugging Face's clients show their users nothing else."""
    return report.message
