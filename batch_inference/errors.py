"""What can go wrong between validated texts and predictions.

BatchInferenceError
├── SettingsError       an environment variable holds a bad value
├── ModelLoadError      the model cannot be loaded or cannot serve
├── QueueFullError      too many tokens are waiting; try again later
├── EngineStoppedError  the engine no longer takes requests
├── DeviceLostError     the device answers nothing any more; only a new process can use it
└── ForwardPassError    the model failed on the texts of this request
    └── DeviceOutOfMemoryError  a pass does not fit the device's memory; a smaller one may
"""

from __future__ import annotations


class BatchInferenceError(Exception):
    """Base of this package's errors; the message is fit to be shown to a person."""


class SettingsError(BatchInferenceError):
    """An environment variable holds a bad value."""


class ModelLoadError(BatchInferenceError):
    """The model cannot be loaded, or what was loaded cannot serve."""


class QueueFullError(BatchInferenceError):
    """The queue holds too many tokens to admit the request.

    Attributes:
        retry_after_s: whole seconds after which there is likely room.
    """

    def __init__(self, message: str, retry_after_s: int) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineStoppedError(BatchInferenceError):
    """The engine is shutting down and takes no more requests."""

    def __init__(self) -> None:
        super().__init__("the service is shutting down; send the request to another instance")


class DeviceLostError(BatchInferenceError):
    """The device's context is poisoned (a device-side assert, an illegal access): nothing in this process cures it."""


class ForwardPassError(BatchInferenceError):
    """The model failed on the texts of this request; other requests are not affected."""


class DeviceOutOfMemoryError(ForwardPassError):
    """A pass does not fit the device's memory; the same texts in smaller passes may."""


def first_line(error: BaseException) -> str:
    """What an error of another package says, or its kind if it says nothing: some tell pages."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
