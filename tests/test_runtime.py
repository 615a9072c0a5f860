"""A directory and an environment become a workspace."""

from __future__ import annotations

from pathlib import Path

import pytest

from executor.runtime import open_runtime
from executor.storage.store import ExecutionStore
from executor.testing.factories import start


def test_variables_are_read_from_the_environment_that_is_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Database, state directory and name of the workspace; those of the process count for nothing."""
    for name in ("workspace", "state", "elsewhere"):
        (tmp_path / name).mkdir()
    database, elsewhere = tmp_path / "shared.db", tmp_path / "elsewhere"
    given = {
        "EXECUTOR_DATABASE_URL": f"sqlite:///{database}",
        "EXECUTOR_STATE_DIR": str(tmp_path / "state"),
        "EXECUTOR_WORKSPACE_ID": "ws_given",
    }
    monkeypatch.setenv("EXECUTOR_DATABASE_URL", f"sqlite:///{elsewhere / 'process.db'}")
    monkeypatch.setenv("EXECUTOR_STATE_DIR", str(elsewhere))
    monkeypatch.setenv("EXECUTOR_WORKSPACE_ID", "ws_process")

    runtime = open_runtime(tmp_path / "workspace", environ=given)
    start(runtime.store, "e")
    opened = (runtime.workspace_id, runtime.store.db_path, runtime.host.state)
    runtime.close()

    assert ("ws_given", database, tmp_path / "state") == opened
    assert [] == list(elsewhere.iterdir())
    assert not (tmp_path / "workspace" / ".executor").exists()


def test_without_variables_the_workspace_keeps_its_own_database(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EXECUTOR_DATABASE_URL", f"sqlite:///{tmp_path / 'process.db'}")

    runtime = open_runtime(tmp_path, environ={})
    start(runtime.store, "e")
    runtime.close()

    assert not (tmp_path / "process.db").exists()
    with ExecutionStore(tmp_path, environ={}) as store:
        assert (tmp_path / ".executor" / "executor.db", "e") == (
            store.db_path,
            store.list_executions().items[0].execution_id,
        )
