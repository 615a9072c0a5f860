"""Opening a store: where, whose, and at what cost."""

import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from executor.errors import InvalidSettings, SchemaOutdated, WorkspaceNotFound
from executor.models.execution import ExecutionFilter
from executor.storage.location import ensure_workspace_id
from executor.storage.store import ExecutionStore
from executor.testing.factories import finish, ids, start
from support.databases import KEPT_VERSIONS, kept_database
from support.processes import run_python
from support.stores import query


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


def test_a_plain_directory_becomes_a_workspace_without_a_word(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with ExecutionStore(tmp_path) as store:
        start(store, "e")

        assert tmp_path / ".executor" / "executor.db" == store.db_path
    assert {".executor", ".executor/.gitignore", ".executor/executor.db", ".executor/workspace.id"} == files(
        tmp_path
    )
    assert ("", "") == capfd.readouterr()


def test_what_is_recorded_is_for_its_owner_only(tmp_path: Path) -> None:
    with ExecutionStore(tmp_path) as store:
        start(store, "e")
        for path in (tmp_path / ".executor").glob("executor.db*"):
            assert 0o600 == stat.S_IMODE(path.stat().st_mode)


def test_the_current_directory_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with ExecutionStore() as store:
        assert tmp_path / ".executor" / "executor.db" == store.db_path


def test_a_workspace_exists(tmp_path: Path) -> None:
    with pytest.raises(WorkspaceNotFound):
        ExecutionStore(tmp_path / "gone")
    assert set() == files(tmp_path)


def test_the_url_wins_then_the_variable_then_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given, named = tmp_path / "given.db", tmp_path / "named.db"
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    monkeypatch.setenv("EXECUTOR_DATABASE_URL", f"sqlite:///{named}")

    with ExecutionStore(workspace, url=f"sqlite:///{given}") as store:
        assert given == store.db_path
    with ExecutionStore(workspace) as store:
        assert named == store.db_path
    monkeypatch.setenv("EXECUTOR_DATABASE_URL", "")
    with ExecutionStore(workspace) as store:
        assert workspace / ".executor" / "executor.db" == store.db_path


@pytest.mark.parametrize("url", ["mysql://u:secret@h/db", "sqlite://", "sqlite:///:memory:", ""])
def test_a_url_of_another_kind_is_refused(tmp_path: Path, url: str) -> None:
    with pytest.raises(InvalidSettings) as caught:
        ExecutionStore(tmp_path, url=url)

    assert "secret" not in str(caught.value)


def test_durability_has_two_kinds(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings):
        ExecutionStore(tmp_path, durability="off")  # type: ignore[arg-type]


def test_reading_through_a_url_leaves_no_trace_in_the_workspace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The workspace only names the default scope, and gets a name when something is recorded for it."""
    database, workspace = tmp_path / "shared" / "executor.db", tmp_path / "workspace"
    database.parent.mkdir()
    workspace.mkdir()
    monkeypatch.chdir(workspace)
    with ExecutionStore(url=f"sqlite:///{database}") as store:
        assert [] == store.list_executions().items
        assert store.get_execution("e") is None
        assert set() == files(workspace)

        record = start(store, "e")

        assert record.workspace_id == store.workspace_id == ensure_workspace_id(workspace / ".executor")
        assert {".executor", ".executor/.gitignore", ".executor/workspace.id"} == files(workspace)


def test_a_variable_names_the_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EXECUTOR_WORKSPACE_ID", "team/web")
    with ExecutionStore(tmp_path) as store:
        assert "team/web" == start(store, "e").workspace_id


def test_old_rows_belong_to_the_workspace_whose_file_they_are_in(tmp_path: Path) -> None:
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    mine.mkdir()
    (theirs / ".executor").mkdir(parents=True)
    kept_database(theirs / ".executor" / "executor.db", 0)
    with ExecutionStore(theirs) as owner:
        owners = owner.workspace_id
        total = len(owner.list_executions(limit=100))
        assert total == len(owner.list_executions(ExecutionFilter(workspace=(owners,)), limit=100))
    with ExecutionStore(mine, url=f"sqlite:///{theirs}/.executor/executor.db") as visitor:
        assert owners != visitor.workspace_id
        assert {owners} == {record.workspace_id for record in visitor.list_executions(limit=100)}
        assert [] == visitor.list_executions(ExecutionFilter(workspace=(visitor.workspace_id,))).items


@pytest.mark.parametrize("version", KEPT_VERSIONS)
def test_a_database_of_every_version_is_upgraded_and_read(tmp_path: Path, version: int) -> None:
    (tmp_path / ".executor").mkdir()
    path = kept_database(tmp_path / ".executor" / "executor.db", version)
    (count,) = query(path, "SELECT count(*) FROM executions WHERE execution_id IS NOT NULL")
    with ExecutionStore(tmp_path) as store:
        records = store.list_executions(limit=1000).items

        assert count == (len(records),)
        # An id that is no UTF-8 can be shown, with marks, and not be asked for.
        for record in (r for r in records if "\ufffd" not in r.execution_id):
            assert record == store.get_execution(record.execution_id)
            assert record == store.get_execution_lineage(record.execution_id)["execution"]
            assert record.execution_id in ids(
                store.list_executions_by_correlation(str(record.correlation_id))
            )
            store.get_execution_steps(record.execution_id)
        store.get_statistics()
        finish(store, "new")


def test_an_older_database_may_be_left_alone(tmp_path: Path) -> None:
    path = kept_database(tmp_path / "old.db", 1)
    before = path.read_bytes()
    with pytest.raises(SchemaOutdated):
        ExecutionStore(tmp_path, url=f"sqlite:///{path}", migrate=False)

    assert before == path.read_bytes()


_LOADED = """
import json, sys
from executor import ExecutionFilter, ExecutionStore

with ExecutionStore(sys.argv[1]) as store:
    store.record_execution_start("e", "p", "c", "d", "s", "allow", "low", ["a"], None)
    store.record_step_end(store.record_step_start("e", 1, "apply"), "completed")
    store.record_execution_end("e", "completed")
    store.list_executions(ExecutionFilter(status=("completed",), q="E"), with_total=True)
    store.get_execution_lineage(store.resolve_execution_id("@last"))
    store.list_events("e")
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_recording_and_reading_load_no_heavy_library(tmp_path: Path) -> None:
    ExecutionStore(tmp_path).close()

    loaded = set(json.loads(run_python(_LOADED, str(tmp_path))))

    assert set() == loaded & {"sqlalchemy", "alembic", "pydantic", "fastapi", "msgspec", "pathspec", "rich"}
    assert "sqlite3" in loaded


def test_a_store_says_where_it_is(tmp_path: Path) -> None:
    with ExecutionStore(tmp_path) as store:
        assert f"ExecutionStore('{tmp_path}{os.sep}.executor{os.sep}executor.db')" == repr(store)


def test_the_usage_everybody_starts_from(tmp_path: Path) -> None:
    def given(number: int, **graph: Any) -> dict[str, Any]:
        return {
            "execution_id": f"exec_00{number}",
            "plan_id": f"plan_00{number}",
            "changeset_id": f"cs_00{number}",
            "decision_id": f"dec_00{number}",
            "checksum": "abc123",
            "verdict": "allow",
            "risk_level": "low",
            "affected_paths": ["file1.py"],
            "artifact_path": f"/path/to/artifacts/exec_00{number}",
            **graph,
        }

    store = ExecutionStore(tmp_path)
    store.record_execution_start(
        **given(1, correlation_id=None, parent_execution_id=None, trigger_kind="manual")
    )
    store.record_execution_start(
        **given(2, correlation_id="exec_001", parent_execution_id="exec_001", trigger_kind="retry")
    )
    root = store.get_root_execution("exec_001")

    assert ["exec_001"] == ids(store.get_execution_lineage("exec_002")["ancestors"])
    assert ["exec_001", "exec_002"] == ids(store.list_executions_by_correlation("exec_001"))
    assert root is not None
    assert "exec_001" == root.execution_id
    store.close()
