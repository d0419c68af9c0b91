"""A stand-in for `api.chutes.ai` on loopback, as far as `chutes build` and `chutes deploy` use it.

It checks signatures as the server does, applies the server's rules (`api_rules`), and keeps what it was sent. Left out:
balances (building an image needs $50), the review of the code by a language model, and the build itself.
"""

from __future__ import annotations

import email.parser
import email.policy
import hashlib
import json
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

from tests.platform.api_rules import SHELL_REDIRECT, ChuteRules, ImageRules

NONCE_LIFETIME_S = 600


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


@dataclass
class FakeApi:
    """The server's state and rules.

    Attributes:
        images: by id, each counted as built as soon as it is there.
        chutes: the bodies of successful deployments, newest last.
    """

    account: Account
    url: str = ""
    images: dict[str, UploadedImage] = field(default_factory=dict)
    chutes: list[dict[str, Any]] = field(default_factory=list)

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
        image = _validated(ImageRules, {name: value.decode() for name, value in form.items()})
        if not context:
            raise Rejected(422, "build_context is missing")
        if image.username != self.account.username:
            raise Rejected(401, "Cannot make images for users other than yourself!")
        image_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{image.username}/{image.name}:{image.tag}"))
        if image_id in self.images:
            raise Rejected(409, f"Image with name={image.name} and tag={image.tag} already exists")
        if redirect := SHELL_REDIRECT.search(image.dockerfile):
            raise Rejected(400, f"a shell redirect: {redirect[0]}")
        self.images[image_id] = UploadedImage(image_id, image.dockerfile, context)
        return {"image_id": image_id}

    def create_chute(self, body: bytes, accept_fee: bool) -> dict[str, Any]:
        chute = _validated(ChuteRules, json.loads(body))
        if chute.image not in self.images:
            raise Rejected(400, "Chute image not found, or does not belong to you")
        version = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{chute.image}:initial:{chute.code}"))
        if any((known["name"], known["version"]) == (chute.name, version) for known in self.chutes):
            raise Rejected(409, f"Chute with name={chute.name}, version={version} and public=False already exists")
        # Charged once, for the chute's first deployment.
        if not accept_fee and chute.name not in [known["name"] for known in self.chutes]:
            raise Rejected(402, "DEPLOYMENT FEE NOTICE: re-run the deployment command with `--accept-fee`")
        chute_id = str(uuid.uuid5(uuid.NAMESPACE_OID, f"{self.account.username}::chute::{chute.name}"))
        self.chutes.append(chute.model_dump() | {"chute_id": chute_id, "version": version})
        return {"chute_id": chute_id, "version": version}


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
    parts = message.get_payload()
    assert isinstance(parts, list)
    form = {}
    for part in parts:
        name = part.get_param("name", header="content-disposition")
        form[str(name)] = part.get_payload(decode=True)
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
                    case "POST", "chutes", "":
                        self._send(200, api.create_chute(body, accept_fee="accept_fee=true" in query))
                    case _:
                        raise Rejected(404, f"{self.command} {path} is not rehearsed")
            except Rejected as rejection:
                self._send(rejection.status, {"detail": rejection.detail})

        do_GET = do_POST = _answer

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
