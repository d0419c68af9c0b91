"""What the server reads of users and of instances: bodies, answers in one piece, and the lines of streams."""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import orjson

from rehearsal.answers import InstanceFault, Refused, UserAnswer
from rehearsal.targets import ServedInstance, Target


async def as_it_is(_: Target, response: httpx.Response) -> AsyncIterator[httpx.Response]:
    yield response


async def chunks_of(target: Target, response: httpx.Response) -> AsyncIterator[str]:
    """A stream's chunks: each line is one, base64 of the ciphertext of gzip of UTF-8."""
    async for line in response.aiter_lines():
        if line:
            try:
                yield gzip.decompress(decrypted(target.instance, line.encode())).decode()
            except (ValueError, OSError) as error:
                raise InstanceFault(f"a line that is no chunk: {error}") from error


async def whole_answer(target: Target, response: httpx.Response) -> AsyncIterator[UserAnswer]:
    """An answer in one piece: `{"json": ...}`, or a Response as its parts. Its own status code is not looked at."""
    content = await response.aread()
    try:
        envelope = json.loads(content)
        if "json" in envelope:
            document = json.loads(gzip.decompress(decrypted(target.instance, envelope["json"].encode())))
            answer = UserAnswer(200, "application/json", orjson.dumps(document))
        else:
            media_type = envelope.get("media_type", envelope["headers"].get("Content-Type", "text/plain"))
            body = gzip.decompress(decrypted(target.instance, envelope["body"].encode()))
            answer = UserAnswer(200, media_type, body)
    except (ValueError, KeyError, TypeError) as error:
        raise InstanceFault(f"an answer that cannot be read: {error}") from error
    yield answer


def decrypted(instance: ServedInstance, content: bytes) -> bytes:
    plaintext = instance.session.transport.decrypt(base64.b64decode(content))
    if plaintext is None:
        raise InstanceFault("an answer that cannot be decrypted")
    return plaintext


def event(document: dict[str, Any]) -> str:
    return f"data: {json.dumps(document)}\n\n"


def parsed_body(method: str, body: bytes) -> dict[str, Any]:
    """What the server makes of a user's body: not JSON is a 400, not an object makes the server fail."""
    try:
        document = json.loads(body) if method in ("POST", "PUT", "PATCH") else {}
    except ValueError as error:
        raise Refused(400, f"invalid request JSON payload: {error}") from None
    except RecursionError:
        raise Refused(500, "Internal Server Error") from None
    if not isinstance(document, dict):
        raise Refused(500, "Internal Server Error")
    return document


def forwarded_body(document: dict[str, Any]) -> bytes:
    """What an instance gets: what `orjson` writes, compressed. Half a surrogate pair, or a number beyond 64 bits, makes
    the server itself fail."""
    try:
        return gzip.compress(orjson.dumps(document))
    except TypeError:
        raise Refused(500, "Internal Server Error") from None
