"""Makes the committed descriptions of the newest schema from the tables of `executor.schema`.

`python -m executor.migrations.schema_text --write` writes `schema_sqlite.sql` and `schema_postgresql.sql`,
which new databases are made from, and `layout.py`, which an existing one is compared with; `--check` says
whether they are current.
"""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy.dialects import postgresql as postgresql_dialects
from sqlalchemy.dialects import sqlite as sqlite_dialects
from sqlalchemy.schema import CreateIndex, CreateTable

from executor.migrations import MIGRATIONS, postgresql, sqlite
from executor.migrations.dialect import Dialect
from executor.migrations.runner import schema_statements
from executor.migrations.sqlite import rows
from executor.schema import KEY, metadata

LAYOUT: Final = Path(__file__).with_name("layout.py")

_SQL_HEADER: Final = """\
-- What a new database is made from. Generated: python -m executor.migrations.schema_text --write

"""
_LAYOUT_HEADER: Final = '''\
"""What a database of the newest version holds, as SQLite tells it.

Generated: python -m executor.migrations.schema_text --write
"""

# ruff: noqa: E501
# fmt: off
from typing import Final

'''


def generated_files() -> dict[Path, str]:
    """Each committed file with the text it should have."""
    schema = schema_text(sqlite, sqlite_dialects.dialect)
    return {
        sqlite.SCHEMA_TEXT: schema,
        postgresql.SCHEMA_TEXT: schema_text(postgresql, postgresql_dialects.dialect),
        LAYOUT: layout_text(schema),
    }


def schema_text(brand: Dialect, dialect: Any) -> str:
    statements = [brand.CREATE_LEDGER]
    # Tables as they are declared, which is the order of the versions.
    for table in metadata.tables.values():
        statements.append(str(CreateTable(table).compile(dialect=dialect())))
        indexes = sorted(table.indexes, key=lambda index: str(index.name))
        statements.extend(str(CreateIndex(index).compile(dialect=dialect())) for index in indexes)
    return _SQL_HEADER + "\n\n".join(f"{_tidy(statement)};" for statement in statements) + "\n"


def _tidy(statement: str) -> str:
    lines = statement.strip().replace("\t", "    ").splitlines()
    return "\n".join(line.rstrip() for line in lines).replace(")\n WITHOUT ROWID", ") WITHOUT ROWID")


def layout_text(schema: str) -> str:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    try:
        for statement in schema_statements(schema):
            connection.execute(statement)
        return _LAYOUT_HEADER + "\n".join(_layout_lines(connection)) + "\n"
    finally:
        connection.close()


def _layout_lines(connection: sqlite3.Connection) -> Iterable[str]:
    objects = rows(
        connection,
        "SELECT type, name, tbl_name, sql FROM sqlite_master"
        " WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite^_%' ESCAPE '^' ORDER BY rowid",
    )
    yield f"VERSION: Final = {MIGRATIONS[-1].version}"
    yield "\nOBJECTS: Final[dict[str, str]] = {"
    yield from (f'    "{name}": """{sql}""",' for _, name, _, sql in objects)
    yield "}\n\nTABLES: Final[dict[str, tuple[str, ...]]] = {"
    for kind, name, _, _ in objects:
        if kind == "table":
            yield f'    "{name}": ('
            columns = rows(connection, "SELECT name FROM pragma_table_info(?) ORDER BY cid", name)
            yield from (f'        "{column}",' for (column,) in columns)
            yield "    ),"
    yield "}\n\n# Ids, times and keys, which sort by bytes on every engine."
    yield "SORTED_BY_BYTES: Final[dict[str, tuple[str, ...]]] = {"
    for table in metadata.tables.values():
        keys = "".join(f'"{column.name}", ' for column in table.columns if column.type is KEY)
        yield f'    "{table.name}": ({keys.rstrip()}),'
    yield "}\n\n# The table and the columns of each index."
    yield "INDEXES: Final[dict[str, tuple[str, tuple[str, ...]]]] = {"
    for kind, name, table, _ in objects:
        if kind == "index":
            columns = rows(connection, "SELECT name FROM pragma_index_info(?) ORDER BY seqno", name)
            listed = "".join(f'"{column}", ' for (column,) in columns)
            yield f'    "{name}": ("{table}", ({listed.rstrip()})),'
    yield "}"


def main(arguments: Sequence[str]) -> int:
    if list(arguments) not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python -m executor.migrations.schema_text --write|--check\n")
        return 2
    outdated = [path for path, text in generated_files().items() if path.read_text("utf-8") != text]
    if arguments[0] == "--check":
        sys.stderr.writelines(f"not current: {path}\n" for path in outdated)
        return 1 if outdated else 0
    for path in outdated:
        path.write_text(generated_files()[path], "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
