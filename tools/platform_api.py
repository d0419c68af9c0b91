"""The platform's API, as far as an owner looks at what is theirs: signed with the SDK's own configuration."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import httpx
from loguru import logger

from batch_inference.errors import SettingsError
from batch_inference.settings import load_settings
from rehearsal.chutes import CHUTES

TIMEOUT_S = 30.0


class PlatformError(Exception):
    """One sentence: why the platform cannot be asked, and what to do."""


def chute_name(chute: str) -> str:
    """The name on the platform of a chute's file.

    Raises:
        PlatformError: there is no such chute here, or a setting is not valid.
    """
    if chute not in CHUTES:
        raise PlatformError(f"CHUTE={chute} is none of {', '.join(CHUTES)}.")
    try:
        return load_settings(CHUTES[chute].settings).chute_name
    except SettingsError as error:
        raise PlatformError(str(error)) from None


class PlatformApi:
    """Reads what belongs to the account in `~/.chutes/config.ini`, or wherever `CHUTES_CONFIG_PATH` is."""

    def __init__(self) -> None:
        """Raises PlatformError if there is no account."""
        logger.disable("chutes")
        from chutes.config import CONFIG_PATH, get_config
        from chutes.exception import AuthenticationRequired, NotConfigured

        try:
            config = get_config()
        except (AuthenticationRequired, NotConfigured):
            raise PlatformError(
                f"There is no account in {CONFIG_PATH}: run `.venv/bin/chutes register`, or set CHUTES_CONFIG_PATH."
            ) from None
        self.hotkey_seed = str(config.auth.hotkey_seed)
        self._base = str(config.generic.api_base_url)
        self._http = httpx.Client(base_url=self._base, timeout=TIMEOUT_S)

    def __enter__(self) -> PlatformApi:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self._http.close()

    def get(self, path: str, purpose: str) -> httpx.Response | None:
        """What the API answers, or None if it knows nothing of the kind. `purpose` is what the signature is for.

        Raises:
            PlatformError: it cannot be reached, or does not want to say.
        """
        from chutes.util.auth import sign_request

        headers, _ = sign_request(purpose=purpose)
        try:
            answer = self._http.get(path, headers=headers)
        except httpx.HTTPError as error:
            raise PlatformError(f"{self._base} cannot be reached: {error or type(error).__name__}.") from error
        if answer.status_code == 404:
            return None
        if answer.status_code in (401, 403):
            raise PlatformError(f"{self._base} does not accept this account: {_detail(answer)}")
        if answer.status_code != 200:
            raise PlatformError(f"{self._base} answered {answer.status_code} to GET {path}: {_detail(answer)}")
        return answer

    def chute(self, name: str) -> dict[str, Any] | None:
        """The account's chute of that name, or None."""
        answer = self.get(f"/chutes/{name}", "chutes")
        return answer.json() if answer else None

    def image_status(self, image_id: str) -> str | None:
        """`pending build`, `building`, `built and pushed` or `error: ...`; None if there is no such image."""
        answer = self.get(f"/images/{image_id}", "images")
        return str(answer.json()["status"]) if answer else None

    def build_log(self, image_id: str) -> str:
        """The whole log of a build that is over."""
        answer = self.get(f"/images/{image_id}/logs", "images")
        return answer.text if answer else ""


def _detail(answer: httpx.Response) -> str:
    try:
        return str(answer.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return answer.text[:300]
