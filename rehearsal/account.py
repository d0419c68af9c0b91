"""A registered user of the platform, with a throw-away hotkey, and the signature of a request."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from substrateinterface import Keypair

from rehearsal.rejections import Rejected

NONCE_LIFETIME_S = 600


@dataclass(frozen=True)
class Account:
    """What `chutes register` writes into the configuration."""

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

    @property
    def public_key(self) -> bytes:
        """The hotkey's, of 32 bytes."""
        return bytes(Keypair(ss58_address=self.address).public_key)

    def authenticate(self, headers: Mapping[str, str], body: bytes, purpose: str) -> None:
        """Check a request's signature. It covers the body, or the purpose where there is none.

        Raises:
            Rejected: 401.
        """
        hotkey, nonce = headers.get("x-chutes-hotkey", ""), headers.get("x-chutes-nonce", "")
        if hotkey != self.address or headers.get("x-chutes-userid") != self.user_id:
            raise Rejected(401, f"Could not find user with hotkey: {hotkey}")
        if not nonce.isdigit() or abs(time.time() - int(nonce)) > NONCE_LIFETIME_S:
            raise Rejected(401, "Invalid nonce!")
        message = f"{hotkey}:{nonce}:{hashlib.sha256(body).hexdigest() if body else purpose}"
        if not _is_signed(message, hotkey, headers.get("x-chutes-signature", "")):
            raise Rejected(401, f"Invalid request signature for hotkey {hotkey}. Message: {message}")


def _is_signed(message: str, hotkey: str, signature: str) -> bool:
    try:
        return bool(Keypair(ss58_address=hotkey).verify(message.encode(), bytes.fromhex(signature)))
    except ValueError:
        return False
