"""One request, one answer: the only place that knows httpx, and where its errors become ours."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import replace
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

import httpx

from batch_client import wire
from batch_client.errors import (
    AccessError,
    ColdError,
    FaultError,
    InputError,
    OverloadedError,
    Problem,
    RequestRefusedError,
    ServiceError,
    UnexpectedAnswerError,
    UnreachableError,
)
from batch_client.options import Options
from batch_client.outcomes import Failure, Outcome, Prediction
from batch_client.protocols import PROTOCOLS
from batch_client.retry_after import retry_after_seconds

_REFUSAL_STATUSES = frozenset({400, 413, 422})
_ACCESS_STATUSES = frozenset({401, 402, 403})
_FAULT_STATUSES = frozenset({408, 424, 425})
"""Besides 5xx: what gateways answer for a service that was slow or not ready."""
_LASTING_STATUSES = frozenset({501, 505, 511})
_COLD = b"no instances available"
"""What the platform says, in any case of its letters, while it looks for a GPU or starts an instance."""
_STATISTICS = "/batch-stats"
_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


class Transport:
    """Sends single attempts. Every method raises a ServiceError that says what kind of failure it was.

    Raises InputError if the environment does not allow to build a client: a proxy or certificates that cannot work.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._protocol = PROTOCOLS[options.protocol]
        headers = {"Content-Type": "application/json"}
        if options.api_key:
            headers["Authorization"] = f"Bearer {options.api_key}"
        connections = options.max_concurrency + 1
        self._base = options.url.rstrip("/").removesuffix(self._protocol.path)
        try:
            self._http = httpx.AsyncClient(
                headers=headers,
                timeout=None,  # one deadline covers the whole attempt: httpx's own ones start anew with every byte
                limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            )
        except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:  # SSLError is an OSError
            raise InputError(_unbuildable(self._base, error)) from error

    async def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """The outcomes of 1 to 100 checked texts, in order."""
        try:
            body = await self._ask("POST", self._protocol.path, self._protocol.request(texts, self._options))
        except RequestRefusedError as refusal:
            if not any(problem.loc[:1] == (wire.REPORTS_FIELD,) for problem in refusal.problems):
                raise
            # An older service, which refuses a field that it does not know.
            self._options = replace(self._options, reports=False)
            return await self.classify(texts)
        return list(self._protocol.parse(body, texts, self._options))

    async def classify_single(self, text: str) -> Prediction:
        """The prediction for one checked text, through the endpoint for single texts where there is one."""
        if not self._protocol.is_own:
            outcome = (await self.classify([text]))[0]
            if isinstance(outcome, Failure):
                raise FaultError(outcome.reason)
            return outcome
        body = await self._ask("POST", "/analyze-single", wire.single_request(text, self._options))
        return wire.parse_single_answer(body, text, self._options.all_scores)

    async def stats(self) -> wire.ServiceStats:
        """The service's counters. Raises InputError if the protocol has none."""
        if not self._protocol.is_own:
            raise InputError(f"the protocol {self._protocol.name!r} has no statistics to show")
        return wire.parse_stats(await self._ask("GET", _STATISTICS))

    async def probe(self) -> None:
        """See whether the service is there, and answers as the protocol says."""
        if not self._protocol.is_own:
            await self.classify(["ok"])
            return
        body = await self._ask("GET", _STATISTICS)
        try:
            wire.parse_stats(body)
        except FaultError as fault:
            if not _is_json(body):
                raise
            raise UnexpectedAnswerError(f"{fault}; is this a batch-processor address?") from fault

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, content: bytes | None = None) -> bytes:
        try:
            async with asyncio.timeout(self._options.timeout_s):
                response = await self._http.request(method, self._base + path, content=content)
        except TimeoutError as error:
            raise FaultError(f"the service did not answer within {self._options.timeout_s:g} s") from error
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError) as error:
            raise self._unreachable(error) from error
        except (httpx.InvalidURL, httpx.UnsupportedProtocol) as error:
            raise UnexpectedAnswerError(f"{self._base} is not a service's address: {error}") from error
        except httpx.RequestError as error:
            cause = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            raise FaultError(f"the connection broke before the answer was complete ({cause})") from error
        self._raise_for_status(response)
        media_type = response.headers.get("Content-Type", "application/json").partition(";")[0].strip().lower()
        if media_type in ("text/html", "application/xhtml+xml"):
            raise UnexpectedAnswerError(
                f"{response.url} answered a page of HTML, not JSON; is this a {self._options.protocol} address?"
            )
        return response.content

    def _unreachable(self, error: Exception) -> ServiceError:
        for cause in _causes(error):
            if isinstance(cause, ssl.SSLCertVerificationError):
                return UnexpectedAnswerError(
                    f"the certificate of {self._base} is not trusted: {cause.verify_message}; "
                    "set SSL_CERT_FILE to the certificate of its authority"
                )
            if isinstance(cause, ssl.SSLError) and "WRONG_VERSION" in str(cause).upper():
                return UnexpectedAnswerError(f"{self._base} does not speak TLS; does its address begin with http://?")
        variable = _proxy_variable(self._base)
        through = (
            f" through the proxy that {variable} names ({_without_password(os.environ[variable])})" if variable else ""
        )
        return UnreachableError(f"cannot connect to {self._base}{through}: {error or type(error).__name__}")

    def _raise_for_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status == 200:
            return
        if status in _REFUSAL_STATUSES:
            raise RequestRefusedError(self._problems(response))
        detail = f"the service answered {status}{_detail(response)}"
        retry_after_s = retry_after_seconds(response.headers.get("Retry-After"))
        if status == 429:
            raise OverloadedError(detail, retry_after_s)
        if status == 503 and _COLD in response.content.lower():
            raise ColdError(detail, retry_after_s)
        if status in _FAULT_STATUSES or (status >= 500 and status not in _LASTING_STATUSES):
            raise FaultError(detail, retry_after_s, status)
        if status in _ACCESS_STATUSES:
            raise AccessError(f"{detail}; check the API key (CHUTES_API_KEY or --api-key)")
        if response.has_redirect_location:
            raise UnexpectedAnswerError(f"{detail}: it is at {response.headers['Location']} now; give that address")
        raise UnexpectedAnswerError(f"{detail} at {response.url}; is this a {self._options.protocol} address?")

    def _problems(self, response: httpx.Response) -> list[Problem]:
        if response.status_code == 413:
            return [Problem((), "the request is too large for the server")]
        problems = wire.parse_refusal(response.content)
        if self._protocol.is_own:
            return problems
        return [Problem((), problem.msg) for problem in problems]


def _detail(response: httpx.Response) -> str:
    reason = wire.reason_in(response.content)
    return f" ({reason})" if reason else ""


def _is_json(body: bytes) -> bool:
    try:
        json.loads(body)
    except ValueError:
        return False
    return True


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _proxy_variable(url: str) -> str | None:
    """The environment variable that names the proxy which requests to `url` go through, if there is one."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    return next((name for name in names if os.environ.get(name)), None)


def _unbuildable(url: str, error: Exception) -> str:
    """Why no HTTP client can be built: a sentence that names the variable of the environment that is at fault."""
    for variable in _CERTIFICATE_VARIABLES:
        place = os.environ.get(variable)
        if place and isinstance(error, OSError):
            return f"{variable} is set to {place!r}, where there are no certificates: {error.strerror or error}"
    # All of the environment's proxies are looked at, whatever the address is.
    names = [f"{scheme}_proxy" for scheme in ("all", "http", "https")]
    for name in [*names, *map(str.upper, names)]:
        value = os.environ.get(name, "")
        scheme = value.partition("://")[0] if "://" in value else "http"
        if value and (scheme not in ("http", "https") or isinstance(error, ValueError | httpx.InvalidURL)):
            mend = "; pip install 'httpx[socks]'" if isinstance(error, ImportError) else ""
            return f"{name} names a proxy that cannot be used ({_without_password(value)}): {error}{mend}"
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    return f"no HTTP client can be built{f' (NO_PROXY is {exempt!r})' if exempt else ''}: {error}"


def _without_password(url: str) -> str:
    scheme, sign, rest = url.partition("://")
    return f"{scheme}{sign}{rest.rpartition('@')[2]}"
