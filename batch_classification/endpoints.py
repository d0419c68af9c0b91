"""What `batch_processor.py` serves, described for people and for generators of clients."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from batch_classification.answers import error_sentence
from batch_classification.hugging_face_wire import (
    LabelScore,
    RefusalInOneSentence,
    TextClassificationRequest,
    UnavailableInOneSentence,
)
from batch_classification.stats import ClassifierStats
from batch_http.openapi import JSON_LINES, Answer, Endpoint, error_answers, openapi_document, stats_endpoint
from batch_http.requests import Unavailable
from schemas import (
    AnalysedSingle,
    BatchCompleteEvent,
    BatchRequest,
    BatchResult,
    CompletedEvent,
    ErrorEvent,
    FailedSingle,
    ProcessingBatchEvent,
    SingleRequest,
    SingleResult,
    StartedEvent,
)

DESCRIPTION: Final = (
    "Classifies the sentiment of 1 to 100 texts per request. Through the platform, a stream has the media type "
    "`text/event-stream`, the problems of a 400 arrive as text inside `detail`, and a 429 has the platform's words."
)

_TEXTS: Final = ["I love this!", "What a waste of money."]
_LOVE: Final[dict[str, Any]] = {
    "text": "I love this!",
    "sentiment": "POSITIVE",
    "confidence": 0.9496968984603882,
    "token_count": 6,
    "processing_order": 0,
    "truncated": False,
    "tokens_dropped": 0,
}
_BLANK: Final = {
    "processing_order": 1,
    "error": {"code": "blank_text", "message": "texts[1] is blank; remove it or send some text"},
}
_BLANK_PROBLEM: Final = {
    "loc": ["texts", 1],
    "msg": "texts[1] is blank; remove it or send some text",
    "type": "blank_text",
}
_BATCH_EXAMPLES: Final = {
    "texts": {"texts": _TEXTS},
    "every option": {
        "texts": [*_TEXTS, " "],
        "max_length": 128,
        "batch_size": 1,
        "return_all_scores": True,
        "on_invalid_text": "report",
        "on_long_text": "window",
        "analyses": ["sentiment"],
    },
}

_ERRORS: Final = error_answers(_BLANK_PROBLEM)
_ERRORS_IN_ONE_SENTENCE: Final = error_answers(
    {"loc": ["inputs", 0], "msg": "inputs[0] is blank; remove it or send some text", "type": "blank_text"},
    RefusalInOneSentence,
    UnavailableInOneSentence,
    error_sentence,
)

ENDPOINTS: Final = [
    Endpoint(
        "post",
        "/process-batch",
        "process_batch",
        "Classify 1 to 100 texts",
        "One JSON answer, results in input order.",
        request=BatchRequest,
        examples=_BATCH_EXAMPLES,
        answers={
            200: Answer(
                "Every text's result",
                [BatchResult],
                {
                    "results": [_LOVE, _BLANK],
                    "total_texts": 2,
                    "processing_time": 0.0154,
                    "average_time_per_text": 0.0077,
                    "batch_info": {
                        "requested_batch_size": 16,
                        "actual_batches_used": 1,
                        "max_length": 512,
                        "device": "cuda:0",
                        "model": "cardiffnlp/twitter-roberta-base-sentiment-latest",
                        "precision": "float16",
                    },
                    "performance_metrics": {
                        "texts_per_second": 129.9,
                        "gpu_memory_used": 0.24,
                        "total_tokens_processed": 6,
                        "queue_time": 0.0004,
                        "inference_time": 0.0143,
                        "padding_ratio": 0.0,
                    },
                },
            ),
            **_ERRORS,
        },
    ),
    Endpoint(
        "post",
        "/process-batch-stream",
        "process_batch_stream",
        "Classify 1 to 100 texts, with progress",
        "JSON lines, each under 64 KiB, in at most 60 writes. A line that would be longer has `null` for each `text`.",
        request=BatchRequest,
        examples=_BATCH_EXAMPLES,
        answers={
            200: Answer(
                "Progress, and results as they come; each line is one event",
                [StartedEvent, ProcessingBatchEvent, BatchCompleteEvent, CompletedEvent, ErrorEvent],
                '{"status":"started","total_texts":2,"batch_size":16,"estimated_batches":1}\n'
                '{"status":"processing_batch","batch_number":1,"batch_size":2,"progress":1.0}\n',
                media_type=JSON_LINES,
            ),
            **_ERRORS,
        },
    ),
    Endpoint(
        "post",
        "/analyze-single",
        "analyze_single",
        "Classify one text",
        "One result, as in a batch.",
        request=SingleRequest,
        examples={
            "a text": {"text": "I love this!"},
            "every option": {"text": "I love this!", "max_length": 128, "return_all_scores": True},
        },
        answers={
            200: Answer(
                "The text's result", [SingleResult, AnalysedSingle, FailedSingle], _LOVE | {"processing_time": 0.0113}
            ),
            **_ERRORS,
        },
    ),
    Endpoint(
        "post",
        "/text-classification",
        "text_classification",
        "Classify texts for Hugging Face's clients",
        "What `huggingface_hub.InferenceClient.text_classification` and `@huggingface/inference` send and expect.",
        request=TextClassificationRequest,
        examples={
            "a text": {"inputs": "I love this!"},
            "every option": {
                "inputs": _TEXTS,
                "parameters": {"top_k": 2, "function_to_apply": "softmax", "truncation": True},
                "options": {"use_cache": True, "wait_for_model": True},
            },
        },
        answers={
            200: Answer(
                "Per text its labels as the model's configuration writes them, best first",
                [LabelScore],
                [[{"label": "positive", "score": 0.9497}, {"label": "negative", "score": 0.0342}]],
                is_list_of_lists=True,
            ),
            **_ERRORS_IN_ONE_SENTENCE,
        },
    ),
    Endpoint(
        "post",
        "/text-classification/{analysis}",
        "text_classification_analysis",
        "The same, of one analysis",
        "As `/text-classification`, which is that of sentiment.",
        request=TextClassificationRequest,
        examples={"a text": {"inputs": "I love this!"}},
        path_parameters={"analysis": "One of those in /batch-stats, such as `sentiment`"},
        answers={
            200: Answer("As `/text-classification`", [LabelScore], is_list_of_lists=True),
            404: Answer("There is no such analysis here", [Unavailable]),
            **_ERRORS_IN_ONE_SENTENCE,
        },
    ),
    stats_endpoint(ClassifierStats),
]


def document(version: str, analyses: Sequence[str] = ()) -> dict[str, Any]:
    """The service's OpenAPI document; `analyses` are those of an instance, none for the document of any instance."""
    described = openapi_document("batch-processor", version, DESCRIPTION, ENDPOINTS)
    if analyses:
        named = {"type": "string", "enum": list(analyses)}
        for model in BatchRequest, SingleRequest:
            described["components"]["schemas"][model.__name__]["properties"]["analyses"]["anyOf"][0]["items"] = named
        described["paths"]["/text-classification/{analysis}"]["post"]["parameters"][0]["schema"] = named
    return described
