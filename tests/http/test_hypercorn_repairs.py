"""Hypercorn's private methods are replaced where they are known, and left alone elsewhere."""

from __future__ import annotations

import importlib.metadata
import logging
import sys

import pytest

from batch_http.server.repairs import repair_hypercorn


@pytest.mark.parametrize("version", ["0.19.0", "0.16.1", "1.17.0", "0.170.1"])
def test_another_hypercorn_is_left_as_it_is(
    version: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    # What its methods are called is not known: importing the repairs must not even be tried.
    monkeypatch.setitem(sys.modules, "batch_http.server.http2", None)
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    with caplog.at_level(logging.WARNING):
        assert not repair_hypercorn()
    [record] = caplog.records
    assert record.levelno == logging.WARNING
    assert version in record.getMessage()


def test_the_hypercorn_of_the_image_is_repaired() -> None:
    assert repair_hypercorn()
