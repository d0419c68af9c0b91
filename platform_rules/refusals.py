"""Why the API server would refuse a deployment, in its own words and its own order.

Follows `deploy_chute` and `_deploy_chute` of its `api/chute/router.py` (newest public state, August 2026) for an
ordinary user, one without roles. Left out: what depends on its tables (the image, the name's owner, balances), which
`rehearsal/fake_api.py` keeps, and the review of the code by a language model.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from platform_rules.chute_args import ChuteArgs, SelectorArgs
from platform_rules.gpus import LAST_KNOWN_PRICES

ALLOWED_INCLUDE = ["pro_6000"]
"""The one list of GPUs that an ordinary user's trusted chute may ask for; compared in lower case."""

FEE_HOURS = 3
"""The fee of a chute's first deployment, in hours of the cheapest GPU that its selector allows."""

DEPLOYMENTS_A_DAY = 24
IMAGES_A_DAY = 24

SHELL_REDIRECT = re.compile(r"^RUN pip install.*\s[^'\"\s]+[<>]=?[^'\"\s]*", re.MULTILINE)
"""`pip install numpy>=1.24` writes a file named `=1.24`: not the server's rule, but nobody's intention."""


@dataclass(frozen=True)
class Refusal:
    """An HTTP status, and the server's sentence."""

    status: int
    detail: str


def refusals(chute: ChuteArgs) -> Iterator[Refusal]:
    """Every reason to refuse this deployment, whoever's it is; the server stops at the first."""
    selector = chute.node_selector
    is_the_one_gpu = selector.gpu_count == 1 and [gpu.lower() for gpu in selector.include or []] == ALLOWED_INCLUDE
    if chute.tee and not is_the_one_gpu:
        yield Refusal(
            400, "TEE private deployments are limited at this time due to infrastructure capacity limitations."
        )
    if ("TEE" in chute.name or chute.name.lower().endswith("tee")) and not chute.tee:
        yield Refusal(400, "Avoid using 'TEE' in the chute name unless tee=True in the chute definition")
    if chute.public:
        yield Refusal(
            400,
            "Chutes no longer supports public chutes. You can instead deploy the chute as a private chute and share "
            "it with other users.",
        )
    if chute.tee is False:
        yield Refusal(400, "Only TEE chutes are supported as of 2026-05-12, please set tee=True")
    if len(selector.exclude or []) > 5:
        yield Refusal(400, "Maximum of 5 GPUs can be included in the `exclude` field")
    if not selector.supported_gpus:
        yield Refusal(400, "No supported GPUs based on node selector!")
    if not chute.cords and not chute.jobs:
        yield Refusal(400, "A chute must define at least one cord() or job() function!")
    if chute.cords and chute.jobs:
        yield Refusal(400, "A chute can have jobs or cords not both.")


def placement_refusal(deployed: ChuteArgs, chute: ChuteArgs) -> Refusal | None:
    """Where a trusted chute runs is fixed by its first deployment: only deleting it and deploying anew changes that."""
    before, after = deployed.node_selector, chute.node_selector
    if deployed.tee and (before.gpu_count, before.supported_gpus) != (after.gpu_count, after.supported_gpus):
        return Refusal(400, "Cannot change node selector placement constraints on a TEE chute")
    return None


def deployment_fee(selector: SelectorArgs) -> float:
    """Dollars for a chute's first deployment. There must be a GPU that satisfies the selector."""
    return FEE_HOURS * hourly_price(selector)


def hourly_price(selector: SelectorArgs, prices: Mapping[str, float] = LAST_KNOWN_PRICES) -> float:
    """Dollars an hour of the cheapest instance that the selector allows, at these prices of its GPUs.

    Raises:
        ValueError: no GPU satisfies the selector.
    """
    return selector.gpu_count * min(prices[gpu] for gpu in selector.supported_gpus)


def too_many(kind: str, maximum: int) -> Refusal:
    """One more deployment (`chutehistory`) or image (`imagehistory`) than a day allows."""
    return Refusal(429, f"You many only update/create {maximum} {kind}s per 24 hours.")
