"""A filter becomes conditions, and these become a statement that the indexes can answer in order.

One of the conditions leads: where it allows several values, each value gets a part of its own, which an
index gives in the order asked for, and the database merges the parts until the page is full. Were the
values written as alternatives of one condition, all rows of all of them would be sorted for every page.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any, Final

from executor.errors import InvalidFilter
from executor.models.execution import ExecutionFilter, TriggerKind
from executor.models.text import ascii_lower, clean_text, encodable
from executor.models.times import format_time, parse_time
from executor.storage._statements import Bound, Statements
from executor.storage.cursor import Position
from executor.storage.engine import Engine

_TUPLES: Final = tuple(field.name for field in fields(ExecutionFilter) if field.default == ())
_VALUES: Final = tuple(name for name in _TUPLES if name != "path")
_COLUMNS: Final = {"workspace": "workspace_id"}

# Filters that an index answers in order, the one that leaves the fewest rows first.
_LEADERS: Final = (
    "commit",
    "correlation_id",
    "parent_execution_id",
    "run_id",
    "status",
    "workspace",
    "trigger_kind",
)
# Filters with an index that gives their rows in no order.
SOUGHT: Final = ("verdict", "risk_level")
# More parts than this cost more than sorting.
_MOST_PARTS: Final = 8


@dataclass(frozen=True, slots=True)
class Conditions:
    """`parts` exclude each other; each is a list of conditions that hold together.

    `led` says that an index finds the rows of each part; else all rows are walked in the order of time.
    """

    parts: tuple[tuple[Bound, ...], ...]
    led: bool = True

    def anywhere(self) -> Bound:
        """All of it as one condition, for questions that want no order. Empty text: everything."""
        if len(self.parts) == 1:
            return joined(" AND ", self.parts[0])
        return joined(" OR ", [(f"({text})", values) for text, values in map(_all_of, self.parts)])

    def with_all(self, more: Iterable[Bound]) -> Conditions:
        extra = tuple(more)
        return Conditions(tuple((*part, *extra) for part in self.parts), self.led)


def _all_of(part: Sequence[Bound]) -> Bound:
    return joined(" AND ", part)


def joined(word: str, conditions: Iterable[Bound]) -> Bound:
    listed = list(conditions)
    return word.join(text for text, _ in listed), tuple(v for _, values in listed for v in values)


def check_filter(filter: ExecutionFilter | None) -> ExecutionFilter:
    """The filter with its times in the stored form. Raises InvalidFilter, InvalidTime."""
    if filter is None:
        return ExecutionFilter()
    if not isinstance(filter, ExecutionFilter):
        raise InvalidFilter(f"{filter!r} is no ExecutionFilter")
    for name in _TUPLES:
        values = getattr(filter, name)
        if isinstance(values, str) or not all(isinstance(value, str) for value in values):
            raise InvalidFilter(f"{name} is {values!r}; give texts, such as {name}=('…',)")
    for name in ("unresolved", "awaiting"):
        if not isinstance(getattr(filter, name), bool | None):
            raise InvalidFilter(f"{name} is {getattr(filter, name)!r}; it is True, False or None")
    if filter.q is not None and not isinstance(filter.q, str):
        raise InvalidFilter(f"q is {filter.q!r}; it is a text")
    values = {field.name: getattr(filter, field.name) for field in fields(ExecutionFilter)}
    values |= {name: tuple(encodable(v) for v in values[name]) for name in _TUPLES}
    values |= {name: _stored_time(name, values[name]) for name in ("since", "until")}
    return ExecutionFilter(**values)


def _stored_time(name: str, text: str | None) -> str | None:
    if text is None:
        return None
    if not isinstance(text, str):
        raise InvalidFilter(f"{name} is {text!r}; it is a time as text")
    return format_time(parse_time(text, name), name)


def conditions(
    filter: ExecutionFilter, engine: Engine, own_workspace_id: str | None, *, seek: str | None = None
) -> Conditions:
    """What a checked filter asks. Raises InvalidFilter for a path pattern that can match nothing.

    `seek` names a filter (one of SOUGHT) whose index shall find the rows, which are then sorted.
    """
    building = _Building(engine, own_workspace_id)
    leader = None if seek else _leader(filter)
    rest: list[Bound] = []
    for name in _VALUES:
        wanted, unwanted = _sorted_out(getattr(filter, name))
        if wanted and name == seek:
            rest.append(building.among(name, wanted))
        elif wanted and name != leader:
            rest.append(building.any_of(name, wanted))
        if unwanted:
            rest.append(building.none_of(name, unwanted))
    rest.extend(building.paths(filter.path))
    rest.extend(building.others(filter, leader))
    if leader is None:
        return Conditions((tuple(rest),), led=seek is not None)
    if leader == "unresolved":
        sql = engine.sql
        kinds = (sql.where_failed(), sql.where_rolled_back(), sql.where_awaiting())
        return Conditions(tuple((kind,) for kind in kinds)).with_all([*rest, sql.where_unsettled()])
    if leader == "awaiting":
        return Conditions(((engine.sql.where_awaiting(),),)).with_all(rest)
    wanted, _ = _sorted_out(getattr(filter, leader))
    parts = [building.any_of(leader, wanted)] if leader == "commit" else building.all_parts(leader, wanted)
    return Conditions(tuple((part,) for part in parts)).with_all(rest)


def of_correlation(correlation_id: str, engine: Engine) -> Conditions:
    """Exactly this correlation, whatever its first character is."""
    return Conditions(
        tuple((part,) for part in _Building(engine, None).parts("correlation_id", correlation_id))
    )


def in_workspace(workspace_id: str, engine: Engine, own_workspace_id: str | None) -> Bound:
    """A condition beside another that leads."""
    return _Building(engine, own_workspace_id).any_of("workspace", [workspace_id])


def sought(filter: ExecutionFilter, engine: Engine) -> tuple[str, Bound] | None:
    """A filter whose values may be rare, and the condition to find that out with; else None.

    Its index gives the rows in no useful order. That is the best way to a few rows and the worst to many:
    while these are everywhere, walking along the times finds a page of them at once.
    """
    if _leader(filter) is not None:
        return None
    for name in SOUGHT:
        wanted, _ = _sorted_out(getattr(filter, name))
        if wanted:
            return name, _Building(engine, None).among(name, wanted)
    return None


def _leader(filter: ExecutionFilter) -> str | None:
    for name in _LEADERS:
        wanted, _ = _sorted_out(getattr(filter, name))
        if 1 <= len(wanted) <= _MOST_PARTS:
            return name
        if name == "status" and not wanted and (filter.unresolved or filter.awaiting):
            return "unresolved" if filter.unresolved else "awaiting"
    return None


def _sorted_out(values: Sequence[str]) -> tuple[list[str], list[str]]:
    """What is asked for and what is excluded, each once."""
    wanted = dict.fromkeys(value for value in values if not value.startswith("!"))
    unwanted = dict.fromkeys(value[1:] for value in values if value.startswith("!"))
    return list(wanted), list(unwanted)


class _Building:
    """Makes conditions out of the clauses of an engine."""

    def __init__(self, engine: Engine, own_workspace_id: str | None) -> None:
        self._engine = engine
        self._own = own_workspace_id

    def _clause(self, name: str, question: str) -> Callable[..., Bound]:
        clause: Callable[..., Bound] = getattr(
            self._engine.sql, f"where_{_COLUMNS.get(name, name)}_{question}"
        )
        return clause

    def _keywords(self, name: str) -> dict[str, Any]:
        return {"own_workspace_id": self._own} if name == "workspace" else {}

    def parts(self, name: str, value: str) -> list[Bound]:
        """What exclusive conditions say that the effective value is this one."""
        sql = self._engine.sql
        found = [self._clause(name, "is")(value=value)]
        if name == "correlation_id":
            found.append(sql.where_correlation_id_is_own(value=value))
        if name == "trigger_kind" and value == TriggerKind.MANUAL:
            found.append(sql.where_trigger_kind_is_missing())
        if name == "workspace" and value == self._own:
            found.append(sql.where_workspace_id_is_missing())
        return found

    def all_parts(self, name: str, values: Sequence[str]) -> list[Bound]:
        return [part for value in values for part in self.parts(name, value)]

    def any_of(self, name: str, values: Sequence[str]) -> Bound:
        if len(values) == 1:
            return self._clause(name, "also_is")(value=values[0], **self._keywords(name))
        return self._clause(name, "one_of")(values=self._engine.text_list(values), **self._keywords(name))

    def among(self, name: str, values: Sequence[str]) -> Bound:
        return self._clause(name, "among")(values=self._engine.text_list(values))

    def none_of(self, name: str, values: Sequence[str]) -> Bound:
        text, parameters = self._clause(name, "none_of")(
            values=self._engine.text_list(values), **self._keywords(name)
        )
        return f"({text})", parameters

    def paths(self, patterns: Sequence[str]) -> list[Bound]:
        wanted, unwanted = _sorted_out(patterns)
        found = []
        if wanted:
            text, values = joined(" OR ", [self._engine.path_matches(path_pattern(p)) for p in wanted])
            found.append((f"({text})", values))
        for pattern in unwanted:
            text, values = self._engine.path_matches(path_pattern(pattern))
            found.append((f"NOT {text}", values))
        return found

    def others(self, filter: ExecutionFilter, leader: str | None) -> list[Bound]:
        sql: Statements = self._engine.sql
        found = []
        if filter.q:
            found.append(self._engine.text_occurs(ascii_lower(clean_text(filter.q))))
        if filter.since is not None:
            found.append(sql.where_started_since(value=filter.since))
        if filter.until is not None:
            found.append(sql.where_started_until(value=filter.until))
        if filter.awaiting is not None and leader != "awaiting":
            found.append(grouped(sql.where_awaiting() if filter.awaiting else sql.where_not_awaiting()))
        if filter.unresolved is not None and leader != "unresolved":
            found.append(grouped(sql.where_unresolved() if filter.unresolved else sql.where_not_unresolved()))
        return found


def grouped(condition: Bound) -> Bound:
    text, values = condition
    return f"({text})", values


def path_pattern(pattern: str) -> str:
    """The regular expression of a pattern in the manner of gitignore. Raises InvalidFilter."""
    from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

    try:
        expression, include = GitIgnoreSpecPattern.pattern_to_regex(pattern)
    except ValueError:
        expression, include = None, None
    if expression is None or not include:
        raise InvalidFilter(f"path pattern {pattern!r} matches nothing; give one such as 'src/**/*.py'")
    return str(expression)


def exact_pattern(path: str) -> str:
    """The pattern in the manner of gitignore that means exactly this path."""
    return "/" + "".join(f"\\{c}" if c in "\\*?[]! #" else c for c in path)


def list_statement(
    head: str,
    asked: Conditions,
    engine: Engine,
    *,
    limit: int,
    offset: int = 0,
    after: Position | None = None,
    oldest_first: bool = False,
) -> Bound:
    """The rows in order, from where a page ended on."""
    sql = engine.sql
    if not asked.led:
        head += engine.walk
    if after is not None:
        seek = sql.where_after if oldest_first else sql.where_before
        asked = asked.with_all([seek(started_at=after.started_at, execution_id=after.execution_id)])
    asked = asked.with_all([sql.where_identified()])
    direction = "" if oldest_first else " DESC"
    ordered = f" ORDER BY started_at{direction}, execution_id{direction} LIMIT {sql.MARK}"
    parts = [_selecting(head, part) for part in asked.parts]
    if len(parts) > 1 and not engine.merges_parts:
        parts = [(f"({text}{ordered})", (*values, limit + offset)) for text, values in parts]
    text, values = joined(" UNION ALL ", parts)
    return f"{text}{ordered} OFFSET {sql.MARK}", (*values, limit, offset)


def _selecting(head: str, part: Sequence[Bound]) -> Bound:
    text, values = _all_of(part)
    return (f"{head} WHERE {text}" if text else head), values


def count_statement(head: str, asked: Conditions, sql: Statements, at_most: int) -> Bound:
    asked = asked.with_all([sql.where_identified()])
    text, values = joined(" UNION ALL ", [_selecting(head, part) for part in asked.parts])
    return f"SELECT count(*) FROM ({text} LIMIT {sql.MARK}) AS counted", (*values, at_most)


def total_statement(head: str, asked: Conditions, sql: Statements, at_most: int) -> Bound:
    """What `count_statement` answers, sooner where each part is one condition that an index answers.

    Passing over rows of an index costs half of counting them. Only where somebody wrote rows without an id,
    which do not count, does each row have to be looked at.
    """
    one_by_one = count_statement(head, asked, sql, at_most)
    if any(len(part) > 1 for part in asked.parts):
        return one_by_one
    nameless = _selecting(head, [sql.where_nameless()])
    parts = [_selecting(head, part) for part in asked.parts]
    passing, passed = joined(" UNION ALL ", parts)
    counting, counted = joined(" + ", [(f"(SELECT count(*) FROM ({text}) AS part)", v) for text, v in parts])
    return (
        f"SELECT CASE WHEN EXISTS ({nameless[0]}) THEN ({one_by_one[0]})"
        f" WHEN EXISTS ({passing} LIMIT 1 OFFSET {sql.MARK}) THEN {sql.MARK} ELSE {counting} END",
        (*nameless[1], *one_by_one[1], *passed, at_most - 1, at_most, *counted),
    )


def page_with_total(listing: Bound, counting: Bound, *, oldest_first: bool = False) -> Bound:
    """Both answers in one: the total stands last in every row of the page."""
    direction = "" if oldest_first else " DESC"
    return (
        f"SELECT listed.*, ({counting[0]}) AS total FROM ({listing[0]}) AS listed"
        f" ORDER BY started_at{direction}, execution_id{direction}",
        (*counting[1], *listing[1]),
    )


def group_statement(head: str, condition: Bound, columns: int) -> Bound:
    text, values = _selecting(head, [condition] if condition[0] else [])
    places = ", ".join(str(place + 1) for place in range(columns))
    return (f"{text} GROUP BY {places}" if columns else text), values
