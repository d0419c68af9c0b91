"""Which status and message each error gets. Any but 200, 400 and 429 counts against the instance."""

from __future__ import annotations

import json
import logging
import traceback
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from chutes.chute import Chute
from fastapi import HTTPException, Request
from fastapi.responses import JSONResponse
from starlette.types import Scope

from batch_http.refusals import INVALID_REQUEST, Refused
from batch_http.requests import InvalidRequest
from batch_http.served_engine import Counters, count_error
from batch_inference.errors import DeviceLostError, EngineStoppedError, ForwardPassError, QueueFullError

logger = logging.getLogger(__name__)

CLIENT_GONE = "client_gone"
CLIENT_CLOSED_REQUEST = 499
HAS_LEFT = "the client closed its side of the connection before the answer was there; keep it open until then"
"""Read only by a client that closed one side and still reads the other."""

CALLER = "batch_http.caller"
"""The key in a request's scope of its `CordCaller`."""

_REPORTED = "batch_http.error_reported"


@dataclass(frozen=True)
class ErrorReport:
    """How an error is answered: its kind in the statistics and in streams, its status, and what the caller reads."""

    kind: str
    status: int
    detail: Any
    headers: dict[str, str] | None = None

    @property
    def message(self) -> str:
        """The detail as one sentence."""
        return self.detail if isinstance(self.detail, str) else "; ".join(problem["msg"] for problem in self.detail)


ErrorShape = Callable[[ErrorReport], object]
"""What an endpoint answers under `error`, beside `detail`: some clients show their users nothing else."""


def _report_on(error: Exception) -> ErrorReport:
    """The report on an error. An unexpected one is logged and gets a fixed message."""
    match error:
        case InvalidRequest():
            return ErrorReport(INVALID_REQUEST, 400, [problem.model_dump() for problem in error.problems])
        case QueueFullError():
            return ErrorReport("queue_full", 429, str(error), {"Retry-After": str(error.retry_after_s)})
        case EngineStoppedError():
            return ErrorReport("shutting_down", 429, str(error), {"Retry-After": "1"})
        case DeviceLostError():
            return ErrorReport("device_lost", 500, "this instance lost its GPU and restarts; send the request again")
        case ForwardPassError():
            return ErrorReport("inference_failed", 500, "the model failed on this request; the log says why")
    # Where, but not what it says: messages of exceptions quote what a caller sent.
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("Unexpected %s at:\n%s", type(error).__name__, where)
    return ErrorReport("internal_error", 500, "an unexpected error occurred; the log says what")


class ReportedError(HTTPException):
    """Ends a cord's call with the report on its error."""

    def __init__(self, report: ErrorReport) -> None:
        super().__init__(report.status, report.detail, report.headers)
        self.report = report


@contextmanager
def errors_as_http(stats: Counters) -> Iterator[None]:
    """Count every error of the block and turn it into the exception that answers it."""
    try:
        yield
    except Exception as error:
        report = counted_report(stats, error)
        if report is None:
            raise HTTPException(CLIENT_CLOSED_REQUEST, HAS_LEFT) from None
        raise ReportedError(report) from error


def counted_report(stats: Counters, error: Exception) -> ErrorReport | None:
    """Count what ended a request, or a stream of which lines are out. None if its caller has left."""
    if isinstance(error, CancelledError):
        stats.count_error(CLIENT_GONE)
        return None
    report = _report_on(error)
    stats.count_error(report.kind)
    return report


def add_error_handlers(chute: Chute, shapes: Mapping[str, ErrorShape]) -> None:
    """Have every error of a request answered from here; `shapes` are those of endpoints, by their public paths."""
    chute.state.error_shapes = shapes
    chute.add_exception_handler(ReportedError, _answer_reported)
    chute.add_exception_handler(Exception, _answer_unhandled)


async def _answer_reported(request: Request, error: Exception) -> JSONResponse:
    assert isinstance(error, ReportedError)
    return _error_response(request.scope, error.report)


def _error_response(scope: Scope, report: ErrorReport) -> JSONResponse:
    content = {"detail": report.detail}
    if shape := _shape_of(scope["app"], scope["path"]):
        content["error"] = shape(report)
    return JSONResponse(content, report.status, report.headers)


def _shape_of(chute: Chute, path: str) -> ErrorShape | None:
    """The shape of the endpoint at a path: the public one in dev mode, in production the internal one of its cord."""
    shapes: Mapping[str, ErrorShape] = chute.state.error_shapes
    return next(
        (shapes.get(cord.public_api_path) for cord in chute.cords if path in (cord.path, cord.public_api_path)), None
    )


def refusal_response(scope: Scope, refused: Refused) -> JSONResponse:
    """The answer to a request that does not reach a cord."""
    detail: object = refused.message
    if refused.status == 400:
        detail = [{"loc": [], "msg": refused.message, "type": refused.problem or refused.kind}]
    # HTTP/2 ends a stream of its own, and knows no such header.
    is_last = not refused.is_whole and scope["http_version"] < "2"
    headers = refused.headers | ({"connection": "close"} if is_last else {})
    return _error_response(scope, ErrorReport(refused.kind or "", refused.status, detail, headers))


async def _answer_unhandled(request: Request, error: Exception) -> JSONResponse:
    """A body that the SDK could not decode is the caller's mistake, and so is leaving; all else is ours."""
    caller = request.scope.get(CALLER)
    if caller and caller.has_left:
        # The SDK's middleware raises an error of its own where a stream was never begun. `Front` counts it.
        return _error_response(request.scope, ErrorReport(CLIENT_GONE, CLIENT_CLOSED_REQUEST, HAS_LEFT))
    # The SDK decodes the body before the router sets the endpoint.
    if "endpoint" in request.scope:
        report = _report_on(error)
    else:
        problem = {"loc": [], "msg": f"the body is not JSON: {_why_not_json(error)}", "type": "json_invalid"}
        report = ErrorReport(INVALID_REQUEST, 400, [problem])
    count_error(request.app, report.kind)
    request.scope[_REPORTED] = True
    return _error_response(request.scope, report)


def is_reported(scope: Scope) -> bool:
    """Whether the error that ended this request has been answered, counted and, if it is ours, logged."""
    return _REPORTED in scope


def _why_not_json(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not valid UTF-8; encode the body as UTF-8"
    if isinstance(error, RecursionError):
        return "it is nested too deeply"
    if isinstance(error, ValueError):
        return "it holds a number with too many digits"
    return "it could not be read"
