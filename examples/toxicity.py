"""A chute for another kind of classifier: toxicity, where a text may have several labels at once, or none.

Copy it to the top of the repository; its settings begin with `TOXICITY_`. Its own are the head and the wire."""

from __future__ import annotations

from typing import Any, ClassVar

from chutes.chute import Chute
from pydantic_settings import SettingsConfigDict

from batch_http.callers import caller_of
from batch_http.deployment import DeploymentSettings
from batch_http.errors import errors_as_http
from batch_http.front import install_front
from batch_http.requests import RequestBody, Texts, parse_request
from batch_http.responses import json_response
from batch_http.shutdown import exit_after_device_lost
from batch_inference.engine import Engine
from batch_inference.heads import ClassifierHead
from batch_inference.settings import EncoderSettings, load_settings
from image import build_image, placement


class ToxicitySettings(EncoderSettings, DeploymentSettings):
    model_config = SettingsConfigDict(env_prefix="TOXICITY_")
    model: str = "unitary/toxic-bert"
    chute_name: str = "toxicity"


class ManyLabelsHead(ClassifierHead):
    function = "sigmoid"


class ToxicityRequest(RequestBody):
    example: ClassVar[str] = '{"texts": ["Have a nice day."]}'
    texts: Texts


settings = load_settings(ToxicitySettings)
chute = Chute(settings.username, settings.chute_name, build_image(settings), **placement(settings))
install_front(chute)


@chute.on_startup()
async def load_engine(self: Any) -> None:
    self.engine = Engine.start(settings, ManyLabelsHead(), exit_after_device_lost)


@chute.cord(public_api_path="/toxicity", public_api_method="POST")
def toxicity(self: Any, body: dict[str, Any] | None = None) -> Any:
    with errors_as_http(self.engine.stats), caller_of(body) as caller:
        request = parse_request(ToxicityRequest, body)
        outcome = self.engine.run(request.texts, self.engine.model.max_tokens, caller)
        return json_response({"results": [prediction.scores for prediction in outcome.predictions]})
