"""What the tests of downloads share."""

from __future__ import annotations

import pytest

from experiments.datasets.fetch import download
from tests.support.web import serving


@pytest.fixture
def web(monkeypatch):
    """A server on loopback; no proxy stands between, and tries follow each other at once."""
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(download, "DELAYS", (0.0, 0.0, 0.0))
    with serving() as web:
        yield web
