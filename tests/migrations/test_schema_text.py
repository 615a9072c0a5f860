"""The committed descriptions of the newest schema are current."""

from pathlib import Path

import pytest

from executor.migrations import MIGRATIONS, layout
from executor.migrations.schema_text import generated_files, main
from executor.schema import metadata


@pytest.mark.parametrize("path", sorted(generated_files()), ids=lambda path: path.name)
def test_the_committed_file_is_what_the_tables_make(path: Path) -> None:
    """`make generate` would change nothing."""
    assert generated_files()[path] == path.read_text("utf-8")
    assert 0 == main(["--check"])


def test_the_layout_names_every_table_column_and_index() -> None:
    """What an opened database is compared with is the whole of `executor.schema.metadata`."""
    tables = {
        table.name: tuple(column.name for column in table.columns) for table in metadata.tables.values()
    }
    indexes = {str(index.name) for table in metadata.tables.values() for index in table.indexes}

    assert tables == {name: columns for name, columns in layout.TABLES.items() if name != "schema_migrations"}
    assert indexes == layout.INDEXES.keys()
    assert {"schema_migrations", *tables, *indexes} == layout.OBJECTS.keys()
    assert MIGRATIONS[-1].version == layout.VERSION
