"""Upgrades that others left half done, without a transaction, are completed."""

import sqlite3
from collections.abc import Iterator
from contextlib import closing

import pytest

from executor.migrations import check, get_current_version, is_current, layout, run_migrations
from support.databases import NEWEST, assert_newest_schema, in_memory, ledger_of, old_columns, values_of

CHANGING = ("CREATE", "ALTER", "DROP", "INSERT", "UPDATE", "DELETE")


def statements_between(version: int, target: int) -> list[str]:
    """The statements of an upgrade that change the database."""
    seen: list[str] = []
    with closing(in_memory(version)) as connection:
        connection.set_trace_callback(seen.append)
        run_migrations(connection, target)
    return [sql for sql in seen if sql.lstrip().startswith(CHANGING)]


@pytest.mark.parametrize(("version", "target"), [*((v, v + 1) for v in range(NEWEST)), (0, NEWEST)])
def test_any_part_of_an_upgrade_is_completed(version: int, target: int) -> None:
    """Whatever number of an upgrade's statements has run, the next upgrade does the rest and keeps the rows."""
    statements = statements_between(version, target)
    assert len(statements) > target - version

    for length in range(len(statements) + 1):
        with closing(in_memory(version)) as connection:
            values = values_of(connection, old_columns(version))
            for sql in statements[:length]:
                connection.execute(sql)

            recorded = get_current_version(connection)
            assert NEWEST - recorded == run_migrations(connection), statements[:length]

            assert is_current(connection)
            assert_newest_schema(connection)
            assert values == values_of(connection, old_columns(version))


def damages() -> Iterator[str]:
    """Each table, column and index that was not in version 0, and each index of all, taken away."""
    for name, (table, columns) in layout.INDEXES.items():
        yield f"DROP INDEX {name};"
        other = next(column for column in reversed(layout.TABLES[table]) if (column,) != columns)
        yield f"DROP INDEX {name}; CREATE INDEX {name} ON {table} ({other});"
    old = old_columns()
    for table in layout.TABLES:
        if table not in old and table != "schema_migrations":
            yield f"DROP TABLE {table};"
    for column in layout.TABLES["executions"]:
        if column not in old["executions"]:
            on_it = [name for name, (_, columns) in layout.INDEXES.items() if column in columns]
            drops = "".join(f"DROP INDEX {name}; " for name in on_it)
            yield f"{drops}ALTER TABLE executions DROP COLUMN {column};"


@pytest.mark.parametrize("damage", list(damages()))
def test_a_recorded_version_that_lacks_something_is_completed(damage: str) -> None:
    """All versions are recorded, but a table, column or index is missing, or an index is on other columns:
    the check names it, the upgrade mends it, counts no step and leaves the records alone."""
    with closing(in_memory(NEWEST)) as connection:
        ledger = ledger_of(connection)
        connection.executescript(damage)

        assert not is_current(connection)
        assert any(found.harmful for found in check(connection))
        assert 0 == run_migrations(connection)

        assert is_current(connection)
        assert_newest_schema(connection)
        assert ledger == ledger_of(connection)


def test_a_database_that_lost_its_records_is_version_0() -> None:
    """Records alone decide: without them every step runs again, finds its work done and keeps the rows."""
    with closing(in_memory(NEWEST)) as connection:
        values = values_of(connection)
        connection.execute("DROP TABLE schema_migrations")

        assert 0 == get_current_version(connection)
        assert NEWEST == run_migrations(connection)

        assert is_current(connection)
        assert values == values_of(connection)


def test_a_version_1_with_shorter_indexes_is_completed() -> None:
    """A database whose version 1 indexed single columns gets the indexes of today."""
    with closing(in_memory(0)) as connection:
        connection.executescript(
            "CREATE TABLE schema_migrations (version INTEGER PRIMARY KEY, description TEXT NOT NULL,"
            " applied_at TEXT NOT NULL DEFAULT (datetime('now')));"
            "INSERT INTO schema_migrations VALUES (1, 'graph', '2025-01-01 00:00:00');"
            "ALTER TABLE executions ADD COLUMN correlation_id TEXT;"
            "CREATE INDEX idx_executions_correlation_id ON executions(correlation_id);"
        )

        assert NEWEST - 1 == run_migrations(connection)

        assert is_current(connection)
        assert (1, "graph", "2025-01-01 00:00:00") == ledger_of(connection)[0]


def test_a_version_missing_in_the_records_is_applied() -> None:
    """A gap in the records counts as pending."""
    with closing(in_memory(NEWEST)) as connection:
        connection.execute("DELETE FROM schema_migrations WHERE version = 3")

        assert ["missing_version"] == [found.kind for found in check(connection) if found.harmful][:1]
        assert not is_current(connection)
        assert 1 == run_migrations(connection)
        assert is_current(connection)


def test_another_order_of_columns_and_more_of_them_do_not_matter() -> None:
    """Columns of the user's in our tables are left alone and need no upgrade."""
    with closing(sqlite3.connect(":memory:")) as connection:
        run_migrations(connection, 0)
        connection.execute("ALTER TABLE executions ADD COLUMN my_note TEXT DEFAULT 'x'")
        run_migrations(connection)

        assert is_current(connection)
        assert ["extra_column"] == [found.kind for found in check(connection)]
        assert not any(found.harmful for found in check(connection))
