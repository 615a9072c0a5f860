"""Every engine keeps the contract."""

from collections.abc import Iterator

import pytest

from executor.testing.contract.store import StoreContract
from executor.testing.harness import StoreHarness
from support.stores import SqliteHarness


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def backend(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[StoreHarness]:
    """One database for all tests of an engine; each begins by emptying it."""
    folder = tmp_path_factory.mktemp(request.param)
    harness: StoreHarness
    if request.param == "sqlite":
        harness = SqliteHarness(folder)
    else:
        from support.server_stores import PostgresqlHarness

        harness = PostgresqlHarness(folder, request.getfixturevalue("postgres").current())
    yield harness
    harness.close()


class TestStore(StoreContract):
    @pytest.fixture
    def harness(self, backend: StoreHarness) -> StoreHarness:
        return backend
