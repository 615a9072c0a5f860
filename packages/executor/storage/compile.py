"""Turns the statements into text and positional parameters, ahead of time.

`python -m executor.storage.compile --write` writes the module of each engine, without `--write` it says
whether they are current. The store runs the result on the driver's own connections: building and
compiling statements at run time would cost several times what most of them take.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import BigInteger, ClauseElement, ColumnElement, bindparam, literal_column, select
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine.interfaces import Dialect
from sqlalchemy.sql.compiler import SQLCompiler

from executor.schema import executions, metadata
from executor.storage.statements import clauses, heads, statements

DIALECTS: Final[dict[str, Dialect]] = {
    "sqlite": sqlite.dialect(paramstyle="qmark"),
    "postgresql": postgresql.dialect(paramstyle="format"),  # type: ignore[no-untyped-call]
}
# The engines a module is committed for.
GENERATED: Final = ("sqlite", "postgresql")

# Run with many rows at once: for these the order of the parameters is said.
_MANY: Final = frozenset({"import_execution", "insert_event"})


class CannotCompile(Exception):
    """The statement would need work at run time that nobody does there."""


@dataclass(frozen=True)
class Parameter:
    """One place in the parameters: a name the caller gives a value for, or a constant."""

    name: str
    type: str = "str"
    constant: object = None
    is_constant: bool = False

    @property
    def source(self) -> str:
        return repr(self.constant) if self.is_constant else self.name


@dataclass(frozen=True)
class Query:
    """`text` with positional marks, and what stands at each of them."""

    text: str
    parameters: tuple[Parameter, ...]
    columns: tuple[str, ...] = ()

    @property
    def names(self) -> dict[str, str]:
        """Each named parameter once with its type, in order of appearance."""
        return {p.name: p.type for p in self.parameters if not p.is_constant}

    @property
    def order(self) -> tuple[str, ...]:
        """What stands at each place, by name."""
        return tuple(p.name for p in self.parameters)

    def bind(self, values: Mapping[str, Any]) -> tuple[Any, ...]:
        return tuple(p.constant if p.is_constant else values[p.name] for p in self.parameters)


_COLUMNS: Final = [column for table in metadata.tables.values() for column in table.c]
# A name that may be NULL wherever it occurs.
_NULLABLE: Final = {c.name for c in _COLUMNS if c.nullable} - {c.name for c in _COLUMNS if not c.nullable}


def compile_statement(statement: ClauseElement, dialect: Dialect) -> Query:
    """Raises CannotCompile for anything that would have to be expanded or computed at run time."""
    compiled = statement.compile(dialect=dialect)
    if not isinstance(compiled, SQLCompiler):
        raise CannotCompile(f"not a statement: {compiled}")
    if compiled.literal_execute_params or compiled.post_compile_params:
        raise CannotCompile(f"parameters are written into the text at run time: {compiled}")
    if compiled.insert_prefetch or compiled.update_prefetch:
        raise CannotCompile(f"defaults are computed in Python: {compiled}")
    parameters = tuple(_parameter(compiled, name) for name in compiled.positiontup or ())
    columns = tuple(str(entry.keyname) for entry in compiled._result_columns)
    return Query(str(compiled).replace("\n", " "), parameters, columns)


def compile_clause(clause: ColumnElement[bool], dialect: Dialect) -> Query:
    """A condition on `executions`, compiled where it will stand.

    By itself, a subquery in it would bring its own `executions` in place of meaning the row asked about.
    """
    around = "SELECT 1 FROM executions WHERE "
    query = compile_statement(select(literal_column("1")).select_from(executions).where(clause), dialect)
    text = query.text.replace("  ", " ", 2)
    if not text.startswith(around):
        raise CannotCompile(f"not a condition on executions: {query.text}")
    return Query(text.removeprefix(around), query.parameters)


def _parameter(compiled: SQLCompiler, name: str) -> Parameter:
    bind = compiled.binds[name]
    if bind.required:
        kind = bind.type.python_type.__name__
        optional = bind.key in _NULLABLE
        return Parameter(bind.key, f"{kind} | None" if optional else kind)
    if not isinstance(bind.value, int | str):
        raise CannotCompile(f"the constant {bind.value!r} is no text and no whole number: {compiled}")
    return Parameter(name, constant=bind.value, is_constant=True)


def compile_all(engine: str) -> dict[str, Query]:
    """Statements, heads and clauses of one engine under the names of its module."""
    dialect = DIALECTS[engine]
    named = {
        name: compile_statement(statement, dialect)
        for name, statement in {**statements(engine), **heads()}.items()
    }
    return named | {f"where_{name}": compile_clause(clause, dialect) for name, clause in clauses().items()}


_HEADER: Final = '''"""{title}

Generated by `python -m executor.storage.compile --write`; do not edit.
"""
# fmt: off
# ruff: noqa

from __future__ import annotations

from typing import {imports}

Bound: TypeAlias = "tuple[str, tuple[str | int | float | bytes | None, ...]]"
'''


def engine_module(engine: str, queries: Mapping[str, Query]) -> str:
    """The source of the module with the SQL of one engine."""
    parts = [_HEADER.format(title=f"Every statement as {engine} takes it.", imports="Final, TypeAlias")]
    parts.append(f"# Stands for one number.\nMARK: Final = {_mark(engine)!r}\n")
    for name, query in queries.items():
        parts.append(f"\n{name.upper()}: Final = {query.text!r}")
        values = ", ".join(p.source for p in query.parameters)
        comma = "," if len(query.parameters) == 1 else ""
        parts.append(f"def {name}({_signature(query)}) -> Bound:")
        parts.append(f"    return {name.upper()}, ({values}{comma})")
    return "\n".join(parts) + "\n"


def protocol_module(engines: Mapping[str, Mapping[str, Query]]) -> str:
    """The source of the type that the module of every engine has.

    Raises CannotCompile when engines want the parameters of many rows in different orders.
    """
    queries, *others = engines.values()
    title = "What the module with the statements of an engine offers."
    parts = [_HEADER.format(title=title, imports="Final, Protocol, TypeAlias")]
    for name in sorted(_MANY):
        if any(other[name].order != queries[name].order for other in others):
            raise CannotCompile(f"{name} has another order of parameters on another engine")
        parts.append(f"{name.upper()}_PARAMETERS: Final = {queries[name].order!r}")
    parts.append("\nclass Statements(Protocol):")
    parts.append("    @property\n    def MARK(self) -> str: ...")
    for name, query in queries.items():
        parts.append(f"    @property\n    def {name.upper()}(self) -> str: ...")
        signature = _signature(query)
        parts.append(f"    def {name}(self{', ' if signature else ''}{signature}) -> Bound: ...")
    return "\n".join(parts) + "\n"


def _mark(engine: str) -> str:
    return compile_statement(select(bindparam("x", type_=BigInteger())), DIALECTS[engine]).text.split()[1]


def _signature(query: Query) -> str:
    names = ", ".join(f"{name}: {kind}" for name, kind in query.names.items())
    return f"*, {names}" if names else ""


def modules() -> dict[str, str]:
    """File name to source of everything that is generated."""
    compiled = {engine: compile_all(engine) for engine in GENERATED}
    files = {f"_{engine}_statements.py": engine_module(engine, compiled[engine]) for engine in GENERATED}
    return files | {"_statements.py": protocol_module(compiled)}


def outdated(folder: Path) -> list[str]:
    """The generated files in `folder` that are not what would be generated now."""
    return [name for name, source in modules().items() if _read(folder / name) != source]


def _read(path: Path) -> str | None:
    return path.read_text("utf-8") if path.exists() else None


def main(arguments: list[str]) -> int:
    folder = Path(__file__).parent
    if "--write" in arguments:
        for name, source in modules().items():
            (folder / name).write_text(source, "utf-8")
        return 0
    stale = outdated(folder)
    if stale:
        sys.stderr.write(f"not current: {', '.join(stale)}; run python -m executor.storage.compile --write\n")
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
