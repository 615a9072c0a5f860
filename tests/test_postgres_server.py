"""The server that tests start, wherever they run."""

import os
import tempfile
from pathlib import Path

import pytest

from executor.testing.postgres import PostgresMissing, PostgresServer
from support.postgres import IN_CI, connected

pytestmark = pytest.mark.postgres


def test_it_starts_where_the_temporary_directory_is_private_and_its_name_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `mktemp -d` makes them; under root the server runs as another user. The name of a socket may have
    107 bytes.
    """
    private = tmp_path / ("private" + "-" * 100)
    private.mkdir(mode=0o700)
    monkeypatch.setattr(tempfile, "tempdir", os.fspath(private))
    try:
        server = PostgresServer()
    except PostgresMissing as missing:
        if IN_CI:
            pytest.fail(str(missing), pytrace=False)
        pytest.skip(str(missing))

    with server, connected(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
