"""The chute: one image, one startup hook, its cords. Composition only; the work is in `batch_inference/`."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from functools import partial
from typing import Any

from chutes.chute import Chute
from chutes.util.schema import SchemaExtractor
from starlette.responses import Response

from batch_classification.admission import admitted_request
from batch_classification.answers import batch_result, error_sentence, label_scores, single_result
from batch_classification.endpoints import document
from batch_classification.hugging_face_wire import (
    TextClassificationRequest,
)
from batch_classification.long_texts import without_long_texts
from batch_classification.models import start_with_analyses
from batch_classification.settings import ClassifierSettings
from batch_classification.stats import ClassifierStats, classifier_stats
from batch_classification.stream import stream_batch
from batch_http.callers import caller_of
from batch_http.dev_pages import TRY_SENTIMENT, describe
from batch_http.dev_start import refusals_end_dev_mode
from batch_http.errors import errors_as_http
from batch_http.front import install_front
from batch_http.openapi import JSON_LINES
from batch_http.requests import parse_request
from batch_http.responses import json_response
from batch_http.shutdown import exit_after_device_lost
from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings
from image import VERSION, build_image, placement
from schemas import (
    DEFAULT_MAX_LENGTH,
    KNOWN_ANALYSES,
    BatchRequest,
    BatchResult,
    SingleRequest,
    SingleResult,
)

try:
    settings = load_settings(ClassifierSettings)
except SettingsError as error:
    sys.exit(str(error))

README = f"""
# Batch sentiment classification

Classifies 1 to 100 texts per request as NEGATIVE, NEUTRAL or POSITIVE, with `{settings.model}`.

```bash
SLUG=...  # of this chute, from `chutes chutes get {settings.chute_name}`
curl https://$SLUG.chutes.ai/process-batch \\
  -H "Authorization: Bearer $CHUTES_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"texts": ["I love this product!", "This is terrible quality."]}}'
```

`POST /process-batch-stream` takes the same body and answers JSON lines with progress and partial results,
`POST /analyze-single` takes `{{"text": "..."}}`, `POST /text-classification` answers the clients of Hugging Face,
`GET /batch-stats` says what the instance is doing. With `"analyses": [...]` each result has what these say of the text:
{", ".join(settings.analysis_names)}.
"""

chute = Chute(
    username=settings.username,
    name=settings.chute_name,
    image=build_image(settings, "batch_classification", "schemas.py"),
    tagline="Sentiment of up to 100 texts per request, on one GPU, with continuous batching",
    readme=README,
    # FastAPI's own pages take their scripts from a network.
    docs_url=None,
    redoc_url=None,
    **placement(settings),
)
OF_HUGGING_FACE = ["/text-classification", *(f"/text-classification/{name}" for name in settings.analysis_names)]
install_front(chute, dict.fromkeys(OF_HUGGING_FACE, error_sentence), settings.allowed_origins)
describe(chute, partial(document, VERSION, settings.analysis_names), TRY_SENTIMENT)

# Given a model class, the SDK would validate by itself and answer a bare 400, or a 500: hence schemas as dicts.
BATCH_SCHEMA = SchemaExtractor.get_minimal_schema(BatchRequest)
SINGLE_SCHEMA = SchemaExtractor.get_minimal_schema(SingleRequest)
TEXT_CLASSIFICATION_SCHEMA = SchemaExtractor.get_minimal_schema(TextClassificationRequest)

# The SDK leaves the body out where it is empty or falsy, so every cord has a default for it. Cords are plain functions:
# each call has a thread of its own either way, and for a coroutine the SDK would make an event loop a call as well.
Body = dict[str, Any] | None

KNOWN = {KNOWN_ANALYSES: settings.analysis_names}
"""What requests are held against that only this chute knows."""


@chute.on_startup()
async def load_engine(self: Any) -> None:
    """Load the model and run it once: after start-up the instance has no network."""
    with refusals_end_dev_mode():
        self.engine = start_with_analyses(settings, exit_after_device_lost)


@chute.cord(
    public_api_path="/process-batch",
    public_api_method="POST",
    input_schema=BATCH_SCHEMA,
    output_schema=BatchResult.model_json_schema(),
    output_content_type="application/json",
)
def process_batch(self: Any, body: Body = None) -> Response:
    """Classify 1 to 100 texts, one JSON answer."""
    started_at = time.monotonic()
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(BatchRequest, body, context=KNOWN)
        with admitted_request(self.engine, request, caller) as admitted:
            request = without_long_texts(request, admitted)
            outcome = admitted.run()
        return json_response(batch_result(request, outcome, time.monotonic() - started_at, self.engine))


@chute.cord(
    public_api_path="/process-batch-stream",
    public_api_method="POST",
    input_schema=BATCH_SCHEMA,
    output_content_type=JSON_LINES,
    stream=True,
)
def process_batch_stream(self: Any, body: Body = None) -> Iterator[bytes]:
    """Classify 1 to 100 texts, JSON lines with progress and partial results."""
    with errors_as_http(self.engine.stats):
        request = parse_request(BatchRequest, body, streams=True, context=KNOWN)
        writes = stream_batch(self.engine, request, body)
        first = next(writes)
    yield first
    yield from writes


@chute.cord(
    public_api_path="/analyze-single",
    public_api_method="POST",
    input_schema=SINGLE_SCHEMA,
    output_schema=SingleResult.model_json_schema(),
    output_content_type="application/json",
)
def analyze_single(self: Any, body: Body = None) -> Response:
    """Classify one text."""
    started_at = time.monotonic()
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(SingleRequest, body, context=KNOWN)
        with admitted_request(self.engine, request, caller) as admitted:
            request = without_long_texts(request, admitted)
            outcome = admitted.run()
        return json_response(single_result(request, outcome, time.monotonic() - started_at))


@chute.cord(
    public_api_path="/text-classification",
    public_api_method="POST",
    input_schema=TEXT_CLASSIFICATION_SCHEMA,
    output_content_type="application/json",
)
def text_classification(self: Any, body: Body = None) -> Response:
    """Classify 1 to 100 texts for the clients of Hugging Face."""
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(TextClassificationRequest, body)
        outcome = self.engine.run(request.inputs, DEFAULT_MAX_LENGTH, caller)
        return json_response(label_scores(request, outcome, self.engine.model.own_labels))


def add_text_classification(name: str) -> None:
    """Add the same for an analysis, at a path of its own: those clients know of no field for it."""

    def classify(self: Any, body: Body = None) -> Response:
        with errors_as_http(self.engine.stats), caller_of(body) as caller:
            request = parse_request(TextClassificationRequest, body)
            outcome = self.engine.run(request.inputs, DEFAULT_MAX_LENGTH, caller, model=name)
            return json_response(label_scores(request, outcome, self.engine.served[name].model.own_labels))

    # The SDK names the cord after it.
    classify.__name__ = f"text_classification_{name}"
    chute.cord(
        public_api_path=f"/text-classification/{name}",
        public_api_method="POST",
        input_schema=TEXT_CLASSIFICATION_SCHEMA,
        output_content_type="application/json",
    )(classify)


for analysis in settings.analysis_names:
    add_text_classification(analysis)


@chute.cord(
    public_api_path="/batch-stats",
    public_api_method="GET",
    output_schema=ClassifierStats.model_json_schema(),
    output_content_type="application/json",
)
def get_batch_stats(self: Any, _body: Body = None) -> Response:
    """What the service has done and is doing."""
    return json_response(classifier_stats(self.engine, settings))
