"""One request, one answer: the only place that knows httpx, and where its errors become ours."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import httpx

from batch_client import wire
from batch_client.errors import (
    AccessError,
    FaultError,
    InputError,
    OverloadedError,
    RequestRefusedError,
    UnexpectedAnswerError,
    UnreachableError,
)
from batch_client.options import Options
from batch_client.outcomes import Prediction
from batch_client.protocols import PROTOCOLS
from batch_client.retry_after import retry_after_seconds

_REFUSAL_STATUSES = frozenset({400, 413, 422})
_FAULT_STATUSES = frozenset({424, 500, 502, 503, 504})
_ACCESS_STATUSES = frozenset({401, 402, 403})


class Transport:
    """Sends single attempts. Every method raises a ServiceError that says what kind of failure it was."""

    def __init__(self, options: Options) -> None:
        self._options = options
        headers = {"Content-Type": "application/json"}
        if options.api_key:
            headers["Authorization"] = f"Bearer {options.api_key}"
        connections = options.max_concurrency + 1
        self._http = httpx.AsyncClient(
            headers=headers,
            timeout=None,  # one deadline covers the whole attempt: httpx's own ones start anew with every byte
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
        )
        self._protocol = PROTOCOLS[options.protocol]
        self._base = options.url.rstrip("/")

    async def classify(self, texts: Sequence[str]) -> list[Prediction]:
        """The predictions for 1 to 100 checked texts, in order."""
        body = await self._ask("POST", self._protocol.path, self._protocol.request(texts, self._options))
        return self._protocol.parse(body, texts, self._options)

    async def classify_single(self, text: str) -> Prediction:
        """The prediction for one checked text, through the endpoint for single texts where there is one."""
        if not self._protocol.is_own:
            return (await self.classify([text]))[0]
        body = await self._ask("POST", "/analyze-single", wire.single_request(text, self._options))
        return wire.parse_single_answer(body, text, self._options.all_scores)

    async def probe(self) -> None:
        """See whether the service is there, and answers as the protocol says."""
        if self._protocol.is_own:
            await self.stats()
        else:
            await self.classify(["ok"])

    async def stats(self) -> wire.ServiceStats:
        """The service's counters. Raises InputError if the protocol has none."""
        if not self._protocol.is_own:
            raise InputError(f"the protocol {self._protocol.name!r} has no statistics to show")
        return wire.parse_stats(await self._ask("GET", "/batch-stats"))

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                response = await self._http.request(method, self._base + path, content=content)
        except TimeoutError as error:
            raise FaultError(f"the service did not answer within {self._options.timeout_s:g} s") from error
        except (httpx.ConnectError, httpx.ConnectTimeout) as error:
            raise UnreachableError(f"cannot connect to {self._base}: {error}") from error
        except httpx.InvalidURL as error:
            raise UnexpectedAnswerError(f"{self._base} is not a service's address: {error}") from error
        except httpx.RequestError as error:
            raise FaultError(f"the connection broke before the answer was complete ({type(error).__name__})") from error
        _raise_for_status(response, self._protocol.name)
        return response.content


def _raise_for_status(response: httpx.Response, protocol: str) -> None:
    status = response.status_code
    if status == 200:
        return
    if status in _REFUSAL_STATUSES:
        raise RequestRefusedError(wire.parse_refusal(response.content))
    detail = f"the service answered {status}{_detail(response)}"
    if status == 429:
        raise OverloadedError(detail, retry_after_seconds(response.headers.get("Retry-After")))
    if status in _FAULT_STATUSES:
        raise FaultError(detail, retry_after_seconds(response.headers.get("Retry-After")))
    if status in _ACCESS_STATUSES:
        raise AccessError(f"{detail}; check the API key (CHUTES_API_KEY or --api-key)")
    if response.has_redirect_location:
        raise UnexpectedAnswerError(f"{detail}: it is at {response.headers['Location']} now; give that address")
    raise UnexpectedAnswerError(f"{detail} at {response.url}; is this a {protocol} address?")


def _detail(response: httpx.Response) -> str:
    reason = wire.reason_in(response.content)
    return f" ({reason})" if reason else ""
