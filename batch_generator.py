"""The generator as a chute of its own: one image, one startup hook, four cords. The work is in `batch_generation/`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import partial
from typing import Any

from chutes.chute import Chute
from chutes.util.schema import SchemaExtractor
from starlette.responses import Response

from batch_generation.answers import generate_batch as generate
from batch_generation.answers import generator_card, generator_stats, stream_generation
from batch_generation.endpoints import document
from batch_generation.generator import Generator
from batch_generation.settings import GeneratorSettings
from batch_generation.wire import GenerateRequest, GenerateResult, GeneratorStats
from batch_http.dev_pages import describe
from batch_http.dev_start import refusals_end_dev_mode
from batch_http.errors import errors_as_http
from batch_http.front import install_front
from batch_http.model_cards import ModelList, add_model_path
from batch_http.openapi import JSON_LINES
from batch_http.requests import parse_request
from batch_http.responses import json_response
from batch_http.shutdown import exit_after_device_lost
from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings
from image import VERSION, build_image, placement

try:
    settings = load_settings(GeneratorSettings)
except SettingsError as error:
    sys.exit(str(error))

README = f"""
# Batch text generation

Completes 1 to 100 prompts per request with `{settings.model}`; requests join and leave the batch at every token.

```bash
SLUG=...  # of this chute, from `chutes chutes get {settings.chute_name}`
curl https://$SLUG.chutes.ai/generate-batch \\
  -H "Authorization: Bearer $CHUTES_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"prompts": ["Name three colours.", "What is two and two?"], "max_new_tokens": 32}}'
```

`POST /generate-batch-stream` takes the same body and answers JSON lines as prompts finish, `GET /v1/models` names the
model, `GET /batch-stats` says what the instance is doing.
"""

chute = Chute(
    username=settings.username,
    name=settings.chute_name,
    image=build_image(settings, "batch_generation"),
    tagline="Completions of up to 100 prompts per request, with continuous batching",
    readme=README,
    # FastAPI's own pages take their scripts from a network.
    docs_url=None,
    redoc_url=None,
    **placement(settings),
)
install_front(chute, cors_origins=settings.allowed_origins)
describe(chute, partial(document, VERSION))
add_model_path(chute, settings, lambda: generator_card(chute.engine, settings))

# As in `batch_processor.py`: the SDK must not validate by itself, and leaves an empty body out.
GENERATE_SCHEMA = SchemaExtractor.get_minimal_schema(GenerateRequest)
Body = dict[str, Any] | None


@chute.on_startup()
async def load_generator(self: Any) -> None:
    """Load the model and run it once: after start-up the instance has no network."""
    with refusals_end_dev_mode():
        self.engine = Generator.start(settings, exit_after_device_lost)


@chute.cord(
    public_api_path="/generate-batch",
    public_api_method="POST",
    input_schema=GENERATE_SCHEMA,
    output_schema=GenerateResult.model_json_schema(),
    output_content_type="application/json",
)
def generate_batch(self: Any, body: Body = None) -> Response:
    """Complete 1 to 100 prompts, one JSON answer."""
    with errors_as_http(self.engine.stats):
        request = parse_request(GenerateRequest, body)
        return json_response(generate(self.engine, request, settings, body))


@chute.cord(
    public_api_path="/generate-batch-stream",
    public_api_method="POST",
    input_schema=GENERATE_SCHEMA,
    output_content_type=JSON_LINES,
    stream=True,
)
def generate_batch_stream(self: Any, body: Body = None) -> Iterator[bytes]:
    """Complete 1 to 100 prompts, JSON lines as they finish."""
    with errors_as_http(self.engine.stats):
        request = parse_request(GenerateRequest, body, streams=True)
        writes = stream_generation(self.engine, request, settings, body)
        first = next(writes, b"")
    yield first
    yield from writes


@chute.cord(
    public_api_path="/v1/models",
    public_api_method="GET",
    output_schema=ModelList.model_json_schema(),
    output_content_type="application/json",
)
def list_models(self: Any, _body: Body = None) -> Response:
    """The model that is served."""
    return json_response(ModelList(data=[generator_card(self.engine, settings)]))


@chute.cord(
    public_api_path="/batch-stats",
    public_api_method="GET",
    output_schema=GeneratorStats.model_json_schema(),
    output_content_type="application/json",
)
def get_batch_stats(self: Any, _body: Body = None) -> Response:
    """What the service has done and is doing."""
    return json_response(generator_stats(self.engine, settings))
