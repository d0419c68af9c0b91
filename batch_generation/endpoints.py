"""What `batch_generator.py` serves, described for people and for generators of clients."""

from __future__ import annotations

from typing import Any, Final

from batch_generation.wire import (
    GeneratedText,
    GenerateRequest,
    GenerateResult,
    GenerationCompleted,
    GenerationFailed,
    GenerationFinished,
    GenerationStarted,
    GeneratorStats,
    TextPart,
)
from batch_http.model_cards import ModelList
from batch_http.openapi import JSON_LINES, Answer, Endpoint, error_answers, openapi_document, stats_endpoint

DESCRIPTION: Final = (
    "Completes 1 to 100 prompts per request. A prompt and its answer must have room in the model together, in tokens: "
    "`GET /v1/models` has its `max_tokens`. Through the platform, a stream has the media type `text/event-stream`, the "
    "problems of a 400 arrive as text inside `detail`, and a 429 has the platform's words."
)

_EXAMPLES: Final = {
    "prompts": {"prompts": ["Name three colours."], "max_new_tokens": 16},
    "every option": {
        "prompts": ["Name three colours.", "What is two and two?"],
        "max_new_tokens": 16,
        "temperature": 0.7,
        "seed": 7,
    },
}
_ERRORS: Final = error_answers(
    {"loc": ["prompts", 0], "msg": "prompts[0] is blank; remove it or send some text", "type": "blank_text"}
)
_RESULT: Final = GeneratedText(
    text="Red, green, blue.", finish_reason="stop", prompt_tokens=33, completion_tokens=7, processing_order=0
)
_INFO: Final = {
    "model": "Qwen/Qwen2.5-0.5B-Instruct",
    "device": "cuda:0",
    "precision": "bfloat16",
    "max_new_tokens": 16,
    "temperature": 0.0,
    "seed": 7,
}

ENDPOINTS: Final = [
    Endpoint(
        "post",
        "/generate-batch",
        "generate_batch",
        "Complete 1 to 100 prompts",
        "One JSON answer, results in input order.",
        request=GenerateRequest,
        examples=_EXAMPLES,
        answers={
            200: Answer(
                "Every prompt's answer",
                [GenerateResult],
                {
                    "results": [_RESULT.model_dump()],
                    "total_prompts": 1,
                    "processing_time": 0.21,
                    "generation_info": _INFO,
                    "performance_metrics": {
                        "tokens_per_second": 33.3,
                        "gpu_memory_used": 1.9,
                        "total_prompt_tokens": 33,
                        "total_completion_tokens": 7,
                        "queue_time": 0.001,
                    },
                },
            ),
            **_ERRORS,
        },
    ),
    Endpoint(
        "post",
        "/generate-batch-stream",
        "generate_batch_stream",
        "Complete 1 to 100 prompts, each as it finishes",
        "JSON lines, each under 64 KiB. A text that is longer comes in lines with the status `text_part`, the last "
        "part in its `result`.",
        request=GenerateRequest,
        examples=_EXAMPLES,
        answers={
            200: Answer(
                "Results as they come; each line is one event",
                [GenerationStarted, TextPart, GenerationFinished, GenerationCompleted, GenerationFailed],
                '{"status":"completed","total_time":0.21,"total_prompt_tokens":33,"total_completion_tokens":7}\n',
                media_type=JSON_LINES,
            ),
            **_ERRORS,
        },
    ),
    Endpoint(
        "get",
        "/v1/models",
        "list_models",
        "The model that is served",
        "A list of one, as OpenAI's clients expect it. `make run` has `GET /v1/models/ID`, too.",
        answers={200: Answer("The model", [ModelList])},
    ),
    stats_endpoint(GeneratorStats),
]


def document(version: str) -> dict[str, Any]:
    """The generator's OpenAPI document."""
    return openapi_document("batch-generator", version, DESCRIPTION, ENDPOINTS)
