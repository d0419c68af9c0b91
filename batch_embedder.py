"""The embedder as a chute of its own: one image, one startup hook, three cords. The work is in `batch_embedding/`, and
in the engine that it shares with the classifier.
"""

from __future__ import annotations

import sys
from typing import Any

from chutes.chute import Chute
from chutes.util.schema import SchemaExtractor
from starlette.responses import Response

from batch_embedding.answers import dimensions_of, embedder_card, embedding_list, openai_error, refuse_unserved
from batch_embedding.endpoints import document
from batch_embedding.head import EmbeddingHead
from batch_embedding.recipe import Recipe
from batch_embedding.settings import EmbedderSettings
from batch_embedding.wire import EmbeddingList, EmbeddingRequest
from batch_http.callers import caller_of
from batch_http.dev_pages import describe
from batch_http.dev_start import refusals_end_dev_mode
from batch_http.engine_stats import BatchStats, batch_stats
from batch_http.errors import errors_as_http
from batch_http.front import install_front
from batch_http.model_cards import ModelList, add_model_path
from batch_http.requests import parse_request
from batch_http.responses import json_response
from batch_http.shutdown import exit_after_device_lost
from batch_inference.engine import Engine
from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings
from image import VERSION, build_image, placement

try:
    settings = load_settings(EmbedderSettings)
except SettingsError as error:
    sys.exit(str(error))

README = f"""
# Batch embeddings

OpenAI's embeddings API with `{settings.model}`, for up to 2,048 texts per request.

```bash
SLUG=...  # of this chute, from `chutes chutes get {settings.chute_name}`
curl https://$SLUG.chutes.ai/v1/embeddings \\
  -H "Authorization: Bearer $CHUTES_API_KEY" -H "Content-Type: application/json" \\
  -d '{{"input": ["I love this product!", "This is terrible quality."]}}'
```

`GET /v1/models` names the model, `GET /batch-stats` says what the instance is doing.
"""

chute = Chute(
    username=settings.username,
    name=settings.chute_name,
    image=build_image(settings, "batch_embedding"),
    tagline="OpenAI's embeddings API on one GPU, with continuous batching",
    readme=README,
    # FastAPI's own pages take their scripts from a network.
    docs_url=None,
    redoc_url=None,
    **placement(settings),
)
install_front(chute, {"/v1/embeddings": openai_error}, settings.allowed_origins)
describe(chute, lambda: document(VERSION, settings.served_names, dimensions_of(chute.engine, settings)))
add_model_path(chute, settings, lambda: embedder_card(chute.engine, settings))

# As in `batch_processor.py`: the SDK must not validate by itself, and leaves an empty body out.
EMBEDDING_SCHEMA = SchemaExtractor.get_minimal_schema(EmbeddingRequest)
Body = dict[str, Any] | None


@chute.on_startup()
async def load_engine(self: Any) -> None:
    """Load the model and run it once: after start-up the instance has no network."""
    with refusals_end_dev_mode():
        self.engine = Engine.start(settings, EmbeddingHead(Recipe.read(settings)), exit_after_device_lost)


@chute.cord(
    public_api_path="/v1/embeddings",
    public_api_method="POST",
    input_schema=EMBEDDING_SCHEMA,
    output_schema=EmbeddingList.model_json_schema(),
    output_content_type="application/json",
)
def create_embeddings(self: Any, body: Body = None) -> Response:
    """Embed 1 to 2,048 texts."""
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(EmbeddingRequest, body)
        refuse_unserved(request, self.engine, settings)
        outcome = self.engine.run(request.input, self.engine.model.max_tokens, caller)
        return json_response(embedding_list(request, outcome, settings))


@chute.cord(
    public_api_path="/v1/models",
    public_api_method="GET",
    output_schema=ModelList.model_json_schema(),
    output_content_type="application/json",
)
def list_models(self: Any, _body: Body = None) -> Response:
    """The model that is served."""
    return json_response(ModelList(data=[embedder_card(self.engine, settings)]))


@chute.cord(
    public_api_path="/batch-stats",
    public_api_method="GET",
    output_schema=BatchStats.model_json_schema(),
    output_content_type="application/json",
)
def get_batch_stats(self: Any, _body: Body = None) -> Response:
    """What the service has done and is doing."""
    return json_response(batch_stats(self.engine, settings))
