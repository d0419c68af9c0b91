"""One request, one answer: the only module that knows httpx, and where its errors become ours."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Iterator, Sequence

import httpx

from batch_client.environment import proxy_in_use, why_no_client
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
from batch_client.options import API_KEY_VARIABLE, Options
from batch_client.outcomes import Outcome, Prediction
from batch_client.protocols import protocol_for
from batch_client.refusals import reason_in
from batch_client.retry_after import retry_after_seconds
from batch_client.service_identity import ServiceIdentity
from batch_client.service_stats import ServiceStats

_REFUSAL_STATUSES = frozenset({400, 413, 422})
_ACCESS_STATUSES = frozenset({401, 402, 403})
_FAULT_STATUSES = frozenset({408, 424, 425})
"""Besides 5xx: what gateways answer for a service that was slow or not ready."""
_LASTING_STATUSES = frozenset({501, 505, 511})
_COLD = b"no instances available"
"""What the platform says, in any case of its letters, while it looks for a GPU or starts an instance."""


class Transport:
    """Sends single attempts. Every method raises a ServiceError that says what kind of failure it was.

    Raises InputError for a protocol that is not known or cannot carry an option, and for an environment in which no
    client can be built: a proxy or certificates that cannot work.
    """

    def __init__(self, options: Options) -> None:
        self._options = options
        self._protocol = protocol_for(options)(options, self._ask)
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
            raise InputError(why_no_client(error)) from error

    @property
    def max_texts(self) -> int:
        """Texts that one request may hold."""
        return self._protocol.max_texts

    async def classify(self, texts: Sequence[str]) -> list[Outcome]:
        """The outcomes of 1 to `max_texts` checked texts, in order."""
        return await self._protocol.classify(texts)

    async def classify_single(self, text: str) -> Prediction:
        """The prediction for one checked text, through the endpoint for single texts where there is one."""
        return await self._protocol.single(text)

    async def stats(self) -> ServiceStats:
        """The service's counters. Raises InputError if the protocol has none."""
        return await self._protocol.stats()

    async def identity(self) -> ServiceIdentity | None:
        """What the service says that it is; None if it does not say."""
        return await self._protocol.identity()

    async def probe(self) -> None:
        """See whether the service is there, and answers as the protocol says."""
        await self._protocol.probe()

    async def close(self) -> None:
        """Close all connections."""
        await self._http.aclose()

    async def _ask(self, method: str, path: str, content: bytes | None) -> bytes:
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
        self._raise_for_status(response, path)
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
        proxy = proxy_in_use(self._base)
        through = f" through {proxy}" if proxy else ""
        reason = next((cause.strerror for cause in _causes(error) if isinstance(cause, OSError) and cause.strerror), "")
        is_refused = any(isinstance(cause, ConnectionRefusedError) for cause in _causes(error))
        if is_refused:
            reason = "the connection was refused; is the service running, and is the port right?"
        return UnreachableError(f"cannot connect to {self._base}{through}: {reason or error}", is_refused)

    def _raise_for_status(self, response: httpx.Response, path: str) -> None:
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
            raise AccessError(f"{detail}; check the API key ({API_KEY_VARIABLE} or --api-key)")
        if response.has_redirect_location:
            target = str(response.url.join(response.headers["Location"]))
            if target.endswith(path):
                raise UnexpectedAnswerError(f"{detail}: it is at {target.removesuffix(path)} now; give that address")
            raise UnexpectedAnswerError(f"{detail}, which leads to {target}; is {self._base} the service's address?")
        raise UnexpectedAnswerError(f"{detail} at {response.url}; is this a {self._options.protocol} address?")

    def _problems(self, response: httpx.Response) -> list[Problem]:
        if response.status_code == 413:
            return [Problem((), "the request is too large for the server")]
        return self._protocol.problems(response.content)


def _detail(response: httpx.Response) -> str:
    reason = reason_in(response.content)
    return f" ({reason})" if reason else ""


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
