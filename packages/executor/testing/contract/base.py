"""What the parts of the contract share."""

from __future__ import annotations

import pytest

from executor.storage.base import ExecutionStorage
from executor.testing.harness import StoreHarness


class Contract:
    """Tests that ask for `harness`, which the subclass gives, or for `store`, its empty store."""

    @pytest.fixture
    def store(self, harness: StoreHarness) -> ExecutionStorage:
        return harness.empty()
