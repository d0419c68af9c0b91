"""What `chutes build` and `chutes deploy` would send, read as they read it, and the known rules that it breaks."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pydantic import ValidationError

from batch_classification.settings import SENTIMENT, ClassifierSettings
from batch_http.deployment import DeploymentSettings
from batch_inference.settings import ModelSettings
from platform_rules.chute_args import ChuteArgs
from platform_rules.gpus import LAST_KNOWN_PRICES, PRICES_OF, PRICES_URL, published_prices
from platform_rules.refusals import SHELL_REDIRECT, hourly_price, image_refusal, refusals

PRICES_TIMEOUT_S = 5.0
PLACEHOLDER_USERNAME = DeploymentSettings.model_fields["username"].default


@dataclass(frozen=True)
class Plan:
    """A deployment that has not happened.

    Attributes:
        reference: the chute, as the SDK's commands take it.
        chute: the SDK's object.
        sent: the body of the deployment.
        prefix: of the names of its settings' environment variables.
        models: what it is to load, by the name of its analysis; by an empty one if it has one model.
    """

    reference: str
    chute: Any
    sent: dict[str, Any]
    prefix: str
    models: Mapping[str, ModelSettings]

    @property
    def image_name(self) -> str:
        image = self.chute.image
        return f"{image.username}/{image.name}:{image.tag}"

    @property
    def files(self) -> list[str]:
        """Paths of the files that `chutes build` would upload."""
        return sorted({path for directive in self.chute.image._directives for path in directive._build_context})

    def dollars_per_hour(self, prices: Mapping[str, float]) -> float:
        """What one instance costs. Raises ValueError if no GPU satisfies the selector."""
        return hourly_price(ChuteArgs.model_validate(self.sent).node_selector, prices)

    def broken_rules(self, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> list[str]:
        """One sentence for each rule that it breaks, the server's own where that says something."""
        image, broken = self.chute.image, []
        if self.chute._username == PLACEHOLDER_USERNAME:
            broken.append(f"{self.prefix}USERNAME is not set: the image and the chute must be your own.")
        broken += [
            f"{settings.named_model} is a folder of this machine, and the image does not hold it: "
            "upload it to the hub and set its hub id, as docs/your-model.md says."
            for settings in self.models.values()
            if Path(settings.model).is_dir() or settings.model.startswith(("/", ".", "~"))
        ]
        if redirect := SHELL_REDIRECT.search(str(image)):
            broken.append(f"The shell would take this for a redirect: {redirect[0]}")
        if refusal := image_refusal(image.name, image.tag):
            broken.append(refusal.sentence)
        try:
            chute = ChuteArgs.model_validate(self.sent)
        except ValidationError as error:
            problems = error.errors(include_url=False)
            return broken + [f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}." for problem in problems]
        return broken + [refusal.sentence for refusal in refusals(chute, prices)]


def planned(file: str) -> Plan:
    """The deployment of a chute's file (its name without `.py`), from the current folder.

    Raises:
        SystemExit: a setting is not valid; the chute says which.
    """
    sys.path[:0] = [""] if "" not in sys.path else []
    module = importlib.import_module(file)
    reference = f"{file}:chute"
    sent = chute_args(module.chute, reference)
    return Plan(reference, module.chute, sent, module.settings.env_prefix(), models_of(module.settings))


def models_of(settings: ModelSettings) -> dict[str, ModelSettings]:
    """What a chute loads, by the name of its analysis; by an empty one if it has one model."""
    if not isinstance(settings, ClassifierSettings) or not settings.further_analyses:
        return {"": settings}
    return {SENTIMENT: settings, **{analysis.name: analysis for analysis in settings.further_analyses}}


def chute_args(chute: Any, reference: str) -> dict[str, Any]:
    """What `chutes deploy` would send."""
    file = Path(f"{reference.partition(':')[0]}.py")
    names = [
        "name", "tagline", "readme", "standard_template", "concurrency", "max_instances", "scaling_threshold",
        "shutdown_after_seconds", "allow_external_egress", "encrypted_fs", "tee", "lock_modules", "revision",
    ]  # fmt: skip
    return {name: getattr(chute, name) for name in names} | {
        "image": chute.image.uid,
        "public": False,
        "node_selector": chute.node_selector.model_dump(),
        "filename": file.name,
        "ref_str": reference,
        "code": file.read_text(encoding="utf-8"),
        "cords": [cord_args(cord) for cord in chute.cords],
        "jobs": [{"name": job.name} for job in chute.jobs],
    }


def cord_args(cord: Any) -> dict[str, Any]:
    """One endpoint, as `chutes deploy` describes it."""
    return {
        "method": cord._method,
        "path": cord.path,
        "public_api_path": cord.public_api_path,
        "public_api_method": cord._public_api_method,
        "stream": cord._stream,
        "function": cord._func.__name__,
        "passthrough": cord._passthrough,
    }


def read_prices() -> tuple[dict[str, float], str]:
    """Dollars an hour by GPU, and where that is from: the platform's list, or the last known one."""
    try:
        answer = httpx.get(PRICES_URL, timeout=PRICES_TIMEOUT_S)
        answer.raise_for_status()
        return published_prices(answer.json()), f"{PRICES_URL}, now"
    except (httpx.HTTPError, ValueError) as error:
        return LAST_KNOWN_PRICES, f"last known, of {PRICES_OF}; {PRICES_URL} says nothing: {type(error).__name__}"
