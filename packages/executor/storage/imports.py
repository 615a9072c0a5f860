"""Executions of another database, made ready to be written many at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
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

COLUMNS: Final = IMPORT_EXECUTION_PARAMETERS
_KNOWN: Final = frozenset(COLUMNS)
_PLACE: Final = {name: place for place, name in enumerate(COLUMNS)}
_READ_RECORD: Final = attrgetter(*("paths_text" if name == "affected_paths" else name for name in COLUMNS))

_ID: Final = _PLACE["execution_id"]
_CORRELATION: Final = _PLACE["correlation_id"]
_PARENT: Final = _PLACE["parent_execution_id"]
_TRIGGER: Final = _PLACE["trigger_kind"]
_ATTEMPT: Final = _PLACE["attempt"]
_PATHS: Final = _PLACE["affected_paths"]
_STARTED: Final = _PLACE["started_at"]
_CREATED: Final = _PLACE["created_at"]
_WORKSPACE: Final = _PLACE["workspace_id"]
_VERDICT: Final = _PLACE["verdict"]
_STATUS: Final = _PLACE["status"]
_RISK: Final = _PLACE["risk_level"]
_DURATION: Final = _PLACE["duration_seconds"]
_FILES: Final = _PLACE["files_changed"]
_ERROR_STEP: Final = _PLACE["error_step"]
_VERIFIED: Final = _PLACE["verification_passed"]
_HEALTHY: Final = _PLACE["health_checks_passed"]
_ROLLED_BACK: Final = _PLACE["rolled_back"]
_OTHER_TIMES: Final = tuple((_PLACE[name], name) for name in ("ended_at", "created_at"))

_REQUIRED: Final = ("execution_id", "plan_id", "changeset_id", "decision_id", "checksum")
_TEXT_COLUMNS: Final = (
    *_REQUIRED,
    *("artifact_path", "error_message", "error_code", "run_id", "workspace_id", "title", "actor"),
    *("base_commit", "branch", "session", "correlation_id", "parent_execution_id"),
)
_TEXTS: Final = tuple(_PLACE[name] for name in _TEXT_COLUMNS)
_READ_TEXTS: Final = itemgetter(*_TEXTS)


@dataclass(frozen=True, slots=True)
class Family:
    """What a child takes over from its parent."""

    correlation_id: str
    attempt: int


def batches(rows: Iterable[ExecutionRecord | Mapping[str, Any]]) -> Iterable[list[list[Any]]]:
    """Checked rows in the order of COLUMNS, graph fields still as given."""
    remaining = iter(rows)
    while batch := [_checked(row) for row in islice(remaining, BATCH_ROWS)]:
        yield batch


def _checked(row: ExecutionRecord | Mapping[str, Any]) -> list[Any]:
    """Raises what the checks raise, with nothing said of other rows."""
    if isinstance(row, ExecutionRecord):
        values = list(_READ_RECORD(row))
    elif row.keys() <= _KNOWN:
        values = list(map(row.get, COLUMNS))
    else:
        unknown = ", ".join(sorted(map(str, row.keys() - _KNOWN)))
        raise InvalidInput(f"an execution has no {unknown}")
    _check_texts(values)
    values[_VERDICT] = checks.verdict(values[_VERDICT])
    values[_STATUS] = checks.status(values[_STATUS])
    if values[_RISK] is not None:
        values[_RISK] = checks.risk_level(values[_RISK])
    values[_PATHS] = _checked_paths(values[_PATHS])
    values[_STARTED] = started = checks.imported_time("started_at", values[_STARTED])
    for place, name in _OTHER_TIMES:
        if values[place] is not None and values[place] != started:
            values[place] = checks.imported_time(name, values[place])
    if values[_CREATED] is None:
        values[_CREATED] = started
    if values[_DURATION] is not None:
        values[_DURATION] = check_seconds("duration_seconds", values[_DURATION])
    values[_FILES] = check_count("files_changed", values[_FILES] or 0)
    values[_VERIFIED] = 1 if values[_VERIFIED] else 0
    values[_HEALTHY] = 1 if values[_HEALTHY] else 0
    values[_ROLLED_BACK] = 1 if values[_ROLLED_BACK] else 0
    if values[_ERROR_STEP] is not None:
        values[_ERROR_STEP] = checks.step_name(values[_ERROR_STEP])
    return values


def _check_texts(values: list[Any]) -> None:
    texts = _READ_TEXTS(values)
    try:
        # One look at all of them: hardly any row has something to clean.
        together = "".join(filter(None, texts))
    except TypeError as cause:
        odd = next(place for place in _TEXTS if not isinstance(values[place], str | None))
        raise InvalidInput(f"{COLUMNS[odd]} is {values[odd]!r}; give a text") from cause
    # The required ones come first.
    if None in texts[: len(_REQUIRED)]:
        raise InvalidInput(f"an execution needs {', '.join(_REQUIRED)}")
    if not values[_ID]:
        raise InvalidId("execution id", values[_ID], "it is empty")
    if "\0" in together or not together.isascii():
        for place in _TEXTS:
            values[place] = clean_text(values[place])


def _checked_paths(value: Any) -> str:
    # Text that is plainly what we write needs no decoding.
    if isinstance(value, str) and value.isascii() and value[:2] in ('["', "[]") and "\\" not in value:
        return value
    return checks.imported_paths(value)


def settle_families(
    batch: list[list[Any]],
    stored: Callable[[list[str]], Mapping[str, Family]],
    workspace_id: str,
) -> None:
    """Fills in correlation, trigger, attempt and workspace, and refuses what cannot be in a graph.

    `stored` says what is known of parents outside the batch. Raises SelfParent, ParentNotFound,
    CorrelationMismatch, UnknownTriggerKind, InvalidInput.
    """
    inside = {values[_ID] for values in batch}
    parents = {values[_PARENT] for values in batch if values[_PARENT] is not None}
    outside = sorted(parents - inside)
    known = dict(stored(outside)) if outside else {}
    for values in _parents_first(batch):
        execution_id, parent_id = values[_ID], values[_PARENT]
        kind = "manual" if values[_TRIGGER] is None else checks.trigger_kind(values[_TRIGGER])
        attempt = 1
        correlation_id = values[_CORRELATION]
        if parent_id is None:
            correlation_id = execution_id if correlation_id is None else correlation_id
        else:
            family = _family_of_parent(execution_id, parent_id, correlation_id, known)
            correlation_id = family.correlation_id
            if kind in ATTEMPT_TRIGGERS:
                attempt = family.attempt + 1
        if values[_ATTEMPT] is not None:
            attempt = check_count("attempt", values[_ATTEMPT])
        values[_CORRELATION], values[_TRIGGER], values[_ATTEMPT] = correlation_id, kind, attempt
        if values[_WORKSPACE] is None:
            values[_WORKSPACE] = workspace_id
        known[execution_id] = Family(correlation_id, attempt)


def _family_of_parent(
    execution_id: str, parent_id: str, correlation_id: str | None, known: Mapping[str, Family]
) -> Family:
    if parent_id == execution_id:
        raise SelfParent(execution_id)
    family = known.get(parent_id)
    if family is None:
        raise ParentNotFound(execution_id, parent_id)
    if correlation_id is not None and correlation_id != family.correlation_id:
        raise CorrelationMismatch(execution_id, correlation_id, parent_id, family.correlation_id)
    return family


def _parents_first(batch: Sequence[list[Any]]) -> Iterable[list[Any]]:
    """The batch as it is when each parent comes before its children, else sorted so."""
    place = {values[_ID]: index for index, values in enumerate(batch)}
    if all(place.get(values[_PARENT], -1) <= index for index, values in enumerate(batch)):
        return batch
    return _sorted_by_depth(batch, place)


def _sorted_by_depth(batch: Sequence[list[Any]], place: Mapping[str, int]) -> list[list[Any]]:
    depths: dict[int, int] = {}
    for index in range(len(batch)):
        upwards: dict[int, None] = {}
        above: int | None = index
        while above is not None and above not in depths:
            if above in upwards:
                raise InvalidInput(f"execution {batch[above][_ID]!r} is its own ancestor")
            upwards[above] = None
            parent = place.get(batch[above][_PARENT])
            above = None if parent == above else parent
        depth = -1 if above is None else depths[above]
        for upward in reversed(upwards):
            depth += 1
            depths[upward] = depth
    return [batch[index] for index in sorted(range(len(batch)), key=lambda index: (depths[index], index))]


def ids_of(batch: Iterable[Sequence[Any]]) -> list[str]:
    return [values[_ID] for values in batch]
