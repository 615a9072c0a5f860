"""PostgreSQL's answers to what migrations ask: see `executor.migrations.dialect`.

Our tables lie in the first schema of the connection's search path.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.errors import DatabaseUnavailable, ExecutorError, InvalidInput, TryAgain
from executor.migrations import layout
from executor.migrations.dialect import MIGRATION_WAIT_SECONDS, Column, Difference, Index, Layout
from executor.migrations.server import database_error, driver, is_pooled, pooler_error
from executor.migrations.server import name_of as name_of
from executor.migrations.server import translating as translating

if TYPE_CHECKING:
    import psycopg
    from alembic.operations import Operations
    from sqlalchemy import Column as DeclaredColumn

    ServerConnection = psycopg.Connection[Any]

SCHEMA_TEXT: Final = Path(__file__).with_name("schema_postgresql.sql")

CREATE_LEDGER: Final = """\
CREATE TABLE IF NOT EXISTS schema_migrations (
    version INTEGER PRIMARY KEY,
    description TEXT NOT NULL,
    applied_at TEXT COLLATE "C" NOT NULL DEFAULT to_char(timezone('UTC', now()), 'YYYY-MM-DD HH24:MI:SS')
)"""

# One lock of a database for everybody who changes its schema: the letters of "executor".
_LOCK: Final = int.from_bytes(b"executor")

# While a migration waits for a table, everybody who comes later waits behind it. So it waits briefly, lets
# the others through and tries again.
_TABLE_LOCK_MILLISECONDS: Final = 500
_SHORTEST_PAUSE: Final = 0.02
_LONGEST_PAUSE: Final = 0.5

# What an administrator allows everybody is too short for work on whole tables. Older servers know fewer of these.
UNHURRIED: Final = """\
SELECT set_config(name, '0', true) FROM pg_settings
WHERE name IN ('statement_timeout', 'idle_in_transaction_session_timeout', 'transaction_timeout')"""

# While indexes are built: no time-out, which would end the work each time anew; and a server that works for
# a client which has died notices.
_WHILE_BUILDING: Final = {
    "statement_timeout": "0",
    "lock_timeout": "0",
    "transaction_timeout": "0",
    "idle_in_transaction_session_timeout": "0",
    "idle_session_timeout": "0",
    "client_connection_check_interval": "2000",
}

_ON_DELETE: Final = {
    "a": "NO ACTION",
    "r": "RESTRICT",
    "c": "CASCADE",
    "n": "SET NULL",
    "d": "SET DEFAULT",
}


def rows(connection: ServerConnection, sql: str, *values: Any) -> list[tuple[Any, ...]]:
    from psycopg.rows import tuple_row

    was_idle = _is_idle(connection)
    try:
        with connection.cursor(row_factory=tuple_row) as cursor:
            cursor.execute(sql.replace("?", "%s").encode(), values or None, prepare=False)
            return cursor.fetchall() if cursor.description else []
    finally:
        # The driver began a transaction for a connection without autocommit, for reading only.
        if was_idle and not connection.autocommit and not connection.closed:
            connection.rollback()


def _is_idle(connection: ServerConnection) -> bool:
    return connection.info.transaction_status.name == "IDLE"


def error_of(cause: BaseException, database: str) -> ExecutorError | None:
    return database_error(cause, database) if isinstance(cause, driver().Error) else None


# What is there.


def is_empty(connection: ServerConnection) -> bool:
    found = rows(
        connection,
        "SELECT 1 FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace"
        " WHERE n.nspname = current_schema() LIMIT 1",
    )
    return not found


def columns_of(connection: ServerConnection, table: str) -> list[str]:
    found = rows(
        connection,
        """SELECT a.attname::text FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relname = ? AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
        AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum""",
        table,
    )
    return [name for (name,) in found]


_INDEXES: Final = """SELECT i.relname::text, t.relname::text, x.indisvalid AND x.indisready, x.indisunique,
    x.indpred IS NOT NULL, array_agg(coalesce(a.attname::text, '(expression)') ORDER BY k.position),
    array_agg((x.indoption[k.position - 1] & 1) = 1 ORDER BY k.position)
FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid JOIN pg_class AS t ON t.oid = x.indrelid
JOIN pg_namespace AS n ON n.oid = i.relnamespace
CROSS JOIN LATERAL unnest(x.indkey::int2[]) WITH ORDINALITY AS k(attnum, position)
LEFT JOIN pg_attribute AS a ON a.attrelid = t.oid AND a.attnum = k.attnum AND k.attnum > 0
WHERE n.nspname = current_schema() AND k.position <= x.indnkeyatts AND {condition}
GROUP BY i.relname, t.relname, x.indexrelid ORDER BY i.relname"""

_ONE_INDEX: Final = _INDEXES.format(condition="i.relname = ?")
_OUR_INDEXES: Final = _INDEXES.format(condition="i.relname = ANY(?)")
_ALL_INDEXES: Final = _INDEXES.format(
    condition="t.relname <> 'schema_migrations'"
    " AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conindid = i.oid AND o.contype IN ('p', 'u', 'x'))"
)


def table_of_index(connection: ServerConnection, name: str) -> str | None:
    found = rows(connection, _ONE_INDEX, name)
    return found[0][1] if found else None


def columns_of_index(connection: ServerConnection, name: str) -> tuple[str, ...]:
    return next(
        (tuple(columns) for _, _, valid, _, _, columns, _ in rows(connection, _ONE_INDEX, name) if valid), ()
    )


def holds_ours(connection: ServerConnection) -> bool:
    tables = rows(
        connection,
        """SELECT c.relname::text, array_agg(a.attname::text),
            array_agg(a.attname::text) FILTER (WHERE a.attcollation = '"C"'::regcollation)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid
        WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname = ANY(?)
        AND a.attnum > 0 AND NOT a.attisdropped GROUP BY c.relname""",
        list(layout.TABLES),
    )
    if len(tables) < len(layout.TABLES):
        return False
    for table, columns, by_bytes in tables:
        keys = layout.SORTED_BY_BYTES.get(table, ())
        if not set(columns).issuperset(layout.TABLES[table]) or not set(by_bytes or ()).issuperset(keys):
            return False
    indexes = {
        name: (table, tuple(columns))
        for name, table, valid, _, _, columns, _ in rows(connection, _OUR_INDEXES, list(layout.INDEXES))
        if valid
    }
    return indexes == layout.INDEXES


def fingerprint(connection: ServerConnection) -> object:
    return read_layout(connection)


def read_layout(connection: ServerConnection) -> Layout:
    columns = rows(
        connection,
        """SELECT c.relname::text, a.attname::text, upper(format_type(a.atttypid, a.atttypmod))
            || CASE WHEN a.attcollation NOT IN (0, t.typcollation) THEN ' COLLATE "' || l.collname || '"' ELSE '' END,
            a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
            coalesce(array_position(p.conkey, a.attnum), 0)
        FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        JOIN pg_type AS t ON t.oid = a.atttypid
        LEFT JOIN pg_collation AS l ON l.oid = a.attcollation
        LEFT JOIN pg_attrdef AS d ON d.adrelid = c.oid AND d.adnum = a.attnum
        LEFT JOIN pg_constraint AS p ON p.conrelid = c.oid AND p.contype = 'p'
        WHERE n.nspname = current_schema() AND c.relkind IN ('r', 'p') AND c.relname <> 'schema_migrations'
        ORDER BY c.relname, a.attnum""",
    )
    tables: dict[str, dict[str, Column]] = {}
    for table, name, kind, not_null, default, key_position in columns:
        tables.setdefault(table, {})[name] = Column(kind, not_null, _plain_default(default), key_position)
    indexes = {
        name: Index(
            table,
            tuple(
                f"{column} DESC" if down else column for column, down in zip(named, descending, strict=True)
            ),
            unique,
            partial,
        )
        for name, table, valid, unique, partial, named, descending in rows(connection, _ALL_INDEXES)
        if valid
    }
    keys = rows(
        connection,
        """SELECT c.relname::text, a.attname::text, f.relname::text, b.attname::text, o.confdeltype::text
        FROM pg_constraint AS o JOIN pg_class AS c ON c.oid = o.conrelid JOIN pg_class AS f ON f.oid = o.confrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        CROSS JOIN LATERAL unnest(o.conkey, o.confkey) AS k(here, there)
        JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum = k.here
        JOIN pg_attribute AS b ON b.attrelid = f.oid AND b.attnum = k.there
        WHERE n.nspname = current_schema() AND o.contype = 'f'""",
    )
    foreign_keys = frozenset((*key[:4], _ON_DELETE[key[4]]) for key in keys)
    return Layout(tables, indexes, foreign_keys)


def _plain_default(default: str | None) -> str | None:
    """Without the casts that the server writes in; a sequence without its name."""
    if default is None or default.startswith("nextval("):
        return default and "nextval"
    return default.replace("::text", "").replace("::character varying", "")


def layout_of_version(version: int) -> Layout:
    """Tables, columns and indexes of SQLite's layout, columns defined as PostgreSQL defines them."""
    from executor.migrations import sqlite
    from executor.schema import metadata

    names = sqlite.layout_of_version(version)
    tables = {
        table: {name: _definition(metadata.tables[table].columns[name]) for name in columns}
        for table, columns in names.tables.items()
    }
    return Layout(tables, names.indexes, names.foreign_keys)


def _definition(column: DeclaredColumn[Any]) -> Column:
    from sqlalchemy.dialects import postgresql

    dialect: Any = postgresql.dialect  # has no types
    keys = [key.name for key in column.table.primary_key]
    key_position = keys.index(column.name) + 1 if column.name in keys else 0
    kind = column.type.compile(dialect()).replace("FLOAT", "DOUBLE PRECISION")
    default: str | None = None
    if column.server_default is not None:
        expression: Any = column.server_default
        default = str(expression.arg.compile(dialect=dialect()))
    elif column is column.table.autoincrement_column:
        default = "nextval"
    return Column(kind, key_position > 0 or not column.nullable, default, key_position)


def damages(connection: ServerConnection) -> Iterator[Difference]:
    for name, _, valid, *_ in rows(connection, _OUR_INDEXES, list(layout.INDEXES)):
        if not valid:
            message = f"the index {name} was not built to the end and is not used"
            yield Difference("invalid_index", name, message)


# Being changed.


class _Parts:
    """The transaction of a migration, which may be committed and begun anew in between.

    A lock of the session, held from the beginning to the end, keeps others from migrating meanwhile. The
    transaction takes the same lock for itself: that holds where the session's is missing, behind a pooler.
    """

    def __init__(self, connection: ServerConnection, database: str, deadline: float, pooled: bool) -> None:
        self._connection, self._database = connection, database
        self._deadline, self._pooled = deadline, pooled

    def begin(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._begun():
            _wait(self._database, self._deadline, pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _begun(self) -> bool:
        """Begins with all our tables locked, or not at all when somebody else is at work in them."""
        connection = self._connection
        rows(connection, "BEGIN ISOLATION LEVEL READ COMMITTED")
        try:
            rows(connection, UNHURRIED)
            rows(connection, f"SET LOCAL lock_timeout = {_TABLE_LOCK_MILLISECONDS}")
            if rows(connection, "SELECT pg_try_advisory_xact_lock(?)", _LOCK) == [(True,)]:
                # The ledger only grows by rows, and everybody reads it.
                ours = [table for table in layout.TABLES if table != "schema_migrations"]
                present = [table for table in ours if columns_of(connection, table)]
                if present:
                    rows(connection, f"LOCK TABLE {', '.join(present)} IN ACCESS EXCLUSIVE MODE")
                return True
        except driver().errors.LockNotAvailable:
            pass
        except BaseException:
            _roll_back(connection)
            raise
        _roll_back(connection)
        return False

    @contextmanager
    def outside(self) -> Iterator[Operations]:
        if self._pooled:
            raise pooler_error(self._database, "building an index while others read and write")
        rows(self._connection, "COMMIT")
        with _patient(self._connection), operations(self._connection) as op:
            yield op
        self.begin()


@contextmanager
def exclusive(
    connection: ServerConnection, database: str, wait: float = MIGRATION_WAIT_SECONDS
) -> Iterator[_Parts]:
    """What the block does is committed at its end, or when a step goes outside the transaction."""
    if not _is_idle(connection):
        raise InvalidInput(
            f"{database}: the connection has an open transaction; commit or roll it back first"
        )
    deadline = time.monotonic() + wait
    with _settings_for_migrating(connection), translating(database):
        _refuse_read_only(connection, database)
        _refuse_encoding(connection, database)
        pooled = is_pooled(connection)
        with _migrating_alone(connection, database, deadline, pooled):
            transaction = _Parts(connection, database, deadline, pooled)
            transaction.begin()
            try:
                yield transaction
                rows(connection, "COMMIT")
            except BaseException:
                _roll_back(connection)
                raise


def _roll_back(connection: ServerConnection) -> None:
    if not connection.closed and not _is_idle(connection):
        rows(connection, "ROLLBACK")


@contextmanager
def _settings_for_migrating(connection: ServerConnection) -> Iterator[None]:
    autocommit, threshold = connection.autocommit, connection.prepare_threshold
    connection.autocommit = True
    # Statements change their meaning while the schema changes.
    connection.prepare_threshold = None
    try:
        yield
    finally:
        connection.prepare_threshold = threshold
        if not connection.closed:
            connection.autocommit = autocommit


def _refuse_read_only(connection: ServerConnection, database: str) -> None:
    if rows(connection, "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'") == [
        (True,)
    ]:
        raise DatabaseUnavailable(
            f"{database} is read-only; name the primary server, or switch default_transaction_read_only off"
        )


def _refuse_encoding(connection: ServerConnection, database: str) -> None:
    """No new database of ours where text could not be kept as it is; an old one stays usable."""
    ((encoding,),) = rows(connection, "SELECT current_setting('server_encoding')")
    if encoding not in ("UTF8", "SQL_ASCII") and not columns_of(connection, "executions"):
        raise DatabaseUnavailable(
            f"{database} is encoded in {encoding}, which cannot hold all text; make one in UTF8: "
            "createdb --template=template0 --encoding=UTF8"
        )


@contextmanager
def _migrating_alone(
    connection: ServerConnection, database: str, deadline: float, pooled: bool
) -> Iterator[None]:
    """Asks again and again, with no transaction open: one that waits would keep an index from being built.

    Does nothing behind a pooler, where the lock would stay with a connection nobody finds again.
    """
    if pooled:
        yield
        return
    pause = _SHORTEST_PAUSE
    while rows(connection, "SELECT pg_try_advisory_lock(?)", _LOCK) != [(True,)]:
        _wait(database, deadline, pause)
        pause = min(1.5 * pause, _LONGEST_PAUSE)
    try:
        yield
    finally:
        if not connection.closed:
            rows(connection, "SELECT pg_advisory_unlock(?)", _LOCK)


def _wait(database: str, deadline: float, pause: float) -> None:
    if time.monotonic() >= deadline:
        raise TryAgain(
            f"{database} is busy: another process upgrades it, or a long transaction uses its tables; try again"
        )
    time.sleep(pause)


@contextmanager
def _patient(connection: ServerConnection) -> Iterator[None]:
    """No time-outs for long work, and no long work for a client that has died."""
    before = rows(connection, "SELECT name, setting FROM pg_settings WHERE name = ANY(?)", [*_WHILE_BUILDING])
    wanted = {name: _WHILE_BUILDING[name] for name, _ in before}
    try:
        _set(connection, wanted)
    except driver().errors.InvalidParameterValue:
        # A server on some systems cannot look after its client.
        _set(connection, {**wanted, "client_connection_check_interval": "0"})
    try:
        yield
    finally:
        if not connection.closed:
            _set(connection, dict(before))


def _set(connection: ServerConnection, settings: dict[str, str]) -> None:
    rows(
        connection,
        "SELECT set_config(name, value, false) FROM unnest(?::text[], ?::text[]) AS settings(name, value)",
        [*settings.keys()],
        [*settings.values()],
    )


@contextmanager
def operations(connection: ServerConnection) -> Iterator[Operations]:
    from alembic.operations import Operations
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import create_engine
    from sqlalchemy.pool import NullPool

    engine = create_engine(
        "postgresql+psycopg://",
        creator=lambda: _Borrowed(connection),
        poolclass=NullPool,
        use_native_hstore=False,
    )
    with engine.connect() as bind:
        yield Operations(MigrationContext.configure(bind, opts={"executor_connection": connection}))


class _Borrowed:
    """What SQLAlchemy sees of a connection it does not own: it runs statements and ends nothing."""

    def __init__(self, connection: ServerConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def cursor(self, *args: Any, **options: Any) -> Any:
        from psycopg.rows import tuple_row

        return self._connection.cursor(*args, **{"row_factory": tuple_row, **options})

    def add_notice_handler(self, handler: object) -> None:
        """Notices go to the owner."""

    def commit(self) -> None: ...

    def rollback(self) -> None: ...

    def close(self) -> None: ...


def must_defer_index(connection: ServerConnection, table: str) -> bool:
    """In a transaction it keeps writers out, and the transaction keeps readers out of what it altered."""
    return not _is_idle(connection) and rows(connection, f'SELECT EXISTS (SELECT FROM "{table}")') == [
        (True,)
    ]


def index_options(connection: ServerConnection) -> dict[str, Any]:
    return {"postgresql_concurrently": True} if _is_idle(connection) else {}


def adapt_columns(connection: ServerConnection, table: str, columns: Sequence[DeclaredColumn[Any]]) -> None:
    """Changes the collation in the catalogue; rows stay where they are. Indexes of ours on such columns are
    dropped first, to be built anew by the step: the server would build them while nobody can read.
    """
    wanted = [column.name for column in columns if getattr(_type_of(column), "collation", None) == "C"]
    found = rows(
        connection,
        """SELECT a.attname::text FROM pg_attribute AS a
        JOIN pg_class AS c ON c.oid = a.attrelid JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND c.relname = ? AND a.attname = ANY(?)
        AND a.atttypid IN ('text'::regtype, 'varchar'::regtype) AND a.attcollation <> '"C"'::regcollation
        AND a.attnum > 0 AND NOT a.attisdropped""",
        table,
        wanted,
    )
    names = {name for (name,) in found}
    if not names:
        return
    for index, (owner, indexed) in layout.INDEXES.items():
        if owner == table and names.intersection(indexed) and table_of_index(connection, index) == table:
            rows(connection, f"DROP INDEX {index}")
    changes = ", ".join(f'ALTER COLUMN "{name}" TYPE TEXT COLLATE "C"' for name in sorted(names))
    rows(connection, f'ALTER TABLE "{table}" {changes}')


def _type_of(column: DeclaredColumn[Any]) -> object:
    from sqlalchemy.dialects import postgresql

    dialect: Any = postgresql.dialect
    return column.type.dialect_impl(dialect())


# The user's own objects.


def own_objects(connection: ServerConnection, ours: Layout) -> list[tuple[str, str]]:
    """Indexes, triggers and constraints: what the server would drop together with a table or column. Views and
    functions that need one it does not let go.
    """
    found = rows(
        connection,
        """SELECT 'index', i.relname::text FROM pg_index AS x JOIN pg_class AS i ON i.oid = x.indexrelid
        JOIN pg_namespace AS n ON n.oid = i.relnamespace
        WHERE n.nspname = current_schema() AND NOT EXISTS (SELECT FROM pg_constraint AS o WHERE o.conindid = i.oid)
        UNION ALL
        SELECT 'trigger', t.tgname::text FROM pg_trigger AS t JOIN pg_class AS c ON c.oid = t.tgrelid
        JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = current_schema() AND NOT t.tgisinternal
        UNION ALL
        SELECT 'constraint', o.conname::text FROM pg_constraint AS o
        JOIN pg_namespace AS n ON n.oid = o.connamespace
        WHERE n.nspname = current_schema() AND o.contype IN ('c', 'f', 'u', 'x')
        ORDER BY 1, 2""",
    )
    return [(kind, name) for kind, name in found if name not in ours.indexes]


def broken(connection: ServerConnection, before: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    after = set(own_objects(connection, Layout({}, {})))
    for kind, name in before:
        if (kind, name) not in after:
            yield f"{kind} {name}", "its table or column would go"


def blocked_by(error: BaseException) -> tuple[str, str] | None:
    if not isinstance(error, driver().errors.DependentObjectsStillExist):
        return None
    detail = error.diag.message_detail or str(error)
    name, _, needed = detail.partition(" depends on ")
    return name, f"it depends on {needed}"
