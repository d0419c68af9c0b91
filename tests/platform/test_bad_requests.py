"""Whatever a user sends, it is the user's mistake and never counts against the instance."""

from __future__ import annotations

import json
from typing import Any

import pytest

from rehearsal.gateway import Gateway, through_gateway
from rehearsal.running import Instance

BATCH_ENDPOINTS = ["/process-batch", "/process-batch-stream"]
ENDPOINTS = [*BATCH_ENDPOINTS, "/analyze-single"]

BROKEN_BATCHES: list[dict[str, Any]] = [
    {},
    {"batch_size": 4},
    {"texts": None},
    {"texts": "fine"},
    {"texts": {"0": "fine"}},
    {"texts": []},
    {"texts": ["a"] * 101},
    {"texts": ["a", 5]},
    {"texts": [["a"]]},
    {"texts": ["a", " \t\n"]},
    {"texts": ["a" * 10_001]},
    {"texts": ["a\0b"]},
    {"texts": ["a"], "max_length": "512"},
    {"texts": ["a"], "max_length": 128.5},
    {"texts": ["a"], "max_length": True},
    {"texts": ["a"], "max_length": 49},
    {"texts": ["a"], "max_length": 1025},
    {"texts": ["a"], "batch_size": 0},
    {"texts": ["a"], "batch_size": 33},
    {"texts": ["a"], "return_all_scores": 1},
    {"texts": ["a"], "stream_mode": True},
    {"texts": ["a"], "text": "a"},
]

NOT_REQUESTS = [
    b"[]",
    b"[1]",
    b"null",
    b"0",
    b'""',
    b'"text"',
    b"42",
    b"true",
    b"[[[[]]]]",
    b'{"texts": 18446744073709551616}',
]
"""JSON that the server does not pass on today; the instance must not depend on that."""


@pytest.mark.parametrize("endpoint", BATCH_ENDPOINTS)
def test_a_batch_that_breaks_a_rule(instance: Instance, endpoint: str) -> None:
    async def scenario(gateway: Gateway) -> None:
        for request in BROKEN_BATCHES:
            answer = await gateway.post(endpoint, request)
            assert answer.status == 400, request
            # The user reads the instance's problems as text, behind words of the server's.
            said = answer.json()["detail"].removeprefix("Invalid request: Invalid request: ")
            assert all(problem["msg"] for problem in json.loads(said)["detail"]), request

    through_gateway(instance, scenario)


def test_a_single_text_that_breaks_a_rule(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        for request in [
            {},
            {"text": ""},
            {"text": 5},
            {"text": "a" * 10_001},
            {"texts": ["a"]},
            {"text": "a", "max_length": 1},
        ]:
            assert (await gateway.post("/analyze-single", request)).status == 400, request

    through_gateway(instance, scenario)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
def test_json_that_is_no_request(instance: Instance, endpoint: str) -> None:
    async def scenario(gateway: Gateway) -> None:
        for body in NOT_REQUESTS:
            assert await gateway.deliver(endpoint, body) == 400, body

    through_gateway(instance, scenario)


@pytest.mark.parametrize("endpoint", ENDPOINTS)
@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 400), (b"not json", 400), (b'{"texts": ["a"]', 400), (b'{"texts": ["\xff"]}', 400), (b"[1]", 500)],
)
def test_what_the_server_answers_by_itself(instance: Instance, endpoint: str, body: bytes, status: int) -> None:
    async def scenario(gateway: Gateway) -> None:
        assert (await gateway.call("POST", endpoint, body)).status == status

    through_gateway(instance, scenario)


def test_unknown_paths_and_methods_do_not_reach_the_instance(instance: Instance) -> None:
    async def scenario(gateway: Gateway) -> None:
        for method, path in [
            ("GET", "/process-batch"),
            ("POST", "/batch-stats"),
            ("POST", "/process_batch"),
            ("GET", "/"),
        ]:
            assert (await gateway.call(method, path, b"{}")).status == 404

    through_gateway(instance, scenario)
