"""What a gateway and an instance have agreed on: cipher keys and hotkeys. All of it is made up for one test run."""

from __future__ import annotations

import hashlib
import json
import os
import time
from dataclasses import asdict, dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from substrateinterface import Keypair

NONCE_BYTES = 12


class SessionCipher:
    """Authenticated encryption under one key: stands in for the closed-source aegis library, whose algorithm it has."""

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)

    def encrypt(self, plaintext: bytes) -> bytes:
        nonce = os.urandom(NONCE_BYTES)
        return nonce + self._cipher.encrypt(nonce, plaintext, None)

    def decrypt(self, ciphertext: bytes) -> bytes | None:
        """The plaintext, or None if it was encrypted under another key or has been tampered with."""
        try:
            return self._cipher.decrypt(ciphertext[:NONCE_BYTES], ciphertext[NONCE_BYTES:], None)
        except (InvalidTag, ValueError):
            return None


@dataclass(frozen=True)
class Session:
    """Keys as hexadecimal strings, so that an instance in another process can be given them.

    Attributes:
        transport_key: between gateway and instance. The platform agrees on it by X25519 when an instance is launched.
        end_to_end_key: between a user and the instance, past the gateway. Really ML-KEM, once per request.
        validator_seed: the gateway's hotkey signs every request.
        miner_ss58: the address of the instance's owner, part of what is signed.
    """

    transport_key: str
    end_to_end_key: str
    validator_seed: str
    miner_ss58: str

    @classmethod
    def create(cls) -> Session:
        miner = Keypair.create_from_seed("0x" + os.urandom(32).hex())
        return cls(os.urandom(32).hex(), os.urandom(32).hex(), "0x" + os.urandom(32).hex(), miner.ss58_address)

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> Session:
        return cls(**json.loads(text))

    @property
    def transport(self) -> SessionCipher:
        return SessionCipher(bytes.fromhex(self.transport_key))

    @property
    def end_to_end(self) -> SessionCipher:
        return SessionCipher(bytes.fromhex(self.end_to_end_key))

    @property
    def validator(self) -> Keypair:
        return Keypair.create_from_seed(self.validator_seed)

    def signed_headers(self, payload: bytes) -> dict[str, str]:
        """Headers of a request from the gateway, as the instance's SDK checks them."""
        validator = self.validator
        nonce = str(int(time.time()))
        message = ":".join([self.miner_ss58, validator.ss58_address, nonce, hashlib.sha256(payload).hexdigest()])
        return {
            "X-Chutes-Miner": self.miner_ss58,
            "X-Chutes-Validator": validator.ss58_address,
            "X-Chutes-Nonce": nonce,
            "X-Chutes-Signature": validator.sign(message.encode()).hex(),
        }
