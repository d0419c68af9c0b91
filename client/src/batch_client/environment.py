"""The environment variables that building an HTTP client depends on, named where one of them is at fault."""

from __future__ import annotations

import os
from urllib.parse import urlsplit
from urllib.request import proxy_bypass

_CERTIFICATE_VARIABLES = ("SSL_CERT_FILE", "SSL_CERT_DIR")


def proxy_in_use(url: str) -> str | None:
    """The proxy that requests to `url` go through, in words that name its variable, or None."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    names = [f"{parts.scheme}_proxy", f"{parts.scheme}_proxy".upper(), "all_proxy", "ALL_PROXY"]
    name = next((name for name in names if os.environ.get(name)), None)
    return f"the proxy that {name} names ({_without_password(os.environ[name])})" if name else None


def why_no_client(error: Exception) -> str:
    """Why httpx cannot build a client: a sentence that names the variable that is at fault.

    Args:
        error: what httpx raised.
    """
    for variable in _CERTIFICATE_VARIABLES:
        path = os.environ.get(variable)
        if path and isinstance(error, OSError):
            return f"{variable} is set to {path!r}, where there are no certificates: {error.strerror or error}"
    # All of the environment's proxies are looked at, whatever the address is.
    names = [f"{scheme}_proxy" for scheme in ("all", "http", "https")]
    for name in [*names, *map(str.upper, names)]:
        value = os.environ.get(name, "")
        scheme = value.partition("://")[0] if "://" in value else "http"
        if value and (scheme not in ("http", "https") or not isinstance(error, ImportError | OSError)):
            advice = "; pip install 'httpx[socks]'" if isinstance(error, ImportError) else ""
            return f"{name} names a proxy that cannot be used ({_without_password(value)}): {error}{advice}"
    exempt = os.environ.get("NO_PROXY") or os.environ.get("no_proxy")
    return f"no HTTP client can be built{f' (NO_PROXY is {exempt!r})' if exempt else ''}: {error}"


def _without_password(url: str) -> str:
    scheme, sign, rest = url.partition("://")
    return f"{scheme}{sign}{rest.rpartition('@')[2]}"
