"""Why the API server would refuse a deployment or an image, in its own words and its own order.

Follows `deploy_chute`, `_deploy_chute` and `create_image` of its newest public state, August 2026, for an ordinary
user, one without roles. What depends on its tables (the image, the name's owner, balances) is in `rehearsal/`.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_rules.chute_args import ChuteArgs, CordArgs, SelectorArgs
from platform_rules.gpus import LAST_KNOWN_PRICES

ALLOWED_INCLUDE = ["pro_6000"]
"""The one list of GPUs that an ordinary user's trusted chute may ask for; compared in lower case."""

FEE_HOURS = 3
"""The fee of a chute's first deployment, in hours of the cheapest GPU that its selector allows."""

DEPLOYMENTS_A_DAY = 24
IMAGES_A_DAY = 24
BUILDING_BALANCE = 50.0
"""Dollars an account must have for the platform to build its images."""

OLDEST_SDK = (0, 3, 61)
"""Of the client that builds, and in the image that is deployed."""

SUBNETS = ("affine", "babelbit", "chronoseek", "glyph", "leoma", "prometheon", "turbovision", "vocence")
"""A chute whose name contains one of these is for that subnet's miners only."""

RESERVED_PATHS = frozenset({"/evidence", "/hf_info"})
METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")

SHELL_REDIRECT = re.compile(r"^RUN pip install.*\s[^'\"\s]+[<>]=?[^'\"\s]*", re.MULTILINE)
"""`pip install numpy>=1.24` writes a file named `=1.24`: not the server's rule, but nobody's intention."""

_CHUTE_NAME = re.compile(r"^(?:([a-zA-Z0-9_\.-]+)/)*([a-z0-9][a-z0-9_\.\/-]*)$", re.IGNORECASE)
_IMAGE_NAME = re.compile(r"^[a-z0-9][a-z0-9_./-]{2,64}$", re.IGNORECASE)
_IMAGE_TAG = re.compile(r"^[a-z0-9][a-z0-9_./-]{1,32}$", re.IGNORECASE)
_PATH = re.compile(r"^(/[a-z][a-z0-9_]*)+$", re.IGNORECASE)
_PUBLIC_PATH = re.compile(r"^(/[a-z][a-z0-9_-]*)+$", re.IGNORECASE)


@dataclass(frozen=True)
class Refusal:
    """An HTTP status, the server's sentence, and ours where the server's says nothing."""

    status: int
    detail: str
    meaning: str | None = None

    @property
    def sentence(self) -> str:
        """What a person is shown."""
        return self.meaning or self.detail


def _server_fails(meaning: str) -> Refusal:
    """An exception that the server does not catch: a bare 500, at which the SDK ends with a traceback."""
    return Refusal(500, "Internal Server Error", meaning)


def refusals(chute: ChuteArgs, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> Iterator[Refusal]:
    """Every reason to refuse this first deployment, for any account; the server stops at the first."""
    yield from refusals_of_ordinary_users(chute)
    yield from refusals_of_the_kind(chute)
    yield from refusals_of_the_machines(chute, prices)
    yield from refusals_of_the_contents(chute)


def refusals_of_ordinary_users(chute: ChuteArgs) -> Iterator[Refusal]:
    """What comes first of all, before deployments are counted."""
    for subnet in SUBNETS:
        if subnet in chute.name.lower():
            yield Refusal(
                403,
                f"You must be a registered miner on {subnet=} to deploy models with {subnet}",
                f"The name {chute.name!r} contains {subnet!r}, which is for the miners of that subnet: take another.",
            )
            break
    selector = chute.node_selector
    is_the_one_gpu = selector.gpu_count == 1 and [gpu.lower() for gpu in selector.include or []] == ALLOWED_INCLUDE
    if chute.tee and not is_the_one_gpu:
        yield Refusal(
            400, "TEE private deployments are limited at this time due to infrastructure capacity limitations."
        )


def refusals_of_the_kind(chute: ChuteArgs) -> Iterator[Refusal]:
    """What comes before the image is looked up."""
    if ("TEE" in chute.name or chute.name.lower().endswith("tee")) and not chute.tee:
        yield Refusal(400, "Avoid using 'TEE' in the chute name unless tee=True in the chute definition")
    if chute.public:
        yield Refusal(
            400,
            "Chutes no longer supports public chutes. You can instead deploy the chute as a private chute and share "
            "it with other users.",
        )


def refusals_of_the_machines(chute: ChuteArgs, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> Iterator[Refusal]:
    """What comes once the image is known, before anything about money."""
    selector = chute.node_selector
    if chute.tee is False:
        yield Refusal(400, "Only TEE chutes are supported as of 2026-05-12, please set tee=True")
    if len(selector.exclude or []) > 5:
        yield Refusal(400, "Maximum of 5 GPUs can be included in the `exclude` field")
    names = [*(selector.include or []), *(selector.exclude or [])]
    if capitals := [gpu for gpu in names if gpu != gpu.lower()]:
        yield _server_fails(f"The server fails on GPU names in capitals: {', '.join(capitals)}.")
        return
    if not selector.supported_gpus(prices):
        yield _server_fails(_why_no_gpu(selector, prices))


def _why_no_gpu(selector: SelectorArgs, prices: Mapping[str, float]) -> str:
    cap = selector.max_hourly_price_per_gpu
    dear = [f"{gpu} costs ${prices[gpu]:.2f}" for gpu in selector.include or [] if cap and prices.get(gpu, 0.0) > cap]
    if dear:
        return f"No GPU is below MAX_HOURLY_PRICE={cap:.2f} ({', '.join(dear)} an hour): raise or unset it."
    return "No GPU satisfies the node selector."


def refusals_of_the_contents(chute: ChuteArgs, is_update: bool = False) -> Iterator[Refusal]:
    """What the server's tables refuse: as a 400 in a first deployment, as its own failure in an update."""
    for problem in _validation_failures(chute):
        if is_update:
            yield _server_fails(problem)
        else:
            yield Refusal(400, f"Validation failure: {problem}")
    if not chute.cords and not chute.jobs:
        yield Refusal(400, "A chute must define at least one cord() or job() function!")
    if chute.cords and chute.jobs:
        yield Refusal(400, "A chute can have jobs or cords not both.")


def _validation_failures(chute: ChuteArgs) -> Iterator[str]:
    if not _CHUTE_NAME.match(chute.name) or len(chute.name) >= 128:
        yield f"Invalid chute name: {chute.name}"
    if chute.standard_template not in (None, "vllm", "diffusion", "tei", "embedding"):
        yield f"Invalid standard template: {chute.standard_template}"
    if not re.match(r"^[a-z][a-z0-9_]*\.py$", chute.filename):
        yield f"Invalid entrypoint filename: '{chute.filename}'"
    if not re.match(r"^[a-z][a-z0-9_]*:[a-z][a-z0-9_]*$", chute.ref_str):
        yield f"Invalid reference string: '{chute.ref_str}'"
    try:
        ast.parse(chute.code)
    except SyntaxError as error:
        yield f"Invalid code submited: {error}"
    for cord in chute.cords:
        yield from _cord_failures(cord)


def _cord_failures(cord: CordArgs) -> Iterator[str]:
    if not _PATH.match(cord.path):
        yield f"Invalid cord path: {cord.path}"
    if cord.public_api_path:
        if not _PUBLIC_PATH.match(cord.public_api_path):
            yield f"Invalid cord public path: {cord.public_api_path}"
        if cord.public_api_path.casefold() in RESERVED_PATHS:
            yield f"Reserved canonical Chute path cannot be used as a Cord: {cord.public_api_path}"
        if cord.public_api_method not in METHODS:
            yield f"Unsupported public API method: {cord.public_api_method}"


def placement_refusal(deployed: ChuteArgs, chute: ChuteArgs) -> Refusal | None:
    """Where a trusted chute runs is fixed by its first deployment: only deleting it and deploying anew changes that."""
    before, after = deployed.node_selector, chute.node_selector
    if deployed.tee and (before.gpu_count, before.supported_gpus()) != (after.gpu_count, after.supported_gpus()):
        return Refusal(400, "Cannot change node selector placement constraints on a TEE chute")
    return None


def image_refusal(name: str, tag: str) -> Refusal | None:
    """What the server's table of images refuses."""
    if not _IMAGE_NAME.match(name):
        return _server_fails(
            f"The image's name {name!r} must have 3 to 65 of a-z 0-9 _ . / - and begin with one of a-z 0-9."
        )
    if not _IMAGE_TAG.match(tag):
        return _server_fails(
            f"The image's tag {tag!r} must have 2 to 33 of a-z 0-9 _ . / - and begin with one of a-z 0-9."
        )
    return None


def sdk_refusal(version: str) -> Refusal | None:
    """An SDK that is too old to build with."""
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:3]) or (0,)
    if numbers >= OLDEST_SDK:
        return None
    oldest = ".".join(map(str, OLDEST_SDK))
    return Refusal(
        400,
        f"Please upgrade your local chutes lib to version >= {oldest}, "
        f"e.g. `pip3 install chutes=={oldest}` and try again",
    )


def deployment_fee(selector: SelectorArgs) -> float:
    """Dollars for a chute's first deployment. There must be a GPU that satisfies the selector."""
    return FEE_HOURS * hourly_price(selector)


def hourly_price(selector: SelectorArgs, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> float:
    """Dollars an hour of the cheapest instance that the selector allows, at these prices of its GPUs.

    Raises:
        ValueError: no GPU with a known price satisfies the selector.
    """
    return selector.gpu_count * min(prices[gpu] for gpu in selector.supported_gpus(prices) if gpu in prices)


def too_many(kind: str, maximum: int) -> Refusal:
    """One more deployment (`chutehistory`) or image (`imagehistory`) than a day allows."""
    return Refusal(429, f"You many only update/create {maximum} {kind}s per 24 hours.")
