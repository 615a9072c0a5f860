"""How the faults are run: every test that makes some says by which means, and none is skipped unseen."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, NoReturn

import pytest

Mode = Callable[[str], None]

# Read before the tests take the variables of CI systems away.
IN_CI: Final = os.environ.get("CI") == "true"


def skip_phase(reason: str) -> NoReturn:
    """Skips a test whose means the machine does not have; in CI, where nobody would see it, that is a failure."""
    if IN_CI:
        pytest.fail(f"not possible here, and must be in CI: {reason}", pytrace=False)
    pytest.skip(reason)
