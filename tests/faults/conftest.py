"""How the faults are run: every test here says by what means it made them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Mode = Callable[[str], None]


@pytest.fixture
def mode(record_property: Callable[[str, object], None]) -> Mode:
    """Says which means a test used; the run prints them all at its end."""
    return lambda text: record_property("fault mode", text)
