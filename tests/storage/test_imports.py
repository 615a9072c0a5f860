"""Executions to be imported are looked at together, and come out as if each had been looked at alone."""

from typing import Any, Final

import pytest

from executor.errors import ExecutorError
from executor.models.execution import StepName, TriggerKind
from executor.storage import imports
from executor.storage.imports import COLUMNS, Batch
from executor.testing.factories import as_record, row

ODD: Final[list[dict[str, Any]]] = [
    {},
    {"title": "a\0b", "error_message": "\udc80"},
    {"title": None, "run_id": "ü", "actor": ""},
    {"affected_paths": ["x", "ü"]},
    {"affected_paths": '["\\u00fc"]'},
    {"affected_paths": None},
    {"started_at": "2026-01-01 00:00:00", "created_at": None},
    {"ended_at": "2026-01-01T00:00:00.000000Z", "duration_seconds": 2},
    {"duration_seconds": 0.5, "files_changed": None},
    {"trigger_kind": TriggerKind.AGENT, "error_step": StepName.APPLY},
    {"trigger_kind": None, "risk_level": None, "attempt": 3},
    {"verification_passed": None, "rolled_back": True},
    {"run_id": "a\0", "correlation_id": "c\0", "workspace_id": "ws_other"},
]


def settled(rows: list[Any]) -> list[tuple[Any, ...]]:
    return list(Batch(rows).settled(lambda ids: {}, "ws_own"))


@pytest.mark.parametrize("kinds", ["mappings", "records", "both"])
def test_a_row_comes_out_the_same_alone_and_among_others(kinds: str) -> None:
    rows: list[Any] = [row(f"e{number}") | odd for number, odd in enumerate(ODD)]
    if kinds != "mappings":
        rows = [values if kinds == "both" and n % 2 else as_record(values) for n, values in enumerate(rows)]

    alone = [settled([one])[0] for one in rows]

    assert alone == settled(rows)
    for values in alone:
        assert [] == [value for value in values if value is not None and type(value) not in (str, int, float)]


def test_mappings_of_one_length_may_name_different_things() -> None:
    rows = [row("a", title="t"), row("b", actor="ada")]
    rows[0].pop("actor", None)
    rows[1].pop("title", None)
    assert len(rows[0]) == len(rows[1])

    found = [dict(zip(COLUMNS, values, strict=True)) for values in settled(rows)]

    assert [("t", None), (None, "ada")] == [(values["title"], values["actor"]) for values in found]


@pytest.mark.parametrize(
    "odd",
    [
        {"title": 0},
        {"branch": b"main"},
        {"plan_id": None},
        {"status": ["completed"]},
        {"started_at": "2026-01-01T00:00:00.0000x0Z"},
        {"files_changed": True},
        {"duration_seconds": float("inf")},
        {"colour": "blue"},
    ],
    ids=str,
)
def test_one_odd_row_among_many_is_found(odd: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imports, "_LOOKED_AT", 4)
    rows = [row(f"e{number}") for number in range(10)]
    rows[6] |= odd

    with pytest.raises(ExecutorError):
        Batch(rows)
