"""End-to-end-encrypted requests: the user encrypts for the instance, and the gateway only relays.

Mirrors a user of the platform's `/e2e/invoke`. The instance's SDK decrypts the body, adds `stream_options` to it where
the user asked for a stream, and encrypts what the cord answers.
"""

from __future__ import annotations

import base64
import gzip
import json

from rehearsal.answers import UserAnswer
from rehearsal.gateway import Gateway

HEADERS = {"X-E2E-Encrypted": "true"}


async def call_end_to_end(gateway: Gateway, path: str, request: object) -> UserAnswer:
    """The decrypted answer. Streams come as one piece: the chunks, joined.

    Raises:
        Refused: the instance refused the request; its words are encrypted for the user.
    """
    user = gateway.instance.session.end_to_end
    blob = user.encrypt(gzip.compress(json.dumps(request).encode()))
    async with gateway.relay(path, blob, HEADERS) as response:
        if isinstance(request, dict) and request.get("stream"):
            events = [json.loads(line[6:]) async for line in response.aiter_lines() if line.startswith("data: ")]
            assert "e2e_init" in events[0]
            chunks = [user.decrypt(base64.b64decode(event["e2e"])) for event in events[1:]]
            return UserAnswer(200, "text/event-stream", b"".join(chunk or b"undecryptable" for chunk in chunks))
        envelope = json.loads(gateway.decrypted_relay(await response.aread()))
        content = user.decrypt(base64.b64decode(envelope["e2e"]))
        return UserAnswer(200, "application/octet-stream", gzip.decompress(content or b""))
