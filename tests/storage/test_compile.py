"""Statements are compiled ahead, and what is committed is what would be compiled now."""

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, bindparam, exists, insert, literal, select, update

import executor.storage.compile as compiling
from executor.models.execution import (
    EventRecord,
    ExecutionRecord,
    LinkRecord,
    StepLog,
    StepRecord,
    WorkspaceRecord,
)
from executor.models.token import TokenRecord
from executor.schema import executions
from executor.storage.compile import (
    DIALECTS,
    CannotCompile,
    compile_all,
    compile_clause,
    compile_statement,
    main,
)

ENGINES = list(DIALECTS)
FOLDER = Path(compiling.__file__).parent


def test_the_committed_modules_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    """After a change of tables or statements: python -m executor.storage.compile --write"""
    assert 0 == main([])
    assert "" == capsys.readouterr().err


def test_what_is_not_current_is_named_and_can_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "compile.py"))

    assert 1 == main([])
    assert "_sqlite_statements.py" in capsys.readouterr().err
    assert 0 == main(["--write"])
    assert 0 == main([])
    for path in tmp_path.iterdir():
        assert (FOLDER / path.name).read_text("utf-8") == path.read_text("utf-8")


@pytest.mark.parametrize("engine", ENGINES)
def test_every_statement_binds_each_place(engine: str) -> None:
    mark = {"sqlite": r"\?", "postgresql": r"%s"}[engine]
    for name, query in compile_all(engine).items():
        assert len(query.parameters) == len(re.findall(mark, query.text)), name
        values = query.bind(dict.fromkeys(query.names, "x"))
        assert len(query.parameters) == len(values)
        assert "POSTCOMPILE" not in query.text


@pytest.mark.parametrize("engine", ENGINES)
def test_answers_have_the_columns_of_their_records_in_order(engine: str) -> None:
    queries = compile_all(engine)
    records: dict[type, tuple[str, ...]] = {
        ExecutionRecord: (
            *("select_execution", "select_chain", "select_root", "select_ancestors", "select_siblings"),
            *("select_attempt_tree", "list_executions"),
        ),
        StepRecord: ("select_step", "select_steps", "end_step"),
        LinkRecord: ("select_links",),
        WorkspaceRecord: ("select_workspaces", "select_workspace"),
        StepLog: ("select_step_logs",),
        TokenRecord: ("select_token", "select_tokens"),
    }
    for record, names in records.items():
        for name in names:
            assert tuple(field.name for field in fields(record)) == queries[name].columns, name
    columns = tuple(field.name for field in fields(ExecutionRecord))
    for name in ("select_descendants", "select_first_descendants"):
        assert (*columns, "depth") == queries[name].columns
    for name in ("select_events", "select_last_events", "select_events_after"):
        assert {field.name for field in fields(EventRecord)} == set(queries[name].columns)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_condition_means_the_row_asked_about(engine: str) -> None:
    """None brings `executions` along a second time, as a subquery compiled by itself would."""
    for name, query in compile_all(engine).items():
        if name.startswith("where_"):
            assert not re.search(r"(FROM|,) executions(?! AS )( |$)", query.text), name


def test_what_would_be_worked_out_at_run_time_is_refused() -> None:
    counted = Table("counted", MetaData(), Column("n", Integer, default=lambda: 1))
    id_ = executions.c.execution_id
    later: list[Any] = [
        select(id_).where(id_.in_(["a", "b"])),
        select(id_).where(id_.in_(bindparam("ids", expanding=True))),
        select(id_).where(id_ == bindparam("id", "a", literal_execute=True)),
        insert(counted).values(),
        select(literal(1.5)),
    ]
    for statement in later:
        with pytest.raises(CannotCompile):
            compile_statement(statement, DIALECTS["sqlite"])


def test_a_default_of_an_update_is_refused() -> None:
    stamped = Table("stamped", MetaData(), Column("a", Integer), Column("n", Integer, onupdate=lambda: 1))

    with pytest.raises(CannotCompile, match="in Python"):
        compile_statement(update(stamped).values(a=bindparam("x")), DIALECTS["sqlite"])


def test_a_clause_about_another_table_is_refused() -> None:
    other = Table("other", MetaData(), Column("n", Integer))

    assert "EXISTS" in compile_clause(exists(select(other.c.n)), DIALECTS["sqlite"]).text
    with pytest.raises(CannotCompile, match="not a condition on executions"):
        compile_clause(other.c.n == executions.c.attempt, DIALECTS["sqlite"])
