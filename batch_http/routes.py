"""Which requests lead anywhere, known before anything else is done about them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from batch_http.refusals import Refused

ENCRYPTED_PATH = re.compile(r"/(?:[0-9a-f]{2})+", re.ASCII)
"""As the platform sends it, of whichever cord."""

SDK_PREFIX, SDK_PATHS_FOR_ALL = "/_", {"/_metrics"}
"""The SDK serves more under this prefix, for the platform's checks of an instance: `/_slurp` reads any file, `/_procs`
shows every process's environment, `/_connectivity` fetches any address. In production only the platform's keys lead
there. In dev mode nothing does, and any page that a browser on the machine shows could ask."""


class RouteTable:
    """An app's routes, looked up by path. Those that the SDK adds for the platform may be hidden."""

    def __init__(self, routes: Sequence[BaseRoute], *, are_sdk_routes_hidden: bool) -> None:
        self._are_sdk_routes_hidden = are_sdk_routes_hidden
        self._methods: dict[str, set[str]] = {}
        self._others: list[BaseRoute] = []
        for route in routes:
            if isinstance(route, Route) and route.methods and not route.param_convertors:
                self._methods.setdefault(route.path, set()).update(route.methods)
            else:
                self._others.append(route)

    def refusal(self, scope: Scope) -> Refused | None:
        """What a request gets that no route answers. It is the caller's mistake, and not worth counting."""
        path, method = scope["path"], scope["method"]
        if self._are_sdk_routes_hidden and path.startswith(SDK_PREFIX) and path not in SDK_PATHS_FOR_ALL:
            return Refused(None, 404, self._not_found())
        methods = self._methods.get(path)
        if methods and method in methods:
            return None
        if ENCRYPTED_PATH.fullmatch(path) or any(route.matches(scope)[0] == Match.FULL for route in self._others):
            return None
        if methods:
            return Refused(None, 405, "Method Not Allowed", headers={"allow": ", ".join(sorted(methods))})
        return Refused(None, 404, self._not_found())

    def _not_found(self) -> str:
        """What there is instead. In production paths are the platform's, which knows them."""
        if not self._are_sdk_routes_hidden:
            return "Not Found"
        paths = sorted(path for path in self._methods if not path.startswith(SDK_PREFIX))
        return f"there is no such path; there are {', '.join(paths)}"


def origin_form(path: str) -> str:
    """The path that a request's target names. RFC 9112, section 3.2.2: a whole URL is to be understood, too."""
    if not path.startswith(("http://", "https://")):
        return path
    _, _, path_on_host = path.partition("://")[2].partition("/")
    return "/" + path_on_host
