"""The server that tests start, wherever they run."""

import os
import tempfile
from pathlib import Path

import pytest

from support.postgres import connected, new_server

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

    with new_server() as server, connected(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
