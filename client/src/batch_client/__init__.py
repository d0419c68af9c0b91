"""Client of a batch-processor service: `Client`, `AsyncClient` and the errors that they raise."""

from batch_client.async_client import AsyncClient
from batch_client.client import Client
from batch_client.errors import (
    AccessError,
    BatchClientError,
    InputError,
    OutputError,
    RequestRefusedError,
    ServiceError,
    TextsFailedError,
    UnavailableError,
    UnexpectedAnswerError,
)
from batch_client.frames import classify_frame
from batch_client.outcomes import Failure, Outcome, Prediction

__all__ = [
    "AccessError",
    "AsyncClient",
    "BatchClientError",
    "Client",
    "Failure",
    "InputError",
    "Outcome",
    "OutputError",
    "Prediction",
    "RequestRefusedError",
    "ServiceError",
    "TextsFailedError",
    "UnavailableError",
    "UnexpectedAnswerError",
    "classify_frame",
]
