"""From the engine's outcome to the wire, as `schemas` has it: the tests hold every answer against its model there."""

from __future__ import annotations

from collections.abc import Sequence

from batch_classification.analysed import add_optional_fields, analysed_results
from batch_classification.hugging_face_wire import (
    TextClassificationParameters,
    TextClassificationRequest,
)
from batch_http.errors import ErrorReport
from batch_http.invalid_texts import InvalidText
from batch_http.responses import Json
from batch_inference.engine import Engine
from batch_inference.heads import probabilities as probabilities_of
from batch_inference.outcome import Outcome, Outcomes
from schemas import (
    BatchRequest,
    SingleRequest,
)


def text_results(
    request: BatchRequest | SingleRequest,
    texts: Sequence[str | InvalidText],
    outcome: Outcome | Outcomes,
    start: int = 0,
) -> list[Json]:
    """The answers for these texts, in order: a `TextResult` each, or an `AnalysedText`, or a `FailedText`.

    Args:
        request: what was asked for.
        texts: some of its texts, one after the other.
        outcome: what the engine says of the valid ones; of several analyses, if the request names any.
        start: index of the first of these texts in the request.
    """
    valid = [(order, text) for order, text in enumerate(texts, start) if isinstance(text, str)]
    answered = (
        analysed_results(request, valid, outcome)
        if isinstance(outcome, Outcomes)
        else _text_results(request, valid, outcome)
    )
    if len(valid) == len(texts):
        return answered
    in_order = iter(answered)
    return [
        {"processing_order": order, "error": _failure(f"texts[{order}]", text)}
        if isinstance(text, InvalidText)
        else next(in_order)
        for order, text in enumerate(texts, start)
    ]


def _text_results(
    request: BatchRequest | SingleRequest, valid: Sequence[tuple[int, str]], outcome: Outcome
) -> list[Json]:
    """A `TextResult` for each valid text, given with its index. Its fields come from the columns of the outcome."""
    labels = outcome.labels
    results: list[Json] = [
        {
            "text": text,
            "sentiment": labels[best],
            "confidence": probabilities[best],
            "token_count": num_tokens,
            "processing_order": order,
            "truncated": num_dropped > 0,
            "tokens_dropped": num_dropped,
        }
        for (order, text), (best, probabilities, num_tokens, num_dropped) in zip(
            valid, outcome.classified(), strict=True
        )
    ]
    add_optional_fields(results, request, outcome)
    return results


def _failure(name: str, text: InvalidText) -> Json:
    """A `Failure`."""
    return {"code": text.kind, "message": f"{name} {text.problem}"}


def batch_result(request: BatchRequest, outcome: Outcome | Outcomes, processing_time: float, engine: Engine) -> Json:
    """Answer of `/process-batch`, a `BatchResult`; `processing_time` in seconds.

    Of a request that names analyses, the model is that of the first, and counts and times are of all of them.
    """
    num_texts = len(request.texts)
    served = engine.served_by(request.analyses[0] if request.analyses else None)
    return {
        "results": text_results(request, request.texts, outcome),
        "total_texts": num_texts,
        "processing_time": processing_time,
        "average_time_per_text": processing_time / num_texts,
        "batch_info": {
            "requested_batch_size": request.batch_size,
            "actual_batches_used": outcome.usage.num_passes,
            "max_length": served.effective_max_length(request.max_length),
            "device": served.model.device,
            "model": served.settings.model,
            "precision": served.model.precision,
        },
        "performance_metrics": {
            "texts_per_second": len(outcome) / processing_time,
            "gpu_memory_used": served.model.memory_gib(),
            "total_tokens_processed": outcome.num_tokens_run,
            "queue_time": outcome.queue_time_s,
            "inference_time": outcome.usage.inference_time_s,
            "padding_ratio": outcome.usage.padding_ratio,
        },
    }


def single_result(request: SingleRequest, outcome: Outcome | Outcomes, processing_time: float) -> Json:
    """Answer of `/analyze-single`, a `SingleResult`, an `AnalysedSingle` or a `FailedSingle`; `processing_time` in
    seconds."""
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
