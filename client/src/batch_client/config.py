"""Defaults for the command's options, from a file: what one would type every time."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Collection
from pathlib import Path
from typing import Any

from batch_client.errors import InputError

VARIABLE = "BATCH_CLIENT_CONFIG"
_NAME = "batch-client.toml"


def read_config(known: Collection[str]) -> dict[str, Any]:
    """The options in the file that BATCH_CLIENT_CONFIG names, or in ./batch-client.toml, or in that of ~/.config.

    Args:
        known: names that an option may have, such as `text_column`.

    Raises:
        InputError: the file cannot be read, or holds something else.
    """
    named = os.environ.get(VARIABLE)
    candidates = [Path(named)] if named else [Path(_NAME), Path.home() / ".config" / _NAME]
    path = next((path for path in candidates if named or path.is_file()), None)
    if path is None:
        return {}
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{VARIABLE} names {path}, which cannot be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path} is not TOML: {error}") from error
    options = {name.replace("-", "_"): value for name, value in found.items()}
    if unknown := sorted(set(options) - set(known)):
        raise InputError(f"{path}: {unknown[0]!r} is no option; write it as on the command line, for example url = ...")
    return options
