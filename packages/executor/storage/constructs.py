"""The few things SQLAlchemy Core cannot say, and how each engine says them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BindParameter, Boolean, ColumnElement, FromClause, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import True_
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import Join


class CrossJoin(Join):
    """`left CROSS JOIN right`; conditions go into WHERE.

    SQLite keeps the order of the two as written, PostgreSQL is free to choose. Without it a SQLite that
    has ANALYZE statistics may walk a whole table on the left of a recursive step.
    """

    inherit_cache = True

    def __init__(self, left: FromClause, right: FromClause) -> None:
        super().__init__(left, right, onclause=True_())


@compiles(CrossJoin)
def _cross_join(join: CrossJoin, compiler: SQLCompiler, **kw: Any) -> str:
    kw["asfrom"] = True
    return f"{compiler.process(join.left, **kw)} CROSS JOIN {compiler.process(join.right, **kw)}"


class LookupJoin(Join):
    """For each row of `left` the rows of a table that the condition finds through an index.

    In the order of writing on both engines. PostgreSQL takes the working table of a recursion for ten times
    as long as what it began with, and would rather hash it and read the whole table at every step, for each
    execution that is asked about. OFFSET keeps it from looking into the parentheses.
    """

    inherit_cache = True

    def __init__(self, left: FromClause, right: FromClause, condition: ColumnElement[bool]) -> None:
        super().__init__(left, right, onclause=condition)


@compiles(LookupJoin, "sqlite")
def _lookup_join_sqlite(join: LookupJoin, compiler: SQLCompiler, **kw: Any) -> str:
    left, right, condition = _parts(join, compiler, kw)
    return f"{left} CROSS JOIN {right} ON {condition}"


@compiles(LookupJoin, "postgresql")
def _lookup_join_postgresql(join: LookupJoin, compiler: SQLCompiler, **kw: Any) -> str:
    left, right, condition = _parts(join, compiler, kw)
    name = right.rpartition(" ")[2]
    return f"{left} CROSS JOIN LATERAL (SELECT {name}.* FROM {right} WHERE {condition} OFFSET 0) AS {name}"


def _parts(join: Join, compiler: SQLCompiler, kw: dict[str, Any]) -> tuple[str, str, str]:
    left, right = (compiler.process(side, **{**kw, "asfrom": True}) for side in (join.left, join.right))
    assert join.onclause is not None
    return left, right, compiler.process(join.onclause, **{**kw, "asfrom": False})


class OneOf(ColumnElement[bool]):
    """`column` equals any text of one parameter: a JSON list on SQLite, an array on PostgreSQL.

    Core's own IN expands to as many parameters as there are values, which a statement compiled ahead
    cannot do.
    """

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], values: BindParameter[str], negated: bool = False) -> None:
        self.column, self.values, self.negated = column, values, negated

    def self_group(self, against: Any = None) -> ColumnElement[bool]:
        return self


@compiles(OneOf, "sqlite")
def _one_of_sqlite(clause: OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(clause.column, **kw), compiler.process(clause.values, **kw)
    return f"{column} {'NOT IN' if clause.negated else 'IN'} (SELECT value FROM json_each({values}))"


@compiles(OneOf, "postgresql")
def _one_of_postgresql(clause: OneOf, compiler: SQLCompiler, **kw: Any) -> str:
    column, values = compiler.process(clause.column, **kw), compiler.process(clause.values, **kw)
    return f"{column} {'<> ALL' if clause.negated else '= ANY'}({values}::TEXT[])"


class EndsWith(ColumnElement[bool]):
    """The last characters of `column` are `ending`, letter by letter."""

    inherit_cache = True

    def __init__(self, column: ColumnElement[Any], ending: BindParameter[str]) -> None:
        self.column, self.ending = column, ending

    def self_group(self, against: Any = None) -> ColumnElement[bool]:
        return self


@compiles(EndsWith, "sqlite")
def _ends_with_sqlite(clause: EndsWith, compiler: SQLCompiler, **kw: Any) -> str:
    column, ending = compiler.process(clause.column, **kw), compiler.process(clause.ending, **kw)
    again = compiler.process(clause.ending, **kw)
    return f"substr({column}, -length({ending})) = {again}"


@compiles(EndsWith, "postgresql")
def _ends_with_postgresql(clause: EndsWith, compiler: SQLCompiler, **kw: Any) -> str:
    column, ending = compiler.process(clause.column, **kw), compiler.process(clause.ending, **kw)
    again = compiler.process(clause.ending, **kw)
    return f"right({column}, length({ending})) = {again}"


class Bytewise(FunctionElement[str]):
    """A text that is no column, in the first row of a recursion.

    PostgreSQL wants the type and the collation of the rows that follow. SQLite has one of each.
    """

    inherit_cache = True
    type = Text()

    def __init__(self, text: ColumnElement[str]) -> None:
        super().__init__(text)


@compiles(Bytewise)
def _bytewise(text: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(text.clause_expr.element, **kw)


@compiles(Bytewise, "postgresql")
def _bytewise_postgresql(text: Bytewise, compiler: SQLCompiler, **kw: Any) -> str:
    return f'CAST({compiler.process(text.clause_expr.element, **kw)} AS TEXT) COLLATE "C"'


class RowKey(FunctionElement[str]):
    """What finds a row again quickest within one statement: its place on SQLite, its id elsewhere."""

    inherit_cache = True
    type = Text()

    def __init__(self, rows: FromClause) -> None:
        super().__init__(rows.c.execution_id)


@compiles(RowKey, "sqlite")
def _row_key_sqlite(key: RowKey, compiler: SQLCompiler, **kw: Any) -> str:
    rows, _, _ = compiler.process(key.clause_expr.element, **kw).rpartition(".")
    return f"{rows}.rowid"


@compiles(RowKey)
def _row_key(key: RowKey, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(key.clause_expr.element, **kw)


class Truth(FunctionElement[bool]):
    """Whether a number that stands for a truth value is there and not 0.

    As the engine answers soonest: SQLite has no truth values, so there it stays the number.
    """

    inherit_cache = True
    type = Boolean()

    def __init__(self, number: ColumnElement[int]) -> None:
        super().__init__(number)


@compiles(Truth, "sqlite")
def _truth_sqlite(truth: Truth, compiler: SQLCompiler, **kw: Any) -> str:
    return compiler.process(truth.clause_expr.element, **kw)


@compiles(Truth)
def _truth(truth: Truth, compiler: SQLCompiler, **kw: Any) -> str:
    return f"coalesce({compiler.process(truth.clause_expr.element, **kw)}, 0) <> 0"
