"""Going back to an older version: what is kept, what is lost and said, what is refused."""

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from executor.errors import DowngradeBlocked, InvalidInput, MigrationFailed
from executor.migrations import (
    MIGRATIONS,
    Loss,
    Migration,
    check,
    connect,
    get_current_version,
    is_current,
    preview_rollback,
    rollback_migration,
    run_migrations,
)
from executor.migrations.inspection import read_layout
from support.databases import (
    NEWEST,
    assert_newest_schema,
    bytes_below,
    columns_of,
    fill,
    in_memory,
    kept_database,
    old_columns,
    values_of,
)


@pytest.mark.parametrize("target", range(NEWEST))
def test_down_and_up_again_keeps_all_rows_and_constraints(tmp_path: Path, target: int) -> None:
    """Down to any version the database is what that version makes, and up again it is current; every value
    of the columns that stayed is identical both times."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    with closing(sqlite3.connect(db)) as connection:
        values = values_of(connection, old_columns(target))

    done = rollback_migration(db, target)

    assert (NEWEST, target) == (done.from_version, done.to_version)
    with closing(sqlite3.connect(db)) as connection:
        assert target == get_current_version(connection)
        assert read_layout_of_kept(target) == read_layout(connection)
        assert values == values_of(connection, old_columns(target))
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()

    assert NEWEST - target == run_migrations(db)

    with closing(sqlite3.connect(db)) as connection:
        assert is_current(connection)
        assert_newest_schema(connection)
        assert values == values_of(connection, old_columns(target))


def read_layout_of_kept(version: int) -> object:
    with closing(in_memory(version)) as connection:
        return read_layout(connection)


def test_20_000_rows_go_down_and_up_again(tmp_path: Path) -> None:
    """Rows of a larger database come back identical from version 0."""
    db = fill(kept_database(tmp_path / "executor.db", 0), 20_000)
    with closing(sqlite3.connect(db)) as connection:
        values = values_of(connection)
    run_migrations(db)

    rollback_migration(db)

    with closing(sqlite3.connect(db)) as connection:
        assert values == values_of(connection)
    run_migrations(db)
    with closing(sqlite3.connect(db)) as connection:
        assert values == values_of(connection, old_columns())


def test_a_downgrade_says_what_is_lost_and_copies_first(tmp_path: Path) -> None:
    """The preview and the deed name the same losses, defaults not counted; the copy beside the file holds
    everything, in one file."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    expected = {
        *(Loss(table, None, 1) for table in ("plans", "changesets", "decisions", "contents", "workspaces")),
        *(Loss(table, None, 1) for table in ("execution_events", "approvals", "test_results", "tokens")),
        Loss("step_logs", None, 1),
        Loss("execution_links", None, 2),
        Loss("executions", "correlation_id", 2),
        *(Loss("executions", column, 1) for column in ("parent_execution_id", "trigger_kind", "run_id")),
        *(Loss("executions", column, 1) for column in ("workspace_id", "title", "actor", "attempt")),
        *(Loss("executions", column, 1) for column in ("error_code", "base_commit", "branch", "session")),
    }
    with closing(in_memory(NEWEST)) as kept:
        everything = {
            table: columns_of(kept, table) for table in (*read_layout(kept).tables, "sqlite_sequence")
        }
        values = values_of_any(kept, everything)

    preview = preview_rollback(db)
    done = rollback_migration(db)

    assert expected == set(preview.losses) == set(done.losses)
    assert len(expected) == len(done.losses)
    assert preview.copy is None
    assert tmp_path / f"executor.version-{NEWEST}.db" == done.copy
    with closing(sqlite3.connect(f"{done.copy.as_uri()}?immutable=1", uri=True)) as copy:
        assert values == values_of_any(copy, everything)
        assert is_current(copy)


def values_of_any(connection: sqlite3.Connection, tables: dict[str, list[str]]) -> dict[str, object]:
    return {
        table: sorted(map(repr, connection.execute(f"SELECT {', '.join(map(hexed, columns))} FROM {table}")))
        for table, columns in tables.items()
    }


def hexed(column: str) -> str:
    return f"typeof({column}) || hex(CAST({column} AS BLOB))"


def test_copies_of_several_downgrades_do_not_overwrite_each_other(tmp_path: Path) -> None:
    """Every downgrade leaves a copy of its own."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    copies = []
    for _ in range(3):
        copies.append(rollback_migration(db, 4).copy)
        run_migrations(db)

    names = [f"executor.version-{NEWEST}{number}.db" for number in ("", ".2", ".3")]
    assert [tmp_path / name for name in names] == copies


def test_nothing_happens_at_or_below_the_target(tmp_path: Path) -> None:
    """A database that is old enough is left alone, without a copy."""
    db = kept_database(tmp_path / "executor.db", 2)
    before = bytes_below(tmp_path)

    done = rollback_migration(db, 2)

    assert (2, 2, (), None) == (done.from_version, done.to_version, done.losses, done.copy)
    assert before == bytes_below(tmp_path)


@pytest.mark.parametrize(
    ("own", "named"),
    [
        ("CREATE VIEW mine AS SELECT execution_id, title FROM executions", "view mine: .*title"),
        ("CREATE VIEW mine AS SELECT document FROM plans", "view mine: .*plans"),
        ("CREATE VIEW mine AS SELECT x FROM a_table_that_is_gone", "view mine: .*a_table_that_is_gone"),
        (
            "CREATE TRIGGER mine AFTER UPDATE ON executions WHEN new.actor = 'x' BEGIN DELETE FROM notes; END",
            "trigger mine: .*new.actor",
        ),
        (
            "CREATE TRIGGER mine AFTER DELETE ON notes BEGIN DELETE FROM execution_links; END",
            "trigger mine: .*execution_links",
        ),
        (
            "CREATE TRIGGER mine AFTER DELETE ON plans BEGIN DELETE FROM notes; END",
            "trigger mine: .*would go",
        ),
        ("CREATE INDEX mine ON executions (lower(branch))", "index mine: .*branch"),
        ("CREATE INDEX mine ON changesets (created_at)", "index mine: .*would go"),
        (
            "CREATE TABLE mine (plan TEXT, chain TEXT,"
            " FOREIGN KEY (plan, chain) REFERENCES plans (plan_id, correlation_id) ON DELETE CASCADE)",
            "table mine: .*plans",
        ),
    ],
)
def test_what_the_users_own_objects_need_is_not_taken_away(tmp_path: Path, own: str, named: str) -> None:
    """A view, trigger, index or table of the user's that needs what would go stops the downgrade. It is named,
    and nothing has changed: no copy, no value."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    with closing(sqlite3.connect(db)) as connection:
        connection.execute(own)
        connection.commit()
    before = bytes_below(tmp_path)

    with pytest.raises(DowngradeBlocked, match=named):
        rollback_migration(db)

    assert before == bytes_below(tmp_path)


def test_own_objects_that_need_nothing_that_goes_stay(tmp_path: Path) -> None:
    """Views over all columns or old ones, triggers, indexes, tables that refer to executions: all are there
    after down and up, as they were."""
    own = (
        "CREATE VIEW everything AS SELECT * FROM executions",
        "CREATE INDEX by_end ON executions (ended_at)",
        "CREATE TRIGGER gone AFTER DELETE ON executions BEGIN DELETE FROM notes WHERE about = old.execution_id; END",
        "CREATE TABLE stars (execution TEXT REFERENCES executions ON DELETE CASCADE, n INTEGER)",
        "INSERT INTO stars VALUES ('exec_plain', 5)",
    )
    db = kept_database(tmp_path / "executor.db", NEWEST)
    with closing(sqlite3.connect(db)) as connection:
        for sql in own:
            connection.execute(sql)
        connection.commit()
        before = connection.execute("SELECT name, sql FROM sqlite_master ORDER BY name").fetchall()

    rollback_migration(db)
    run_migrations(db)

    with closing(connect(db)) as connection:
        after = dict(connection.execute("SELECT name, sql FROM sqlite_master"))
        assert {name for name, _ in before} == after.keys()
        assert all(after[name] == sql for name, sql in before if any(name in text for text in own))
        assert [("exec_plain", 5)] == connection.execute("SELECT * FROM stars").fetchall()
        connection.execute("DELETE FROM executions WHERE execution_id = 'exec_plain'")
        assert [] == connection.execute("SELECT * FROM stars").fetchall()


def test_a_database_with_dangling_references_goes_down_all_the_same(tmp_path: Path) -> None:
    """Old programs did not check references; what dangled before stays as it is."""
    db = kept_database(tmp_path / "executor.db", NEWEST)
    dangling = [found for found in check(db) if found.kind == "dangling_reference"]

    rollback_migration(db)

    assert 1 == len(dangling)
    assert dangling == [found for found in check(db) if found.kind == "dangling_reference"]


def test_a_step_down_that_raises_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The transaction is undone, and the copy is gone."""

    def fail(op: object) -> None:
        raise RuntimeError("no way back")

    third = MIGRATIONS[2]
    broken = Migration(3, third.description, third.up, fail)
    monkeypatch.setattr("executor.migrations.MIGRATIONS", (*MIGRATIONS[:2], broken, *MIGRATIONS[3:]))
    db = kept_database(tmp_path / "executor.db", NEWEST)
    before = bytes_below(tmp_path)

    with pytest.raises(MigrationFailed, match=r"downgrade from version 3 .* no way back"):
        rollback_migration(db)

    assert before == bytes_below(tmp_path)


def test_a_connection_of_the_callers_own_goes_down(tmp_path: Path) -> None:
    """With a connection to a file the copy lies beside that file; a database in memory has none."""
    with closing(sqlite3.connect(kept_database(tmp_path / "executor.db", NEWEST))) as connection:
        assert tmp_path / f"executor.version-{NEWEST}.db" == rollback_migration(connection, 1).copy
        assert 1 == get_current_version(connection)
    with closing(in_memory(NEWEST)) as connection:
        assert rollback_migration(connection).copy is None
        assert 0 == get_current_version(connection)


@pytest.mark.parametrize("target", [-1, NEWEST + 1, True, "1", 1.0])
def test_an_unknown_target_is_refused(target: object) -> None:
    """Only known versions are targets, up and down."""
    with closing(in_memory(1)) as connection:
        with pytest.raises(InvalidInput, match=f"from 0 to {NEWEST}"):
            rollback_migration(connection, target)  # type: ignore[arg-type]
        with pytest.raises(InvalidInput, match=f"from 0 to {NEWEST}"):
            run_migrations(connection, target)  # type: ignore[arg-type]
