"""Bodies that come slowly, and those that are small only until they are decompressed."""

from __future__ import annotations

import asyncio
import gzip
import json
from typing import Any

import pytest

from batch_http import body
from batch_http.body import MAX_JSON_BYTES, BodyBudget, BodyShare, receive_body
from batch_http.json_bounds import check_json
from batch_http.refusals import Refused
from batch_http.server.decoding import decompress_bounded, refusal_in
from tests.helpers import bomb

SCOPE: dict[str, Any] = {"type": "http", "http_version": "1.1", "headers": []}


def test_half_a_body_is_not_waited_for_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "GRACE_S", 0.05)
    budget = BodyBudget()

    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await messages.put({"type": "http.request", "body": b"{", "more_body": True})
        with budget.share() as share:
            await receive_body(messages.get, SCOPE, share, 100)

    with pytest.raises(Refused, match="did not arrive in time: 1 bytes") as refused:
        asyncio.run(scenario())
    assert (refused.value.kind, refused.value.status, refused.value.is_whole) == ("slow_body", 400, False)
    assert budget.num_bytes == 0


def test_bodies_share_their_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "MAX_BYTES_AT_ONCE", 100)
    monkeypatch.setattr(body, "BYTES_FOR_SMALL", 0)
    budget = BodyBudget()

    async def one(num_bytes: int) -> bytes:
        messages = [{"type": "http.request", "body": b"x" * (num_bytes // 2), "more_body": more} for more in (0, 1)]

        async def receive() -> dict[str, Any]:
            return messages.pop()

        with budget.share() as share:
            received = await receive_body(receive, SCOPE, share, 1000)
            await asyncio.sleep(0)
            return received

    async def scenario() -> list[bytes | BaseException]:
        return await asyncio.gather(one(60), one(60), one(40), return_exceptions=True)

    first, second, third = asyncio.run(scenario())
    assert first == b"x" * 60
    assert isinstance(second, Refused)
    assert second.status == 429
    assert third == b"x" * 40
    assert budget.num_bytes == 0


def test_unfinished_large_bodies_leave_room_to_small_ones() -> None:
    budget = BodyBudget()
    large = []
    while (share := BodyShare(budget)).take(MAX_JSON_BYTES):
        large.append(share)
    assert len(large) > 8
    small = [BodyShare(budget) for _ in range(200)]
    assert all(share.take(32 * 1024) for share in small)
    # A small body that grows is a large one.
    assert not small[0].take(64 * 1024)
    for share in [*large, *small]:
        share.give_back()
    assert budget.num_bytes == 0


def test_silence_ends_a_body_however_much_of_it_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "GRACE_S", 0.05)

    async def scenario() -> None:
        messages: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        await messages.put({"type": "http.request", "body": bytes(8 * 2**20), "more_body": True})
        with BodyBudget().share() as share:
            # By its bytes alone it would have another 1,024 seconds.
            await asyncio.wait_for(receive_body(messages.get, SCOPE, share, MAX_JSON_BYTES), 60)

    with pytest.raises(Refused, match="did not arrive in time"):
        asyncio.run(scenario())


MANY = 16 * 2**20


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (b'"' * MANY, "strings"),
        (b"[" + b"{}," * 60_000 + b"{}]", "values"),
        (b"{" + b'"a":1,' * 10_001 + b'"b":1}', "names"),
        (b'["' + b'\\"' * (MANY // 2), "backslashes"),
        (b'["' + b'\\\\"' * (MANY // 3), "backslashes"),
        (b"[" + b"1" * MANY, "a number of 400 digits"),
        (b"[0." + b"1" * MANY, "a number of 400 digits"),
    ],
)
def test_what_would_cost_a_parser_much_is_refused(text: bytes, problem: str) -> None:
    with pytest.raises(Refused, match=problem):
        check_json(text, SCOPE)


@pytest.mark.parametrize("text", [":" * 9_999, '"' * 9_999, "7" * 9_999, "\\" * 9_999, '{"a": 1, "a": 2} ' * 500])
def test_within_texts_all_of_it_is_free(text: str) -> None:
    check_json(json.dumps({"texts": [text] * 100}).encode(), SCOPE)


@pytest.mark.parametrize(
    "text",
    [
        b'{"texts": ["a"], "te\\u0078ts": ["b"]}',
        b'{"a": ":", "a" : 1}',
        b'{"b": "\\\\", "a": 1, "a": 2}',
        b'{"x": {"a": 1, "\\u0061": 2}}',
        b'{"a\\"b": 1, "\\u0061\\"b": 2}',
        b'{"": 1, "" : 2}',
    ],
)
def test_a_field_given_twice_in_any_spelling(text: bytes) -> None:
    with pytest.raises(Refused, match="is given twice"):
        check_json(text, SCOPE)


@pytest.mark.parametrize("text", [b'{"x": {"a": 1}, "a": 2}', b'{"a": ":b", "b": 1}', b'{"a\\"": 1, "a": 2}'])
def test_fields_that_are_different(text: bytes) -> None:
    check_json(text, SCOPE)


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (bomb(MAX_JSON_BYTES // 2**20), "body_too_large"),
        (gzip.compress(b'{"texts": [' + b"[]," * 1_000_000 + b"[]]}"), "too_many_values"),
    ],
)
def test_what_decompresses_to_too_much_becomes_a_refusal(data: bytes, problem: str) -> None:
    refused = refusal_in(json.loads(decompress_bounded(data)))
    assert refused
    assert (refused.status, refused.problem) == (400, problem)


def test_what_decompresses_to_little_is_left_as_it_is() -> None:
    text = json.dumps({"texts": ["\U0001f600" * 10_000] * 100}).encode()
    assert decompress_bounded(gzip.compress(text)) == text
    assert refusal_in(json.loads(text)) is None


@pytest.mark.parametrize("data", [b"", b"not gzip", gzip.compress(b"{}", mtime=0)[:-5]])
def test_what_is_no_gzip_is_an_error(data: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011
        decompress_bounded(data)
