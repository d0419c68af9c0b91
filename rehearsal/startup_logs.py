"""The start-up logs that the platform keeps of private chutes, encrypted for their owner.

From an instance's creation to its activation, at most half an hour, ten lines a piece; kept for four hours.
"""

from __future__ import annotations

import base64
import os
import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import rbcl
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEPT_FOR_S = 4 * 3600.0
LINES_PER_CHUNK = 10
_CONTEXT = b"chutes-encrypted-logs-v1"


@dataclass(frozen=True)
class _Kept:
    chute_id: str
    instance_id: str
    started_at: float
    ephemeral_key: bytes
    chunks: list[bytes]


@dataclass
class StartupLogs:
    """The store. `clock` gives seconds since 1970."""

    owner_key: bytes
    clock: Callable[[], float] = time.time
    _kept: list[_Kept] = field(default_factory=list)

    def capture(self, chute_id: str, lines: Sequence[str]) -> str:
        """Keep what an instance has logged; answers with the instance's id."""
        instance_id = str(uuid.uuid4())
        scalar = rbcl.crypto_core_ristretto255_scalar_random()
        point = rbcl.crypto_scalarmult_ristretto255_base(scalar)
        chunks = [
            self._encrypted("\n".join(lines[first : first + LINES_PER_CHUNK]).encode(), scalar, point)
            for first in range(0, len(lines), LINES_PER_CHUNK)
        ]
        self._kept.append(_Kept(chute_id, instance_id, self.clock(), point, chunks))
        return instance_id

    def sessions(self, chute_id: str) -> list[dict[str, Any]]:
        """What `GET /encrypted_logs/{chute_id}/sessions` answers, oldest first."""
        return [
            {
                "instance_id": kept.instance_id,
                "config_id": str(uuid.uuid5(uuid.NAMESPACE_OID, kept.instance_id)),
                "chute_id": chute_id,
                "ephemeral_pubkey": base64.b64encode(kept.ephemeral_key).decode(),
                "started_at": kept.started_at,
                "chunk_count": len(kept.chunks),
            }
            for kept in self._alive()
            if kept.chute_id == chute_id
        ]

    def chunks(self, instance_id: str) -> list[str]:
        """Base64 of nonce, ciphertext and tag of each piece; none if nothing is kept of this instance."""
        return [
            base64.b64encode(chunk).decode()
            for kept in self._alive()
            if kept.instance_id == instance_id
            for chunk in kept.chunks
        ]

    def _alive(self) -> list[_Kept]:
        return [kept for kept in self._kept if self.clock() - kept.started_at < KEPT_FOR_S]

    def _encrypted(self, plaintext: bytes, scalar: bytes, point: bytes) -> bytes:
        shared = rbcl.crypto_scalarmult_ristretto255(scalar, self.owner_key)
        salt = point + self.owner_key
        key = HKDF(algorithm=hashes.SHA256(), length=32, salt=salt, info=_CONTEXT).derive(shared)
        nonce = os.urandom(12)
        return nonce + AESGCM(key).encrypt(nonce, plaintext, None)
