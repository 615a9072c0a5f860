"""Writes the kept database of a schema version: `python tests/assets/schema/build.py VERSION`.

To be run once, when a version is added; a kept database of a released version never changes. It is the
one of the version before, upgraded, with a row in everything the version added. Values are written so that
every byte comes back: texts with control characters or invalid UTF-8 as hexadecimal.
"""

import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from executor.migrations import run_migrations

HERE = Path(__file__).parent

# What each version has that the one before has not, in use.
ROWS = {
    1: """
    UPDATE executions SET correlation_id = 'exec_plain', trigger_kind = 'manual' WHERE execution_id = 'exec_plain';
    INSERT INTO executions (execution_id, plan_id, changeset_id, decision_id, checksum, verdict, status,
      started_at, created_at, correlation_id, parent_execution_id, trigger_kind, run_id)
    VALUES ('exec_retry', 'p', 'c', 'd', 'sum', 'allow', 'completed', '2025-05-01T00:00:00.000000Z',
      '2025-05-01 00:00:00', 'exec_plain', 'exec_plain', 'retry', 'ci/17');
    """,
    2: """
    UPDATE executions SET workspace_id = 'ws_1', title = 'Größe ändern', actor = 'ci:build', attempt = 2,
      error_code = 'E1', base_commit = 'c0ffee', branch = 'main', session = 's1'
    WHERE execution_id = 'exec_retry';
    """,
    3: """
    INSERT INTO execution_events (correlation_id, execution_id, seq, position, event, timestamp)
    VALUES ('exec_plain', 'exec_retry', 1, 1, 'execution_start', '2025-05-01T00:00:00.000000Z');
    INSERT INTO execution_links VALUES ('exec_retry', 'reverts', 'exec_plain', 'exec_plain');
    """,
    4: """
    INSERT INTO plans VALUES ('p', 'exec_plain', '{}', '2025-05-01T00:00:00.000000Z');
    INSERT INTO changesets VALUES ('c', 'exec_plain', 'sum', '{}', '2025-05-01T00:00:00.000000Z');
    INSERT INTO decisions VALUES ('d', 'exec_plain', '{}', '2025-05-01T00:00:00.000000Z');
    INSERT INTO contents VALUES ('00ff', 'exec_plain', X'00FF');
    INSERT INTO workspaces VALUES ('ws_1', 'host', '/srv/project', '2025-05-01T00:00:00.000000Z');
    """,
    5: "",
    6: """
    INSERT INTO approvals VALUES ('exec_retry', 'exec_plain', 'appr_1', 'sum', '{}', '2025-05-01T00:00:00.000000Z',
      '2025-05-02T00:00:00.000000Z');
    """,
    7: """
    INSERT INTO test_results VALUES ('exec_plain', 'exec_retry', 1, 'tests/test_size.py::test_größe', 'failed', 0.25,
      'AssertionError', 'assert 1 == 2', 'tests/test_size.py', 7);
    INSERT INTO execution_links VALUES ('exec_retry', 'commit', 'c0ffee', 'exec_plain');
    """,
    8: """
    INSERT INTO tokens VALUES ('tok_1', 'token', 'ci', 'read run', '5ec2e7', '2025-05-01T00:00:00.000000Z', NULL, NULL);
    """,
    9: """
    INSERT INTO step_logs VALUES ('exec_plain', 'exec_retry', 'steps/04-verify.log', 4, 11, 0,
      '2025-05-01T00:00:00.000000Z', X'789c73533054484bcccc494de1020011d40327');
    """,
}


def build(version: int) -> str:
    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        connection.executescript((HERE / f"version_{version - 1}.sql").read_text("utf-8"))
        run_migrations(connection, version)
        connection.executescript(ROWS[version])
        connection.execute("UPDATE schema_migrations SET applied_at = '2025-05-0' || version || ' 12:00:00'")
        return "".join(f"{statement};\n" for statement in dump(connection))


def dump(connection: sqlite3.Connection) -> list[str]:
    connection.text_factory = bytes
    objects = [
        (kind.decode(), name.decode(), sql.decode())
        for kind, name, sql in connection.execute(
            "SELECT type, name, sql FROM sqlite_master"
            " WHERE sql IS NOT NULL AND name <> 'sqlite_sequence' ORDER BY rowid"
        )
    ]
    statements = []
    for kind, name, sql in objects:
        statements.append("\n".join(line.rstrip() for line in sql.rstrip().splitlines()))
        if kind == "table":
            statements += [f"INSERT INTO {name}{values}" for values in rows_of(connection, name)]
    ((step_id,),) = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'execution_steps'")
    statements.append(f"UPDATE sqlite_sequence SET seq = {step_id} WHERE name = 'execution_steps'")
    return statements


def rows_of(connection: sqlite3.Connection, table: str) -> list[str]:
    columns = [row[1].decode() for row in connection.execute(f"PRAGMA table_info({table})")]
    # Rowids count, too, where there are any.
    has_rowid = not connection.execute(
        "SELECT wr FROM pragma_table_list WHERE name = ? AND schema = 'main'", (table,)
    ).fetchone()[0]
    if has_rowid and not any(
        row[2] == b"INTEGER" and row[5] for row in connection.execute(f"PRAGMA table_info({table})")
    ):
        columns.insert(0, "rowid")
    parts = ", ".join(f"typeof({column}), {column}" for column in columns)
    found = connection.execute(f"SELECT {parts} FROM {table}").fetchall()
    return [
        f" ({', '.join(columns)}) VALUES ({', '.join(map(literal, row[::2], row[1::2]))})" for row in found
    ]


def literal(kind: bytes, value: Any) -> str:
    if kind == b"null":
        return "NULL"
    if kind == b"blob":
        return f"X'{value.hex()}'"
    if kind == b"text":
        try:
            text = value.decode("ascii")
        except UnicodeDecodeError:
            text = "\0"
        return (
            f"CAST(X'{value.hex()}' AS TEXT)"
            if not text.isprintable()
            else "'" + text.replace("'", "''") + "'"
        )
    return repr(value)


if __name__ == "__main__":
    version = int(sys.argv[1])
    (HERE / f"version_{version}.sql").write_text(build(version), "utf-8")
