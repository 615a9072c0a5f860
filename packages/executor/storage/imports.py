"""Executions of another database, made ready to be written many at a time.

A batch is looked at by the column: nearly always one look at all values together says that none of them
needs a look of its own, which would cost many times as much.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from operator import attrgetter, itemgetter
from typing import Any, Final

from executor.errors import CorrelationMismatch, InvalidId, InvalidInput, ParentNotFound, SelfParent
from executor.models.execution import ATTEMPT_TRIGGERS, ExecutionRecord
from executor.models.numbers import check_count, check_seconds
from executor.models.text import clean_text
from executor.storage import checks
from executor.storage._statements import IMPORT_EXECUTION_PARAMETERS

# As many as fit into the cache of the writer: an index page that does not is written several times.
BATCH_ROWS: Final = 20_000

# As many as fit into the cache of the processor.
_LOOKED_AT: Final = 250

COLUMNS: Final = IMPORT_EXECUTION_PARAMETERS
_KNOWN: Final = frozenset(COLUMNS)
_READ_RECORD: Final = attrgetter(*("held_paths" if name == "affected_paths" else name for name in COLUMNS))

_REQUIRED: Final = ("execution_id", "plan_id", "changeset_id", "decision_id", "checksum")
_OPTIONAL: Final = (
    *("artifact_path", "error_message", "error_code", "run_id", "workspace_id", "title", "actor"),
    *("base_commit", "branch", "session", "correlation_id", "parent_execution_id"),
)
_FLAGS: Final = ("verification_passed", "health_checks_passed", "rolled_back")

_NONE: Final = type(None)
_TEXT: Final = frozenset({str, _NONE})
_NUMBER: Final = frozenset({float, _NONE})
_WHOLE: Final = frozenset({int})

# What a value becomes, and what says why another is none.
_Word = tuple[Mapping[Any, str | None], Callable[[Any], str | None]]
_WORDS: Final[Mapping[str, _Word]] = {
    "verdict": (checks.VERDICTS, checks.verdict),
    "status": (checks.STATUSES, checks.status),
    "risk_level": ({**checks.RISK_LEVELS, None: None}, checks.risk_level),
    "error_step": ({**checks.STEPS, None: None}, checks.error_step),
    "trigger_kind": ({**checks.TRIGGER_KINDS, None: "manual"}, checks.trigger_kind),
}

Column = Sequence[Any]
# What a child takes over from its parent: correlation and attempt.
Family = tuple[str, int]


class Batch:
    """Checked executions by the column, graph fields still as given."""

    def __init__(self, rows: Sequence[ExecutionRecord | Mapping[str, Any]]) -> None:
        """Raises what the checks raise, with nothing said of other rows."""
        self._columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        for first in range(0, len(rows), _LOOKED_AT):
            for name, column in _checked(_columns(rows[first : first + _LOOKED_AT])).items():
                self._columns[name].extend(column)

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def ids(self) -> Column:
        return self._columns["execution_id"]

    def settled(
        self, stored: Callable[[list[str]], Mapping[str, Family]], workspace_id: str
    ) -> Iterator[tuple[Any, ...]]:
        """The rows in the order of COLUMNS, with correlation, attempt and workspace filled in.

        `stored` says what is known of parents outside the batch. Raises SelfParent, ParentNotFound,
        CorrelationMismatch, InvalidInput for what cannot be in a graph.
        """
        families = self._families(stored)
        filled = {
            "correlation_id": map(itemgetter(0), families),
            "attempt": map(itemgetter(1), families),
            "workspace_id": _instead_of_none(self._columns["workspace_id"], workspace_id),
        }
        columns: dict[str, Iterable[Any]] = {**self._columns, **filled}
        return zip(*(columns[name] for name in COLUMNS), strict=True)

    def _families(self, stored: Callable[[list[str]], Mapping[str, Family]]) -> list[Family]:
        ids, parents = self.ids, self._columns["parent_execution_id"]
        correlations, kinds = self._columns["correlation_id"], self._columns["trigger_kind"]
        place = {execution_id: number for number, execution_id in enumerate(ids)}
        outside = sorted({parent for parent in parents if parent is not None} - place.keys())
        known = dict(stored(outside)) if outside else {}
        attempts = self._columns["attempt"]
        found: list[Any] = [None] * len(ids)
        for number in _parents_first(ids, parents, place):
            execution_id, parent_id, given = ids[number], parents[number], correlations[number]
            correlation_id, attempt = execution_id if given is None else given, 1
            if parent_id is not None:
                correlation_id, before = _family_of_parent(execution_id, parent_id, given, known)
                attempt = before + 1 if kinds[number] in ATTEMPT_TRIGGERS else 1
            if attempts[number] is not None:
                attempt = attempts[number]
            found[number] = known[execution_id] = (correlation_id, attempt)
        return found


def batches(rows: Iterable[ExecutionRecord | Mapping[str, Any]]) -> Iterable[Batch]:
    remaining = iter(rows)
    while batch := list(islice(remaining, BATCH_ROWS)):
        yield Batch(batch)


def _columns(rows: Sequence[ExecutionRecord | Mapping[str, Any]]) -> Mapping[str, Column]:
    records = [row for row in rows if type(row) is ExecutionRecord]
    if len(records) == len(rows):
        columns = _of_tuples(COLUMNS, map(_READ_RECORD, records))
        if not _are_plain_paths(columns["affected_paths"]):
            columns["affected_paths"] = [record.paths_text for record in records]
        return columns
    mappings = [row for row in rows if type(row) is dict]
    names = tuple(mappings[0]) if len(mappings) == len(rows) else ()
    if len(names) > 1 and set(map(len, mappings)) == {len(names)}:
        # Of the same length, they may still not be alike.
        with suppress(KeyError):
            return _named(_of_tuples(names, map(itemgetter(*names), mappings)), len(rows))
    return _of_tuples(COLUMNS, map(_values, rows))


def _of_tuples(names: Sequence[str], rows: Iterable[tuple[Any, ...]]) -> dict[str, Column]:
    return dict(zip(names, zip(*rows, strict=True), strict=True))


def _named(given: Mapping[str, Column], rows: int) -> Mapping[str, Column]:
    _refuse_unknown(given)
    nothing = (None,) * rows
    return {name: given.get(name, nothing) for name in COLUMNS}


def _values(row: ExecutionRecord | Mapping[str, Any]) -> tuple[Any, ...]:
    if isinstance(row, ExecutionRecord):
        return tuple(row.paths_text if name == "affected_paths" else getattr(row, name) for name in COLUMNS)
    _refuse_unknown(row)
    return tuple(map(row.get, COLUMNS))


def _refuse_unknown(row: Mapping[Any, Any]) -> None:
    if not row.keys() <= _KNOWN:
        unknown = ", ".join(sorted(map(str, row.keys() - _KNOWN)))
        raise InvalidInput(f"an execution has no {unknown}")


def _checked(given: Mapping[str, Column]) -> dict[str, Column]:
    columns = dict(given)
    for name in (*_REQUIRED, *_OPTIONAL):
        columns[name] = _checked_texts(name, columns[name])
    if not all(columns["execution_id"]):
        raise InvalidId("execution id", "", "it is empty")
    for name, (words, check) in _WORDS.items():
        columns[name] = _checked_words(columns[name], words, check)
    if not _are_plain_paths(columns["affected_paths"]):
        columns["affected_paths"] = list(map(checks.imported_paths, columns["affected_paths"]))
    for name in ("started_at", "ended_at", "created_at"):
        columns[name] = _checked_times(name, columns[name], required=name == "started_at")
    columns["created_at"] = [
        started if created is None else created
        for started, created in zip(columns["started_at"], columns["created_at"], strict=True)
    ]
    columns["duration_seconds"] = _checked_durations(columns["duration_seconds"])
    columns["files_changed"] = _checked_counts("files_changed", _instead_of_none(columns["files_changed"], 0))
    columns["attempt"] = _checked_counts("attempt", columns["attempt"])
    for name in _FLAGS:
        columns[name] = [1 if value else 0 for value in columns[name]]
    return columns


def _checked_texts(name: str, column: Column) -> Column:
    kinds = set(map(type, column))
    if name in _REQUIRED and _NONE in kinds:
        raise InvalidInput(f"an execution needs {', '.join(_REQUIRED)}")
    if not kinds <= _TEXT:
        odd = [value for value in column if not isinstance(value, str | None)]
        if odd:
            raise InvalidInput(f"{name} is {odd[0]!r}; give a text")
    if kinds == {_NONE}:
        return column
    together = "".join(filter(None, column))
    if together.isascii() and "\0" not in together:
        return column
    return list(map(clean_text, column))


def _checked_words(
    column: Column, words: Mapping[Any, str | None], check: Callable[[Any], str | None]
) -> Column:
    try:
        return list(map(words.__getitem__, column))
    except (KeyError, TypeError):
        return [words[None] if value is None and None in words else check(value) for value in column]


def _checked_times(name: str, column: Column, *, required: bool) -> Column:
    given = column if required else [value for value in column if value is not None]
    if checks.are_stored_times(given):
        return column
    return [
        value if value is None and not required else checks.imported_time(name, value) for value in column
    ]


def _checked_durations(column: Column) -> Column:
    if set(map(type, column)) <= _NUMBER:
        given = [value for value in column if value is not None]
        if math.isfinite(sum(given)) and min(given, default=0) >= 0:
            return column
    return [None if value is None else check_seconds("duration_seconds", value) for value in column]


def _checked_counts(name: str, column: Column) -> Column:
    kinds = set(map(type, column))
    if kinds == {_NONE} or (kinds == _WHOLE and min(column) >= 0 and max(column) < 2**63):
        return column
    return [None if value is None else check_count(name, value) for value in column]


def _are_plain_paths(column: Column) -> bool:
    """Whether each is text that is plainly what we write, and needs no decoding."""
    if set(map(type, column)) != {str}:
        return False
    together = "".join(column)
    if "\\" in together or not together.isascii():
        return False
    return {text[:2] for text in column} <= {'["', "[]"}


def _instead_of_none(column: Column, value: object) -> Column:
    return [value if given is None else given for given in column]


def _family_of_parent(
    execution_id: str, parent_id: str, correlation_id: str | None, known: Mapping[str, Family]
) -> Family:
    if parent_id == execution_id:
        raise SelfParent(execution_id)
    family = known.get(parent_id)
    if family is None:
        raise ParentNotFound(execution_id, parent_id)
    if correlation_id is not None and correlation_id != family[0]:
        raise CorrelationMismatch(execution_id, correlation_id, parent_id, family[0])
    return family


def _parents_first(ids: Column, parents: Column, place: Mapping[str, int]) -> Iterable[int]:
    """The numbers of the rows as they are when each parent comes before its children, else sorted so."""
    numbers = range(len(parents))
    above = [place.get(parent, -1) for parent in parents]
    if all(map(int.__le__, above, numbers)):
        return numbers
    depths = _depths(ids, above)
    return sorted(numbers, key=lambda number: (depths[number], number))


def _depths(ids: Column, above: Sequence[int]) -> Mapping[int, int]:
    """How many ancestors each row has within the batch, given the numbers of the parents, -1 for none."""
    depths: dict[int, int] = {-1: -1}
    for number in range(len(above)):
        upwards: dict[int, None] = {}
        at = number
        while at not in depths:
            if at in upwards:
                raise InvalidInput(f"execution {ids[at]!r} is its own ancestor")
            upwards[at] = None
            at = -1 if above[at] == at else above[at]
        depth = depths[at]
        for upward in reversed(upwards):
            depth += 1
            depths[upward] = depth
    return depths
