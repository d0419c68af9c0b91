"""What both clients are made from: the options of one service, and what is called while it is waited for."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Unpack

from batch_client.options import OptionFields, Options, options_from, with_option_keywords


class ServiceClient(ABC):
    """A client of one service.

    `url` is an address or `Options`; keyword arguments are further fields of `Options`. While the service does not
    answer, `on_waiting` is called with sentences that say what is waited for; without it, they go to the logger
    `batch_client`. Raises InputError for options that cannot work.

    Attributes:
        options: how the service is asked.
    """

    @with_option_keywords
    def __init__(
        self,
        url: str | Options,
        *,
        on_waiting: Callable[[str], None] | None = None,
        **options: Unpack[OptionFields],
    ) -> None:
        self.options = options_from(url, options)
        self._on_waiting = on_waiting
        self._start()

    @abstractmethod
    def _start(self) -> None:
        """Make what the client works with. Raises InputError for options that cannot work."""
