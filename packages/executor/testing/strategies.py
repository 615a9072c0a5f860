"""Random executions: forests, and what programs behind the store make of them."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from executor.models.execution import ExecutionStatus, TriggerKind, Verdict
from executor.testing.factories import row

# Equal but for case, normalisation or a letter; what quoting, LIKE and path handling trip over.
STRANGE_IDS = (
    *(
        "a",
        "A",
        "a ",
        " a",
        "ä",
        "a\u0308",
        "%",
        "_",
        "a%",
        "a_",
        "''",
        '"',
        "\\",
        "/",
        "..",
        "0",
        "-1",
        "1e3",
    ),
    *(
        "correlation",
        "statistics",
        "NULL",
        "\u2028",
        "\u00a0",
        "日本",
        "🙂",
        "\U0010ffff",
        "\ud7ff",
        "\ue000",
    ),
    *("exec_0", "exec_00", "exec_000", "x" * 200, ""),
)
MISSING_IDS = ("gone", "gone too")

TIMES = (
    "2026-01-01T00:00:00.000000Z",
    "2026-01-01T00:00:00.000001Z",
    "2026-01-02T00:00:00.000000Z",
    "2026-01-02 00:00:00",
    "2026-01-02T00:00:00+00:00",
    "2025-12-31T23:59:59.999999Z",
    "",
)

ids = st.one_of(st.sampled_from(STRANGE_IDS), st.text(st.characters(exclude_categories=["Cs"]), max_size=4))
trigger_kinds = st.sampled_from([*(kind.value for kind in TriggerKind), "retry", "retry", "repair", None])
statuses = st.sampled_from([status.value for status in ExecutionStatus])
verdicts = st.sampled_from([verdict.value for verdict in Verdict])


@st.composite
def rows(draw: st.DrawFn, *, max_size: int = 14, tame: bool = False) -> list[dict[str, Any]]:
    """Rows of the table that form any graph in which each row has at most one parent.

    Most parents come before their children; others make cycles, are the row itself or do not exist.
    `tame` makes a forest as the store itself would write it.
    """
    names = draw(st.lists(ids, min_size=1, max_size=max_size, unique=True))
    made: list[dict[str, Any]] = []
    for place, name in enumerate(names):
        parents: st.SearchStrategy[str | None] = st.one_of(
            st.none(), st.sampled_from(names[:place]) if place else st.none()
        )
        if not tame:
            parents = st.one_of(parents, parents, st.sampled_from([*names, *MISSING_IDS]))
        parent = draw(parents)
        made.append(
            row(
                name,
                parent_execution_id=parent,
                correlation_id=_correlation(draw, names, made, name, parent, tame),
                trigger_kind=draw(trigger_kinds),
                started_at=draw(st.sampled_from(TIMES[:3] if tame else TIMES)),
                status=draw(statuses),
                verdict=draw(verdicts),
            )
        )
    return draw(st.permutations(made))


def _correlation(
    draw: st.DrawFn, names: list[str], made: list[dict[str, Any]], name: str, parent: str | None, tame: bool
) -> str | None:
    if not tame:
        return draw(st.one_of(st.none(), st.sampled_from(names), st.sampled_from(("task", "other task"))))
    if parent is None:
        return draw(st.sampled_from((name, "task")))
    above = {values["execution_id"]: str(values["correlation_id"]) for values in made}
    return above[parent]
