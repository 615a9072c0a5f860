"""The tables can be distributed by correlation: rules that hold from the start, over tables and statements."""

import re
from typing import Final

import pytest
from sqlalchemy import ForeignKeyConstraint, PrimaryKeyConstraint, Table, UniqueConstraint

from executor.migrations.runner import schema_statements
from executor.schema import metadata
from executor.storage.compile import compile_all

TABLES: Final = list(metadata.tables.values())

# As version 0 made them: once distributed, `execution_ids(execution_id PRIMARY KEY, correlation_id)` gives their
# uniqueness.
OF_VERSION_0: Final = {"executions", "execution_steps"}
# The same on every node.
REFERENCE: Final = {"workspaces", "tokens", "schema_migrations"}
DISTRIBUTED: Final = [t for t in TABLES if t.name not in REFERENCE | OF_VERSION_0]

STATEMENTS: Final = compile_all("postgresql")
TEXTS: Final = sorted(STATEMENTS)


@pytest.mark.parametrize("table", DISTRIBUTED, ids=lambda table: table.name)
def test_whatever_is_unique_includes_the_correlation(table: Table) -> None:
    unique = [c for c in table.constraints if isinstance(c, PrimaryKeyConstraint | UniqueConstraint)]

    assert not table.columns["correlation_id"].nullable
    for constraint in unique:
        assert "correlation_id" in constraint.columns, constraint.name
    for index in table.indexes:
        assert not index.unique or "correlation_id" in index.columns, index.name


def test_references_stay_within_the_tables_of_version_0() -> None:
    for table in TABLES:
        for constraint in table.constraints:
            if isinstance(constraint, ForeignKeyConstraint):
                assert {table.name, constraint.referred_table.name} <= OF_VERSION_0, table.name


def test_every_table_can_be_placed() -> None:
    """By its correlation, as a reference on every node, or with the executions it belongs to."""
    for table in TABLES:
        placed = "correlation_id" in table.columns or table.name in REFERENCE | OF_VERSION_0

        assert placed, table.name


@pytest.mark.parametrize("name", TEXTS)
def test_a_statement_is_one_that_many_nodes_can_run(name: str) -> None:
    text = STATEMENTS[name].text
    code = re.sub(r"'[^']*'", "''", text).upper()

    assert ";" not in code
    assert "SKIP LOCKED" not in code
    # A condition of ON CONFLICT that calls something is run by no node but the first.
    conflict = re.search(r"ON CONFLICT.*", code)
    if conflict is not None:
        assert not re.search(r"WHERE.*\w\(", conflict[0]), text


@pytest.mark.parametrize("name", [name for name in TEXTS if STATEMENTS[name].text.startswith("INSERT")])
def test_an_insert_names_its_correlation(name: str) -> None:
    """A node cannot be chosen for a row without it."""
    text = STATEMENTS[name].text
    table = text.split()[2]

    if table not in REFERENCE and table != "execution_steps":
        columns = text[text.index("(") : text.index(")")]
        assert "correlation_id" in columns, text


def test_the_schema_has_no_triggers_and_no_functions() -> None:
    from executor.migrations.postgresql import SCHEMA_TEXT

    for statement in schema_statements(SCHEMA_TEXT.read_text("utf-8")):
        assert not re.search(r"CREATE\s+(TRIGGER|FUNCTION|PROCEDURE|RULE)", statement, re.IGNORECASE), (
            statement
        )


def test_a_transaction_begins_with_one_statement_at_a_time() -> None:
    from executor.storage.postgresql import _BEGIN_READING, _BEGIN_WRITING, NUMBERING, _settings_of

    for durability in ("normal", "full"):
        assert ";" not in _settings_of(durability, 30.0)
    for statement in (_BEGIN_READING, _BEGIN_WRITING, NUMBERING):
        assert ";" not in statement
