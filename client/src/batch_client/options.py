"""Every knob of talking to a service."""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, TypedDict, TypeVar
from urllib.parse import urlsplit

from batch_client.errors import InputError, without_secrets

InitT = TypeVar("InitT", bound=Callable[..., None])

ON_LONG_TEXT = ("truncate", "window", "reject")
API_KEY_VARIABLE = "CHUTES_API_KEY"
MAX_ANALYSES = 16
_ANALYSIS = re.compile(r"[a-z][a-z0-9_]{0,31}")


@dataclass(frozen=True)
class Options:
    """How to talk to a service. Raises InputError for a value that cannot work; a protocol has rules of its own."""

    url: str = field(repr=False)
    """Where the service is, such as `http://127.0.0.1:8000` or `https://me-batch-processor.chutes.ai`."""
    api_key: str | None = field(default=None, repr=False)
    max_length: int = 512
    """Tokens of a text that the model may see, 50 to 1024."""
    all_scores: bool = False
    """Ask for every label's probability."""
    analyses: Sequence[str] = ()
    """Names of the analyses to ask for, at most 16; none is the sentiment alone."""
    protocol: str = "batch-processor"
    """Wire format of the service: a key of `batch_client.protocols.PROTOCOLS`."""
    on_long_text: str = "truncate"
    """What becomes of texts of more than `max_length` tokens: `truncate`, `window` (all is read), `reject`."""
    reports: bool = True
    """Ask for an error in the result of a bad text; a service that does not know how is asked without, by itself."""
    texts_per_request: int = 100
    """At most, and never more than the protocol's `max_texts`."""
    bytes_per_request: int = 512 * 1024
    """Texts of one request, together, in UTF-8. Bounds the memory of the requests in flight."""
    max_concurrency: int = 32
    """Requests in flight at most; how many there are is found out while running."""
    start_concurrency: int = 8
    """Requests in flight at first."""
    timeout_s: float = 60.0
    """For one attempt, from connecting to the last byte."""
    patience_s: float = 600.0
    """Give up when the service has answered nothing at all for so long."""
    cold_start_s: float = 7200.0
    """Give up when the platform has found no instance of the service for so long. Until then each attempt renews the
    wish for one, which lapses after an hour; 17 to 97 minutes have been measured."""
    attempts: int = 5
    """Attempts at a request that the service fails on while it answers others."""
    backoff_s: float = 0.5
    """Upper bound of the random wait before the second attempt; doubles with each further one."""
    max_backoff_s: float = 20.0

    def __post_init__(self) -> None:
        _check_url(self.url)
        if self.on_long_text not in ON_LONG_TEXT:
            raise InputError(f"on_long_text {self.on_long_text!r} is not known; use one of {', '.join(ON_LONG_TEXT)}")
        _check_analyses(self.analyses)
        object.__setattr__(self, "analyses", tuple(self.analyses))
        _check("max_length", self.max_length, 50, 1024)
        _check("texts_per_request", self.texts_per_request, 1, 100)
        _check("max_concurrency", self.max_concurrency, 1, 1024)
        _check("start_concurrency", self.start_concurrency, 1, 1024)
        _check("attempts", self.attempts, 1, 100)
        for name in ("timeout_s", "patience_s", "cold_start_s", "backoff_s", "max_backoff_s", "bytes_per_request"):
            if not getattr(self, name) > 0:
                raise InputError(f"{name} must be more than 0, not {getattr(self, name)}")
        if self.api_key is not None:
            _check_key(self.api_key)

    @property
    def address(self) -> str:
        """The address as it may be shown and stored: without a user, a password or a query."""
        return without_secrets(self.url)


class OptionFields(TypedDict, total=False):
    """The fields of `Options` but the address, as keywords: for type checkers, and for completion in notebooks."""

    api_key: str | None
    max_length: int
    all_scores: bool
    analyses: Sequence[str]
    protocol: str
    on_long_text: str
    reports: bool
    texts_per_request: int
    bytes_per_request: int
    max_concurrency: int
    start_concurrency: int
    timeout_s: float
    patience_s: float
    cold_start_s: float
    attempts: int
    backoff_s: float
    max_backoff_s: float


def with_option_keywords(init: InitT) -> InitT:
    """Show the fields of `Options` in the signature of a function that takes them as `**options`."""
    found = inspect.signature(init)
    own = [parameter for parameter in found.parameters.values() if parameter.kind != inspect.Parameter.VAR_KEYWORD]
    further = [
        inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type)
        for field in fields(Options)
        if field.name in OptionFields.__annotations__
    ]
    init.__signature__ = found.replace(parameters=[*own, *further])  # type: ignore[attr-defined]
    return init


def options_from(service: str | Options, further: Mapping[str, Any]) -> Options:
    """Options of a service that is given by its address or by options, with further fields of `Options`."""
    return replace(service, **further) if isinstance(service, Options) else Options(service, **further)


def _check(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise InputError(f"{name} must be {low} to {high}, not {value}")


def _check_analyses(names: Sequence[str]) -> None:
    if isinstance(names, str):
        raise InputError(f"analyses {names!r} is one text where a list of names is expected; put it in a list: [name]")
    for name in names:
        if not (isinstance(name, str) and _ANALYSIS.fullmatch(name)):
            raise InputError(f"{name!r} is no analysis's name; these look like emotion or offensive")
    if len(set(names)) < len(names):
        raise InputError(f"the analyses {', '.join(names)} name one twice; leave it out once")
    if len(names) > MAX_ANALYSES:
        raise InputError(f"{len(names)} analyses are more than one request may ask for, which is {MAX_ANALYSES}")


def _check_key(key: str) -> None:
    name = API_KEY_VARIABLE if os.environ.get(API_KEY_VARIABLE) == key else "the API key"
    if not key or any(character.isspace() for character in key):
        what = "holds a space or a line break" if key.strip() else "is blank"
        raise InputError(f"{name} {what}; give the key alone, without spaces around it and without the word Bearer")
    if not (key.isascii() and key.isprintable()):
        raise InputError(f"{name} holds characters that no key has; copy it again")


def _check_url(url: str) -> None:
    if not isinstance(url, str) or not url.startswith(("http://", "https://")):
        raise InputError(f"{url!r} is not a service's address; it begins with http:// or https://")
    if "@" in url.partition("://")[2].partition("/")[2]:
        # Not quoted: what is before it may be a part of a password.
        raise InputError(
            "the service's address has an @ behind its first /; in a password, write / as %2F and @ as %40"
        )
    try:
        parts = urlsplit(url)
        is_sound = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        is_sound = False
        parts = urlsplit("")
    if not is_sound or any(character.isspace() or not character.isprintable() for character in url):
        raise InputError(f"{url!r} is not a service's address; it looks like http://127.0.0.1:8000")
    if parts.query or parts.fragment:
        raise InputError(
            "the service's address ends in a query or a fragment, to which no path can be added; leave it out"
        )
