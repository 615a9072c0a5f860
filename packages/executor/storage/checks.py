"""What callers give, at the door of the store: checked, cleaned, in the stored form."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, cast

from executor.errors import (
    ExecutorError,
    InvalidId,
    InvalidInput,
    InvalidTime,
    UnknownEvent,
    UnknownRiskLevel,
    UnknownStatus,
    UnknownStep,
    UnknownTriggerKind,
    UnknownVerdict,
)
from executor.models.execution import (
    TERMINAL_STATUSES,
    EventType,
    ExecutionStatus,
    LinkKind,
    RiskLevel,
    StepName,
    StepStatus,
    TriggerKind,
    Verdict,
    encode_paths,
)
from executor.models.text import clean_text, encodable
from executor.models.times import format_time, parse_time

_STORED_TIME: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")
_TIME_LENGTH: Final = len("0000-00-00T00:00:00.000000Z")
_TIME_MARKS: Final = {4: "-", 7: "-", 10: "T", 13: ":", 16: ":", 19: ".", 26: "Z"}


def _values(enum: type[StrEnum]) -> dict[str, str]:
    """Plain texts, in the order of the definition; members of the enum find them, too."""
    return {member.value: member.value for member in enum}


TRIGGER_KINDS: Final = _values(TriggerKind)
VERDICTS: Final = _values(Verdict)
RISK_LEVELS: Final = _values(RiskLevel)
STATUSES: Final = _values(ExecutionStatus)
STEPS: Final = _values(StepName)
EVENTS: Final = _values(EventType)
LINKS: Final = _values(LinkKind)
_ENDS: Final = {name: name for name in STATUSES if name in TERMINAL_STATUSES}
_RUNNING: Final = {name: name for name in STATUSES if name not in TERMINAL_STATUSES}
_STEP_ENDS: Final = {s.value: s.value for s in StepStatus if s is not StepStatus.RUNNING}


def _known(value: object, known: dict[str, str], error: Any) -> str:
    found = known.get(value) if isinstance(value, str) else None
    if found is None:
        raised: ExecutorError = error(value, tuple(known))
        raise raised
    return found


def trigger_kind(value: object) -> str:
    return _known(value, TRIGGER_KINDS, UnknownTriggerKind)


def verdict(value: object) -> str:
    return _known(value, VERDICTS, UnknownVerdict)


def risk_level(value: object) -> str:
    return _known(value, RISK_LEVELS, UnknownRiskLevel)


def status(value: object) -> str:
    return _known(value, STATUSES, UnknownStatus)


def terminal_status(value: object) -> str:
    return _known(value, _ENDS, UnknownStatus)


def running_status(value: object) -> str:
    return _known(value, _RUNNING, UnknownStatus)


def step_end(value: object) -> str:
    return _known(value, _STEP_ENDS, UnknownStatus)


def step_name(value: object) -> str:
    return _known(value, STEPS, UnknownStep)


def error_step(value: object) -> str | None:
    return None if value is None else step_name(value)


def event(value: object) -> str:
    return _known(value, EVENTS, UnknownEvent)


def link_kind(value: object) -> str:
    if not isinstance(value, str) or value not in LINKS:
        raise InvalidInput(f"link kind {value!r} is unknown; use one of {', '.join(LINKS)}")
    return LINKS[value]


def asked_id(value: object, kind: str = "execution id") -> str:
    """An id that is looked for: any text, since old rows hold anything. Raises InvalidId for no text."""
    if not isinstance(value, str):
        raise InvalidId(kind, value, "an id is text")
    return value if value.isascii() else encodable(value)


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise InvalidInput(f"{name} is {value!r}; give a text")
    return clean_text(value)


def optional_text(name: str, value: object) -> str | None:
    return None if value is None else text(name, value)


def paths(value: object) -> str:
    """JSON text of a list of paths."""
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise InvalidInput(f"affected_paths is {value!r}; give a list of paths")
    if not all(isinstance(path, str) for path in value):
        raise InvalidInput("affected_paths holds something that is no text")
    return encode_paths(value)


def flag(name: str, value: object) -> int:
    if not isinstance(value, bool):
        raise InvalidInput(f"{name} is {value!r}; give True or False")
    return int(value)


def time(name: str, value: object) -> str:
    """A time in the stored form. Raises InvalidTime for one without zone."""
    if isinstance(value, datetime):
        return format_time(value, name)
    if not isinstance(value, str):
        raise InvalidTime(name, value)
    return format_time(parse_time(value, name), name)


def are_stored_times(values: Sequence[object]) -> bool:
    """Whether each is text in the form that times are stored in; as one look at all of them."""
    if set(map(type, values)) != {str}:
        return not values
    texts = cast("Sequence[str]", values)
    together = "".join(texts)
    return (
        set(map(len, texts)) == {_TIME_LENGTH}
        and together.isascii()
        and all(together[at::_TIME_LENGTH] == mark * len(texts) for at, mark in _TIME_MARKS.items())
        and "".join(
            together[at::_TIME_LENGTH] for at in range(_TIME_LENGTH) if at not in _TIME_MARKS
        ).isdigit()
    )


def imported_time(name: str, value: object) -> str:
    """A time of another database: text stays as it is when it can be read as a time."""
    if isinstance(value, str):
        if _STORED_TIME.fullmatch(value) is None:
            try:
                datetime.fromisoformat(value)
            except ValueError as cause:
                raise InvalidTime(name, value) from cause
        return value
    return time(name, value)


def imported_paths(value: object) -> str:
    """JSON text stays as it is, a list becomes it."""
    if isinstance(value, str):
        try:
            listed = json.loads(value)
        except (ValueError, RecursionError) as cause:
            raise InvalidInput(f"affected_paths is no JSON: {value[:80]!r}") from cause
        return paths(listed)
    return paths(value if value is not None else ())
