"""Every engine keeps the contract."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.testing.contract.store import StoreContract
from executor.testing.harness import StoreHarness
from support.stores import SqliteHarness


@pytest.fixture(scope="module", params=["sqlite"])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreHarness]:
    """One database for all tests of an engine; each begins by emptying it."""
    harnesses: dict[str, type[SqliteHarness]] = {"sqlite": SqliteHarness}
    folder: Path = tmp_path_factory.mktemp(request.param)
    harness = harnesses[request.param](folder)
    yield harness
    harness.close()


class TestStore(StoreContract):
    @pytest.fixture
    def harness(self, backend: StoreHarness) -> StoreHarness:
        return backend
