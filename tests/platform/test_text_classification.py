"""Hugging Face's clients through the platform."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rehearsal.front import serving_gateway
from rehearsal.running import Instance
from tests.http.hugging_face import check_js_client, check_python_client, install_js_client

BLANK = "inputs[0] is blank; remove it or send some text"


@pytest.fixture
def url(instance: Instance) -> Iterator[str]:
    with serving_gateway(instance) as address:
        yield f"{address}/text-classification"


def test_the_python_client(url: str) -> None:
    # The platform puts all that the instance said into `detail`, as text: the client keeps it, but does not show it.
    assert BLANK in check_python_client(url).response.text


def test_the_javascript_client(url: str, tmp_path: Path) -> None:
    assert BLANK in check_js_client(install_js_client(tmp_path), url)
