"""A chute for another kind of classifier: toxicity, where a text may have several labels at once, or none.

`make run CHUTE=examples/toxicity.py` serves it; to deploy it, copy it to the top of the repository. Its settings begin
with `TOXICITY_`. Its own are the head and the wire."""

from __future__ import annotations

from typing import Any, ClassVar

from chutes.chute import Chute
from pydantic import BaseModel
from pydantic_settings import SettingsConfigDict

from batch_http.callers import caller_of
from batch_http.deployment import DeploymentSettings
from batch_http.dev_pages import describe
from batch_http.dev_start import refusals_end_dev_mode
from batch_http.engine_stats import batch_stats
from batch_http.errors import errors_as_http
from batch_http.front import install_front
from batch_http.openapi import Answer, Endpoint, error_answers, openapi_document, stats_endpoint
from batch_http.requests import RequestBody, Texts, parse_request
from batch_http.responses import json_response
from batch_http.shutdown import exit_after_device_lost
from batch_inference.engine import Engine
from batch_inference.heads import ClassifierHead
from batch_inference.settings import EncoderSettings, load_settings
from image import VERSION, build_image, placement


class ToxicitySettings(EncoderSettings, DeploymentSettings):
    model_config = SettingsConfigDict(env_prefix="TOXICITY_")
    model: str = "unitary/toxic-bert"
    chute_name: str = "toxicity"


class ManyLabelsHead(ClassifierHead):
    function = "sigmoid"


class ToxicityRequest(RequestBody):
    example: ClassVar[str] = '{"texts": ["Have a nice day."]}'
    texts: Texts


class ToxicityResult(BaseModel):
    results: list[dict[str, float]]


PROBLEM = {"loc": ["texts", 0], "msg": "texts[0] is blank; remove it or send some text", "type": "blank_text"}
ENDPOINTS = [
    Endpoint(
        "post", "/toxicity", "toxicity", "Score 1 to 100 texts", "Each label's probability, for each text.",
        request=ToxicityRequest, examples={"a text": {"texts": ["Have a nice day."]}},
        answers={200: Answer("Every text's scores", [ToxicityResult]), **error_answers(PROBLEM)},
    ),
    stats_endpoint(),
]  # fmt: skip

settings = load_settings(ToxicitySettings)
pages = {"docs_url": None, "redoc_url": None}
chute = Chute(settings.username, settings.chute_name, build_image(settings), **pages, **placement(settings))
install_front(chute, cors_origins=settings.allowed_origins)
describe(chute, lambda: openapi_document(settings.chute_name, VERSION, "Toxicity of texts.", ENDPOINTS))


@chute.on_startup()
async def load_engine(self: Any) -> None:
    with refusals_end_dev_mode():
        self.engine = Engine.start(settings, ManyLabelsHead(), exit_after_device_lost)


@chute.cord(public_api_path="/toxicity", public_api_method="POST")
def toxicity(self: Any, body: dict[str, Any] | None = None) -> Any:
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(ToxicityRequest, body)
        outcome = self.engine.run(request.texts, self.engine.model.max_tokens, caller)
        return json_response({"results": [prediction.scores for prediction in outcome.predictions]})


@chute.cord(public_api_path="/batch-stats", public_api_method="GET")
def get_batch_stats(self: Any, _body: dict[str, Any] | None = None) -> Any:
    return json_response(batch_stats(self.engine, settings))
