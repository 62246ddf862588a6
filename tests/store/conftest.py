"""A disk that does not really sync."""

import os

import pytest


@pytest.fixture(scope="module", autouse=True)
def no_sync():
    """fsync guards against power cuts, which no test can make; it costs 10 ms a call."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        yield
