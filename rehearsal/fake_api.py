"""A stand-in for `api.chutes.ai` on loopback, as far as `chutes build` and `chutes deploy` use it.

It checks signatures as the server does, applies the server's rules (`platform_rules`), and keeps what it was sent. Left
out: the review of the code by a language model, and the build itself.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
import random
import re
import string
import threading
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from pydantic import ValidationError
from substrateinterface import Keypair

from platform_rules.chute_args import ChuteArgs, ImageArgs
from platform_rules.refusals import (
    DEPLOYMENTS_A_DAY,
    IMAGES_A_DAY,
    SHELL_REDIRECT,
    Refusal,
    deployment_fee,
    placement_refusal,
    refusals,
    too_many,
)

NONCE_LIFETIME_S = 600
BUILDING_BALANCE = 50.0
"""Dollars an account must have for the platform to build its images."""


@dataclass(frozen=True)
class Account:
    """A registered user: what `chutes register` writes into the configuration."""

    username: str
    user_id: str
    hotkey_seed: str
    address: str

    @classmethod
    def create(cls, username: str) -> Account:
        """An account with a throw-away hotkey."""
        seed = uuid.uuid4().hex + uuid.uuid4().hex
        return cls(username, str(uuid.uuid4()), seed, Keypair.create_from_seed("0x" + seed).ss58_address)

    def config(self) -> str:
        """`~/.chutes/config.ini`."""
        return (
            f"[auth]\nusername = {self.username}\nuser_id = {self.user_id}\nhotkey_seed = {self.hotkey_seed}\n"
            f"hotkey_name = rehearsal\nhotkey_ss58address = {self.address}\n"
        )


@dataclass(frozen=True)
class UploadedImage:
    """What `chutes build` sent."""

    image_id: str
    dockerfile: str
    build_context: bytes


class Rejected(Exception):
    """The server's refusal."""

    def __init__(self, status: int, detail: Any) -> None:
        super().__init__(str(detail))
        self.status = status
        self.detail = detail

    @classmethod
    def because(cls, refusal: Refusal) -> Rejected:
        return cls(refusal.status, refusal.detail)


@dataclass(frozen=True)
class DeployedChute:
    """A chute as the server keeps it: what was sent last, and what the server made of it first."""

    args: ChuteArgs
    chute_id: str
    version: str
    slug: str


@dataclass
class FakeApi:
    """The server's state and rules. Everything in it has happened within one day.

    Attributes:
        balance: dollars of the account.
        taken_slugs: host names that others have.
        images: by id, each counted as built as soon as it is there.
        chutes: by name in lower case.
        deployments: the bodies of successful deployments, newest last.
    """

    account: Account
    url: str = ""
    balance: float = 100.0
    taken_slugs: set[str] = field(default_factory=set)
    images: dict[str, UploadedImage] = field(default_factory=dict)
    chutes: dict[str, DeployedChute] = field(default_factory=dict)
    deployments: list[dict[str, Any]] = field(default_factory=list)

    def authenticate(self, headers: dict[str, str], body: bytes, purpose: str) -> None:
        """The signature covers the body, or the purpose where there is none."""
        hotkey, nonce = headers.get("x-chutes-hotkey", ""), headers.get("x-chutes-nonce", "")
        if hotkey != self.account.address or headers.get("x-chutes-userid") != self.account.user_id:
            raise Rejected(401, f"Could not find user with hotkey: {hotkey}")
        if not nonce.isdigit() or abs(time.time() - int(nonce)) > NONCE_LIFETIME_S:
            raise Rejected(401, "Invalid nonce!")
        message = f"{hotkey}:{nonce}:{hashlib.sha256(body).hexdigest() if body else purpose}"
        if not _is_signed(message, hotkey, headers.get("x-chutes-signature", "")):
            raise Rejected(401, f"Invalid request signature for hotkey {hotkey}. Message: {message}")

    def get_image(self, image_id: str) -> dict[str, Any]:
        if image_id not in self.images:
            raise Rejected(404, "Image not found, or does not belong to you")
        return {"image_id": image_id, "status": "built and pushed", "public": False}

    def create_image(self, form: dict[str, bytes]) -> dict[str, Any]:
        context = form.pop("build_context", b"")
        image = _validated(ImageArgs, {name: value.decode() for name, value in form.items()})
        if not context:
            raise Rejected(422, "build_context is missing")
        if image.username != self.account.username:
            raise Rejected(401, "Cannot make images for users other than yourself!")
        if self.balance < BUILDING_BALANCE:
            raise Rejected(402, f"Building images requires a balance of >= ${BUILDING_BALANCE:.0f}")
        image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image.username}/{image.name}:{image.tag}".lower()))
        if image_id in self.images:
            raise Rejected(409, f"Image with name={image.name} and tag={image.tag} already exists")
        if len(self.images) >= IMAGES_A_DAY:
            raise Rejected.because(too_many("imagehistory", IMAGES_A_DAY))
        if redirect := SHELL_REDIRECT.search(image.dockerfile):
            raise Rejected(400, f"a shell redirect: {redirect[0]}")
        self.images[image_id] = UploadedImage(image_id, image.dockerfile, context)
        return {"image_id": image_id}

    def create_chute(self, body: bytes, accept_fee: bool) -> dict[str, Any]:
        chute = _validated(ChuteArgs, json.loads(body))
        if len(self.deployments) >= DEPLOYMENTS_A_DAY:
            raise Rejected.because(too_many("chutehistory", DEPLOYMENTS_A_DAY))
        for refusal in refusals(chute):
            raise Rejected.because(refusal)
        if chute.image not in self.images:
            raise Rejected(400, "Chute image not found, or does not belong to you")
        version = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{chute.image}:initial:{chute.code}"))
        known = self.chutes.get(chute.name.lower())
        if known and known.version == version:
            raise Rejected(409, f"Chute with name={chute.name}, {version=} and public=False already exists")
        if not known:
            self._charge(chute, accept_fee)
        elif moved := placement_refusal(known.args, chute):
            raise Rejected.because(moved)
        chute_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.account.username}::chute::{chute.name}"))
        deployed = DeployedChute(chute, chute_id, version, known.slug if known else self._free_slug(chute.name))
        self.chutes[chute.name.lower()] = deployed
        self.deployments.append(chute.model_dump() | {"chute_id": chute_id, "version": version})
        return _described(deployed)

    def get_chute(self, name_or_id: str) -> dict[str, Any]:
        for deployed in self.chutes.values():
            if name_or_id.lower() in (deployed.chute_id, deployed.args.name.lower()):
                return _described(deployed)
        raise Rejected(404, "Chute not found, or does not belong to you")

    def delete_chute(self, chute_id: str) -> dict[str, Any]:
        for name, deployed in list(self.chutes.items()):
            if deployed.chute_id == chute_id:
                del self.chutes[name]
                return {"chute_id": chute_id, "deleted": True}
        raise Rejected(404, "Chute not found, or does not belong to you")

    def _charge(self, chute: ChuteArgs, accept_fee: bool) -> None:
        """The fee, once, for a chute's first deployment."""
        fee = deployment_fee(chute.node_selector)
        if not accept_fee:
            raise Rejected(
                402,
                "DEPLOYMENT FEE NOTICE:\n===\n"
                "There is a deployment fee of (hourly price per GPU * number of GPUs * 3), "
                f"which for this configuration is: ${round(fee, 2)}\n"
                "To acknowledge this fee and hourly rate, ensure you have chutes>=0.3.23 "
                "and re-run the deployment command with `--accept-fee`",
            )
        if self.balance <= fee:
            raise Rejected(
                402,
                f"The deployment fee, based on your node selector, is ${fee}, "
                f"but you have a balance of {self.balance}.",
            )
        self.balance -= fee

    def _free_slug(self, name: str) -> str:
        base = slug = re.sub(r"[^a-z0-9]+", "-", f"{self.account.username}-{name}".lower()).strip("-")[:58]
        while slug in self.taken_slugs:
            slug = f"{base}-{''.join(random.choices(string.ascii_lowercase + string.digits, k=5))}"
        self.taken_slugs.add(slug)
        return slug


def _described(deployed: DeployedChute) -> dict[str, Any]:
    """What the server answers about a chute, as far as anybody here reads it."""
    return {
        "chute_id": deployed.chute_id,
        "name": deployed.args.name,
        "version": deployed.version,
        "slug": deployed.slug,
        "tee": deployed.args.tee,
        "node_selector": deployed.args.node_selector.model_dump(),
    }


def _is_signed(message: str, hotkey: str, signature: str) -> bool:
    try:
        return bool(Keypair(ss58_address=hotkey).verify(message.encode(), bytes.fromhex(signature)))
    except ValueError:
        return False


def _validated(rules: Any, values: object) -> Any:
    try:
        return rules.model_validate(values)
    except ValidationError as error:
        raise Rejected(422, error.errors(include_url=False, include_context=False)) from error


def _parse_form(content_type: str, body: bytes) -> dict[str, bytes]:
    """The parts of a `multipart/form-data` body, by name."""
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(head + body)
    form = {}
    for part in message.iter_parts():
        content = part.get_payload(decode=True)
        assert isinstance(content, bytes)
        form[str(part.get_param("name", header="content-disposition"))] = content
    return form


@contextmanager
def running_fake_api(account: Account) -> Iterator[FakeApi]:
    """Serve on a free port of the loopback interface."""
    api = FakeApi(account)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            path, _, query = self.path.partition("?")
            resource, _, key = path.strip("/").partition("/")
            try:
                api.authenticate({name.lower(): value for name, value in self.headers.items()}, body, resource)
                match self.command, resource, key:
                    case "GET", "images", image_id if image_id:
                        self._send(200, api.get_image(image_id))
                    case "POST", "images", "":
                        self._send(202, api.create_image(_parse_form(self.headers["Content-Type"], body)))
                    case "GET", "chutes", name_or_id if name_or_id:
                        self._send(200, api.get_chute(name_or_id))
                    case "DELETE", "chutes", chute_id if chute_id:
                        self._send(200, api.delete_chute(chute_id))
                    case "POST", "chutes", "":
                        self._send(200, api.create_chute(body, accept_fee="accept_fee=true" in query))
                    case _:
                        raise Rejected(404, f"{self.command} {path} is not rehearsed")
            except Rejected as rejection:
                self._send(rejection.status, {"detail": rejection.detail})

        do_GET = do_POST = do_DELETE = _answer

        def _send(self, status: int, document: object) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        api.url = f"http://127.0.0.1:{server.server_address[1]}"
        try:
            yield api
        finally:
            server.shutdown()
