"""A model that is refused in dev mode: its sentence, and the prompt is back.

Left alone, the SDK logs the error four times with its traceback, and sleeps for a minute so that the platform can read
the log. In production it may.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from batch_http.dev_pages import is_dev_mode
from batch_inference.errors import ModelLoadError


@contextmanager
def refusals_end_dev_mode() -> Iterator[None]:
    """Let a `ModelLoadError` of the block end the process in dev mode, its sentence the last line of the log."""
    try:
        yield
    except ModelLoadError as error:
        if not is_dev_mode():
            raise
        # Past the log, whose thread would end with the process before it had written.
        os.write(2, f"\n{error}\n".encode())
        # The SDK's threads would keep the process.
        os._exit(1)
