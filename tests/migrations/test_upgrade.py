"""Upgrading: what a database has afterwards, and what stays exactly as it was."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect
from sqlalchemy.dialects import sqlite

from executor.migrations import (
    MIGRATIONS,
    Migration,
    get_current_version,
    is_current,
    open_current,
    pending,
    run_migrations,
    upgrade,
)
from executor.migrations.inspection import compare, layout_of_version, read_layout
from executor.schema import get_db_connection, init_executor_db, metadata
from support.databases import (
    ENOUGH_TO_BE_LARGE,
    KEPT_VERSIONS,
    NEWEST,
    START,
    assert_newest_schema,
    columns_of,
    fill,
    in_memory,
    kept_database,
    ledger_of,
    old_columns,
    values_of,
)


def test_versions_are_numbered_without_gap_and_each_has_a_kept_database() -> None:
    """Versions are numbered without gap, and each has a kept database."""
    versions = [migration.version for migration in MIGRATIONS]

    assert list(range(1, NEWEST + 1)) == versions
    assert [0, *versions] == KEPT_VERSIONS


@pytest.mark.parametrize("version", KEPT_VERSIONS)
def test_a_database_of_every_version_upgrades_with_every_old_value_identical(
    tmp_path: Path, version: int
) -> None:
    """A database of every version upgrades: rowids, types and bytes of all old values stay, and so do the
    records of versions that were applied before."""
    db = kept_database(tmp_path / "executor.db", version)
    columns = old_columns(version)
    with closing(sqlite3.connect(db)) as connection:
        values = values_of(connection, columns)
        ledger = ledger_of(connection) if version else []

    assert NEWEST - version == run_migrations(db)

    with closing(sqlite3.connect(db)) as connection:
        assert values == values_of(connection, columns)
        assert ledger == ledger_of(connection)[:version]
        assert NEWEST == get_current_version(connection)
        assert is_current(connection)
        assert_newest_schema(connection)
        assert [("ok",)] == connection.execute("PRAGMA integrity_check").fetchall()
        # A key given to a deleted step is not given again.
        assert [(91,)] == connection.execute(
            "INSERT INTO execution_steps (execution_id, step_num, step_name, status, started_at)"
            " VALUES ('exec_plain', 3, 'apply', 'running', 't') RETURNING id"
        ).fetchall()


def test_an_upgraded_database_keeps_the_objects_of_version_0_and_of_the_user() -> None:
    """Primary key, NOT NULLs, defaults, foreign keys and indexes of version 0 are as before, and the user's
    view and table still work."""
    with closing(in_memory(0)) as old, closing(in_memory(0)) as new:
        run_migrations(new)
        before, after = read_layout(old), read_layout(new)

        for table, columns in before.tables.items():
            assert columns == {name: after.tables[table][name] for name in columns}
        assert before.indexes.items() <= after.indexes.items()
        assert before.foreign_keys == after.foreign_keys
        for question in ("SELECT * FROM failed_notes", "SELECT sql FROM sqlite_master WHERE name = 'notes'"):
            assert old.execute(question).fetchall() == new.execute(question).fetchall()

        new.execute("PRAGMA foreign_keys=ON")
        with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
            new.execute("INSERT INTO notes (about) VALUES ('nobody')")
        with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
            new.execute(START, ("exec_plain", "t"))


def test_old_rows_get_the_defaults_of_new_columns() -> None:
    """Old rows read as manual and have no correlation; old programs may go on writing without new columns."""
    with closing(in_memory(0)) as connection:
        run_migrations(connection)
        connection.execute(START, ("exec_by_old_program", "t"))

        assert {("manual", None, None, None)} == set(
            connection.execute(
                "SELECT trigger_kind, correlation_id, parent_execution_id, attempt FROM executions"
            )
        )


def test_100_000_rows_upgrade_with_every_value_identical(tmp_path: Path) -> None:
    """A hundred thousand executions keep every value through an upgrade."""
    db = fill(kept_database(tmp_path / "executor.db", 0), 100_000)
    with closing(sqlite3.connect(db)) as connection:
        values = values_of(connection)

    assert NEWEST == run_migrations(db)

    with closing(sqlite3.connect(db)) as connection:
        assert values == values_of(connection, old_columns())
        assert is_current(connection)


@pytest.mark.parametrize("door", [run_migrations, open_current])
def test_others_read_a_large_file_while_it_is_upgraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, door: Callable[[Path], object]
) -> None:
    """Also while more is written than the cache holds, and without waiting: they see what was there before."""
    db = fill(kept_database(tmp_path / "executor.db", 0), ENOUGH_TO_BE_LARGE)
    found: list[tuple[int, ...]] = []

    def look(op: Operations) -> None:
        op.execute("PRAGMA cache_size=10")
        op.execute("UPDATE executions SET checksum = 'new'")
        with closing(sqlite3.connect(db, timeout=0)) as reader:
            found.extend(reader.execute("SELECT count(*) FROM executions WHERE checksum <> 'new'"))

    monkeypatch.setattr(
        "executor.migrations.MIGRATIONS", (*MIGRATIONS, Migration(NEWEST + 1, "looks", look, look))
    )

    opened = door(db)

    if isinstance(opened, sqlite3.Connection):
        opened.close()
    with closing(sqlite3.connect(db)) as connection:
        assert found == connection.execute("SELECT count(*) FROM executions").fetchall()
        assert [("wal",)] == connection.execute("PRAGMA journal_mode").fetchall()


def test_a_large_file_that_is_read_without_a_pause_is_upgraded_in_the_mode_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The switch needs the file alone for a moment; the upgrade does not wait for that any longer than a while."""
    monkeypatch.setattr("executor.migrations.connection._SWITCH_SECONDS", 0.0)
    db = fill(kept_database(tmp_path / "executor.db", 0), ENOUGH_TO_BE_LARGE)
    with closing(sqlite3.connect(db, isolation_level=None)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT 1 FROM executions LIMIT 1").fetchall()

        def leave(op: Operations) -> None:
            reader.execute("ROLLBACK")

        monkeypatch.setattr(
            "executor.migrations.MIGRATIONS", (*MIGRATIONS, Migration(NEWEST + 1, "leaves", leave, leave))
        )

        assert NEWEST + 1 == run_migrations(db)


@pytest.mark.parametrize("version", KEPT_VERSIONS)
def test_a_second_upgrade_changes_nothing(tmp_path: Path, version: int) -> None:
    """Twice is once: not a byte of the file differs, the time of application included."""
    db = kept_database(tmp_path / "executor.db", version)
    run_migrations(db)
    before = db.read_bytes()

    assert 0 == run_migrations(db)
    assert before == db.read_bytes()


def test_the_time_of_application_is_never_written_again() -> None:
    """A recorded version keeps its time when it is completed or followed by others."""
    with closing(in_memory(1)) as connection:
        connection.execute("DROP INDEX idx_executions_trigger_kind")
        (first, *_) = ledger_of(connection)

        run_migrations(connection)

        assert first == ledger_of(connection)[0]
        assert "2025-05-01 12:00:00" == first[2]


def test_a_fresh_database_is_what_the_tables_say(tmp_path: Path) -> None:
    """Columns, types, defaults, keys and indexes of a fresh database equal `executor.schema.metadata`, by
    SQLAlchemy's own reading."""
    init_executor_db(tmp_path / "executor.db")
    engine = create_engine(f"sqlite:///{tmp_path / 'executor.db'}")
    found = inspect(engine)

    assert {*metadata.tables, "schema_migrations"} == set(found.get_table_names())
    for table in metadata.tables.values():
        assert [
            (
                column.name,
                column.type.compile(sqlite.dialect()),
                column.nullable,
                column.server_default and str(column.server_default.arg).strip("()"),  # type: ignore[attr-defined]
            )
            for column in table.columns
        ] == [
            (
                column["name"],
                column["type"].compile(sqlite.dialect()),
                column["nullable"],
                column["default"] and column["default"].strip("()"),
            )
            for column in found.get_columns(table.name)
        ]
        assert [column.name for column in table.primary_key] == found.get_pk_constraint(table.name)[
            "constrained_columns"
        ]
        assert {(str(index.name), index.unique): len(index.expressions) for index in table.indexes} == {
            (index["name"], bool(index["unique"])): len(index["column_names"])
            for index in found.get_indexes(table.name)
        }
        assert [key.target_fullname for key in table.foreign_keys] == [
            f"{key['referred_table']}.{key['referred_columns'][0]}"
            for key in found.get_foreign_keys(table.name)
        ]
    engine.dispose()


def test_the_steps_and_the_schema_text_make_the_same_database(tmp_path: Path) -> None:
    """A database made by running every step has the same columns in the same order, and the same indexes, as
    one made from the committed text."""
    with (
        closing(sqlite3.connect(":memory:")) as stepwise,
        closing(open_current(tmp_path / "new.db")) as fresh,
    ):
        for version in range(NEWEST + 1):
            run_migrations(stepwise, version)

        assert read_layout(fresh) == read_layout(stepwise)
        for table in metadata.tables:
            assert columns_of(fresh, table) == columns_of(stepwise, table)
        assert [row[:2] for row in ledger_of(fresh)] == [row[:2] for row in ledger_of(stepwise)]


def test_an_upgrade_can_stop_at_any_version() -> None:
    """`target_version` applies the steps up to it, a target below the current version none."""
    with closing(in_memory(0)) as connection:
        assert 2 == run_migrations(connection, 2)
        assert [*range(3, NEWEST + 1)] == [migration.version for migration in pending(connection)]
        assert [] == list(compare(layout_of_version(2), read_layout(connection)))
        assert 0 == run_migrations(connection, 1)
        assert 2 == get_current_version(connection)
        assert NEWEST - 2 == run_migrations(connection)


def test_a_connection_of_the_callers_own_stays_as_it_was(tmp_path: Path) -> None:
    """A plain sqlite3 connection is enough, and its settings are its owner's afterwards."""
    with closing(sqlite3.connect(kept_database(tmp_path / "executor.db", 0), timeout=7)) as connection:
        connection.row_factory = sqlite3.Row
        isolation_level = connection.isolation_level
        connection.create_function("regexp", 2, lambda pattern, text: "mine")

        assert 0 == get_current_version(connection)
        assert NEWEST == run_migrations(connection)
        assert NEWEST == get_current_version(connection)

        assert connection.isolation_level == isolation_level
        assert sqlite3.Row is connection.row_factory
        assert "mine" == connection.execute("SELECT 'a' REGEXP 'b'").fetchone()[0]
        assert 7000 == connection.execute("PRAGMA busy_timeout").fetchone()[0]
        assert 0 == connection.execute("PRAGMA foreign_keys").fetchone()[0]


def test_a_database_in_the_callers_own_file_gets_our_tables_beside_theirs(tmp_path: Path) -> None:
    """Tables of a program that embeds Executor stay beside ours."""
    with closing(sqlite3.connect(tmp_path / "app.db")) as connection:
        connection.execute("CREATE TABLE customers (name TEXT)")
        connection.execute("INSERT INTO customers VALUES ('Zoë')")
        connection.commit()

        init_executor_db(connection)

        assert is_current(connection)
        assert [("Zoë",)] == connection.execute("SELECT name FROM customers").fetchall()


def test_init_and_get_connection_work_together(tmp_path: Path) -> None:
    """The two documented entry points: make a database, open it, read rows by name."""
    db = tmp_path / "executor.db"
    init_executor_db(str(db))
    init_executor_db(f"sqlite:///{db}")
    with closing(get_db_connection(db)) as connection:
        connection.execute(START, ("exec_1", "2026-01-01T00:00:00.000000Z"))

        assert "exec_1" == connection.execute("SELECT * FROM executions").fetchone()["execution_id"]


def test_upgrade_gives_the_account(tmp_path: Path) -> None:
    """`upgrade` says from where, to where, which versions, and whether a recorded one had to be completed."""
    db = kept_database(tmp_path / "executor.db", 3)
    done = upgrade(db)
    assert (3, NEWEST, (4, 5, 6, 7, 8, 9), False) == (
        done.from_version,
        done.to_version,
        done.applied,
        done.completed,
    )

    with closing(sqlite3.connect(db)) as connection:
        connection.execute("DROP INDEX idx_executions_run_id")
    done = upgrade(db)
    assert (NEWEST, NEWEST, (), True) == (done.from_version, done.to_version, done.applied, done.completed)

    assert not upgrade(db).completed


def test_opening_and_creating_import_no_sqlalchemy(tmp_path: Path) -> None:
    """A fresh database is made, a current one opened and looked at, without SQLAlchemy and alembic, and without
    a word on stdout."""
    program = (
        "import sys; from executor import migrations as m; db = sys.argv[1]\n"
        "m.open_current(db).close(); m.open_current(db).close(); m.run_migrations(db); m.status(db)\n"
        "assert not {'sqlalchemy', 'alembic'} & sys.modules.keys()\n"
        "import executor.migrations.schema_text, executor.schema\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "executor.db")],
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )

    assert (0, b"", b"") == (done.returncode, done.stdout, done.stderr)
