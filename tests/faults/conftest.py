"""How the faults are run: every test here says by what means it made them."""

from __future__ import annotations

import os
from collections.abc import Callable

import pytest

from support.mounts import available

# Read before the tests' own environment is made, which drops it.
IN_CI = os.environ.get("CI") == "true"

Mode = Callable[[str], None]


@pytest.fixture
def mode(record_property: Callable[[str, object], None]) -> Mode:
    """Says which means a test used; the run prints them all at its end."""
    return lambda text: record_property("fault mode", text)


@pytest.fixture
def mounts(mode: Mode) -> None:
    """A mount namespace; without one the test fails in CI and is skipped elsewhere."""
    if available():
        mode("file systems of its own (unshare -Urm)")
        return
    reason = (
        "mount namespaces are not allowed here (unshare -Urm), so real full and read-only disks are left out"
    )
    if IN_CI:
        pytest.fail(reason)
    pytest.skip(reason)
