"""Which requests lead anywhere, known before anything else is done about them."""

from __future__ import annotations

import re
from collections.abc import Sequence

from starlette.routing import BaseRoute, Match, Route
from starlette.types import Scope

from batch_http.refusals import Refused

ENCRYPTED_PATH = re.compile(r"/(?:[0-9a-f]{2})+", re.ASCII)
"""As the platform sends it, of whichever cord."""


class RouteTable:
    """An app's routes, looked up by path."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
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
        methods = self._methods.get(path)
        if methods and method in methods:
            return None
        if ENCRYPTED_PATH.fullmatch(path) or any(route.matches(scope)[0] == Match.FULL for route in self._others):
            return None
        if methods:
            return Refused(None, 405, "Method Not Allowed", headers={"allow": ", ".join(sorted(methods))})
        return Refused(None, 404, "Not Found")
