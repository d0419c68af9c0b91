"""A stand-in for `api.chutes.ai`: its accounts, images and chutes, with the server's rules (`platform_rules`).

`rehearsal/api_server.py` serves it on loopback. Left out: registering, logging in and secrets, which need a wallet or
a browser, and everything about money but the balance.
"""

from __future__ import annotations

import json
import random
import re
import string
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from platform_rules.chute_args import ChuteArgs, ImageArgs
from platform_rules.gpus import LAST_KNOWN_PRICES
from platform_rules.refusals import (
    BUILDING_BALANCE,
    DEPLOYMENTS_A_DAY,
    IMAGES_A_DAY,
    deployment_fee,
    hourly_price,
    image_refusal,
    placement_refusal,
    refusals_of_ordinary_users,
    refusals_of_the_contents,
    refusals_of_the_kind,
    refusals_of_the_machines,
    sdk_refusal,
    too_many,
)
from rehearsal.account import Account
from rehearsal.demand import Demand
from rehearsal.forge import Forge, UploadedImage
from rehearsal.rejections import Rejected, reject_first
from rehearsal.startup_logs import StartupLogs

NOT_YOURS = "not found, or does not belong to you"


@dataclass(frozen=True)
class DeployedChute:
    """A chute as the server keeps it: what was sent last, and what the server made of it first.

    Attributes:
        demand: when it has an instance.
    """

    args: ChuteArgs
    chute_id: str
    version: str
    slug: str
    demand: Demand = field(default_factory=Demand)


@dataclass
class FakeApi:
    """The server's state and rules. Everything in it has happened within one day.

    Attributes:
        balance: dollars of the account.
        taken_slugs: host names that others have.
        images: by id.
        chutes: by name in lower case.
        deployments: the bodies of successful deployments, newest last.
        new_demand: what a chute's machines are like, from its first deployment on.
        shares: users by the name of the chute that they may call.
        keys: names of the API keys.
    """

    account: Account
    url: str = ""
    balance: float = 100.0
    forge: Forge = field(default_factory=Forge)
    taken_slugs: set[str] = field(default_factory=set)
    images: dict[str, UploadedImage] = field(default_factory=dict)
    chutes: dict[str, DeployedChute] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)
    new_demand: Callable[[], Demand] = Demand
    shares: dict[str, list[str]] = field(default_factory=dict)
    keys: list[str] = field(default_factory=list)
    logs: StartupLogs = field(init=False)
    _num_uploads: int = 0

    def __post_init__(self) -> None:
        self.logs = StartupLogs(self.account.public_key)

    def image(self, id_or_name: str) -> UploadedImage:
        """By id, or as `user/name:tag` or `name:tag`."""
        for image in self.images.values():
            name = f"{image.name}:{image.tag}"
            if id_or_name.lower() in (image.image_id, name.lower(), f"{self.account.username}/{name}".lower()):
                return image
        raise Rejected(404, f"Image {NOT_YOURS}")

    def get_image(self, id_or_name: str) -> dict[str, Any]:
        image = self.image(id_or_name)
        return {
            "image_id": image.image_id, "name": image.name, "tag": image.tag, "public": False,
            "status": self.forge.status(image), "chutes_version": image.chutes_version,
            "created_at": "2026-11-29T16:00:00",
        }  # fmt: skip

    def create_image(self, form: dict[str, bytes], sdk_version: str = "0.6.9") -> dict[str, Any]:
        context = form.pop("build_context", b"")
        image = _validated(ImageArgs, {name: value.decode() for name, value in form.items()})
        if not context:
            raise Rejected(422, "build_context is missing")
        if image.username != self.account.username:
            raise Rejected(401, "Cannot make images for users other than yourself!")
        if self._num_uploads >= IMAGES_A_DAY:
            reject_first([too_many("imagehistory", IMAGES_A_DAY)])
        reject_first([sdk_refusal(sdk_version)])
        if self.balance < BUILDING_BALANCE:
            raise Rejected(402, f"You must have a balance of >= ${BUILDING_BALANCE:.0f} to create images.")
        image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image.username}/{image.name}:{image.tag}".lower()))
        if image_id in self.images:
            raise Rejected(409, f"Image with name={image.name!r} and tag={image.tag!r} aready exists")
        reject_first([image_refusal(image.name, image.tag)])
        self.images[image_id] = UploadedImage(
            image_id, image.dockerfile, context, image.name, image.tag, self.forge.clock()
        )
        self._num_uploads += 1
        return self.get_image(image_id)

    def delete_image(self, id_or_name: str) -> dict[str, Any]:
        image = self.image(id_or_name)
        if any(deployed.args.image == image.image_id for deployed in self.chutes.values()):
            raise Rejected(409, "Image is in use by one or more chutes")
        del self.images[image.image_id]
        return {"image_id": image.image_id, "deleted": True}

    def create_chute(self, body: bytes, accept_fee: bool) -> dict[str, Any]:
        chute = _validated(ChuteArgs, json.loads(body))
        reject_first(refusals_of_ordinary_users(chute))
        if len(self.deployments) >= DEPLOYMENTS_A_DAY:
            reject_first([too_many("chutehistory", DEPLOYMENTS_A_DAY)])
        reject_first(refusals_of_the_kind(chute))
        image = self.images.get(chute.image)
        if not image:
            raise Rejected(400, f"Chute image {NOT_YOURS}")
        version = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{chute.image}:initial:{chute.code}"))
        known = self.chutes.get(chute.name.lower())
        if known and known.version == version:
            raise Rejected(409, f"Chute with name={chute.name}, {version=} and public=False already exists")
        reject_first(refusals_of_the_machines(chute))
        fee = self._require_balance(chute, 0.0 if known else deployment_fee(chute.node_selector), accept_fee)
        if sdk_refusal(image.chutes_version):
            raise Rejected(400, f"Unable to deploy chutes with chutes version < 0.3.61, {image.chutes_version=}")
        reject_first([placement_refusal(known.args, chute) if known else None])
        reject_first(refusals_of_the_contents(chute, is_update=known is not None))
        self.balance -= fee
        return self._deployed(chute, version, known)

    def _deployed(self, chute: ChuteArgs, version: str, known: DeployedChute | None) -> dict[str, Any]:
        chute_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.account.username}::chute::{chute.name}"))
        if known:
            deployed = DeployedChute(chute, known.chute_id, version, known.slug, known.demand)
        else:
            deployed = DeployedChute(chute, chute_id, version, self._free_slug(chute.name), self.new_demand())
        self.chutes[chute.name.lower()] = deployed
        self.deployments.append(chute.model_dump() | {"chute_id": deployed.chute_id, "version": version})
        return described(deployed)

    def chute(self, name_or_id: str) -> DeployedChute:
        for deployed in self.chutes.values():
            if name_or_id.lower() in (deployed.chute_id, deployed.args.name.lower()):
                return deployed
        raise Rejected(404, f"Chute {NOT_YOURS}")

    def get_chute(self, name_or_id: str) -> dict[str, Any]:
        return described(self.chute(name_or_id))

    def delete_chute(self, chute_id: str) -> dict[str, Any]:
        try:
            uuid.UUID(chute_id)
        except ValueError:
            raise Rejected(400, "Must use chute UUID to delete.") from None
        del self.chutes[self.chute(chute_id).args.name.lower()]
        return {"chute_id": chute_id, "deleted": True}

    def warm_up(self, name_or_id: str) -> dict[str, Any]:
        """Ask for an instance unless there is one: what a warm-up does each time it looks."""
        deployed = self.chute(name_or_id)
        if self.balance <= 0:
            raise Rejected(402, f"Account balance is ${self.balance}, please top-up with fiat or send tao")
        deployed.demand.wish()
        shown = described(deployed)
        return {
            "chute_id": deployed.chute_id,
            "status": "hot" if shown["hot"] else "cold",
            "instance_count": len(shown["instances"]),
            "instances": shown["instances"],
        }

    def share(self, chute: str, user: str) -> dict[str, Any]:
        name = self.chute(chute).args.name
        self.shares.setdefault(name.lower(), []).append(user)
        return {"status": f"Successfully shared chute.name={name!r} with user.username={user!r}"}

    def log_sessions(self, chute_id: str) -> list[dict[str, Any]]:
        """By id only, as the server does it."""
        if all(deployed.chute_id != chute_id for deployed in self.chutes.values()):
            raise Rejected(404, f"Chute {NOT_YOURS}")
        return self.logs.sessions(chute_id)

    def log_chunks(self, chute_id: str, instance_id: str) -> dict[str, Any]:
        chunks = self.logs.chunks(instance_id) if self.log_sessions(chute_id) else []
        if not chunks:
            raise Rejected(404, "No encrypted logs found for this instance")
        return {"instance_id": instance_id, "chute_id": chute_id, "chunks": chunks}

    def evidence(self, name_or_id: str, nonce: str) -> dict[str, Any]:
        """Attestation of each instance; what is in it cannot exist here."""
        deployed = self.chute(name_or_id)
        if not re.fullmatch(r"[0-9a-fA-F]{64}", nonce):
            raise Rejected(400, "Nonce must be 64 hex characters (32 bytes)")
        instances = described(deployed)["instances"]
        evidence = [
            {"quote": "", "gpu_evidence": [], "instance_id": instance["instance_id"], "certificate": ""}
            for instance in instances
        ]
        return {"evidence": evidence, "failed_instance_ids": []}

    def _require_balance(self, chute: ChuteArgs, fee: float, accept_fee: bool) -> float:
        """The fee, of a chute's first deployment; there must be more than that, and more than nothing."""
        price = hourly_price(chute.node_selector)
        if fee and not accept_fee:
            raise Rejected(
                402,
                "DEPLOYMENT FEE NOTICE:\n===\n"
                "There is a deployment fee of (hourly price per GPU * number of GPUs * 3), "
                f"which for this configuration is: ${round(fee, 2)}\n"
                f"Your hourly rate per instance will be ~${round(price, 2)}/hr "
                f"({chute.node_selector.gpu_count} GPU(s)), "
                "subject to change with pricing/market rate adjustments.\n"
                "To acknowledge this fee and hourly rate, ensure you have chutes>=0.3.23 "
                "and re-run the deployment command with `--accept-fee`",
            )
        if self.balance <= fee:
            raise Rejected(
                402,
                f"The deployment fee, based on your node selector, is ${fee}, "
                f"but you have a balance of {self.balance}.\nPlease top up your account with tao or via fiat.",
            )
        return fee

    def _free_slug(self, name: str) -> str:
        base = slug = re.sub(r"[^a-z0-9]+", "-", f"{self.account.username}-{name}".lower()).strip("-")[:58]
        while slug in self.taken_slugs:
            slug = f"{base}-{''.join(random.choices(string.ascii_lowercase + string.digits, k=5))}"
        self.taken_slugs.add(slug)
        return slug


def described(deployed: DeployedChute) -> dict[str, Any]:
    """What the server answers about a chute, as far as anybody here reads it."""
    selector = deployed.args.node_selector
    is_hot = deployed.demand.is_hot
    instance = {
        "instance_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{deployed.chute_id}:{deployed.demand.num_starts}")),
        "active": True, "verified": True, "region": "n/a",
        "last_verified_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }  # fmt: skip
    hour = hourly_price(selector, LAST_KNOWN_PRICES)
    return {
        "chute_id": deployed.chute_id,
        "name": deployed.args.name,
        "version": deployed.version,
        "slug": deployed.slug,
        "tee": deployed.args.tee,
        "hot": is_hot,
        "instances": [instance] if is_hot else [],
        "image": {"image_id": deployed.args.image},
        "node_selector": selector.model_dump() | {"supported_gpus": sorted(selector.supported_gpus())},
        "current_estimated_price": {"usd": {"hour": hour, "second": hour / 3600}},
        "concurrency": deployed.args.concurrency,
        "max_instances": deployed.args.max_instances,
        "shutdown_after_seconds": deployed.args.shutdown_after_seconds,
    }


def _validated(rules: Any, values: object) -> Any:
    try:
        return rules.model_validate(values)
    except ValidationError as error:
        raise Rejected(422, error.errors(include_url=False, include_context=False)) from error
