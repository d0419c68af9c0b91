"""Client of a batch-processor service: `Client`, `AsyncClient` and the errors that they raise."""

from batch_client.async_client import AsyncClient
from batch_client.client import Client
from batch_client.errors import (
    AccessError,
    BatchClientError,
    FaultError,
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
from batch_client.streamed import results_of_stream

__all__ = [
    "AccessError",
    "AsyncClient",
    "BatchClientError",
    "Client",
    "Failure",
    "FaultError",
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
    "results_of_stream",
]
