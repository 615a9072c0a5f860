"""The rows of the table: what is asked, of whom, and how fast it has to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from itertools import count, islice
from pathlib import Path
from typing import Any, Final

from benchmarks.baseline.dataset import COLUMNS, PLACE, Families, Row, Shapes, execution_id, forest, new_rows
from benchmarks.baseline.dataset import rows as dataset_rows
from benchmarks.engine import Baseline, Engine
from benchmarks.recording import WIDE, record, recorder
from benchmarks.results import BASELINE, NARROW, STORE, Clock, Database, Goal, Shape
from benchmarks.timing import Sample, Subject, clocked, repeated
from benchmarks.upgrading import upgraded
from benchmarks.writers import race
from executor.models.execution import ATTEMPT_TRIGGERS, ExecutionFilter, ExecutionRecord, Page
from executor.storage.engine import Durability
from executor.storage.store import ExecutionStore

PAGE: Final = 50
DEEP_PAGE: Final = 1_000
STATUS: Final = "completed"
# A list says how many there are up to this number; the baseline counts as far.
TOTAL_COUNTED: Final = 10_001

# Rows written while measuring have numbers above those of any size.
_NEW_ROWS: Final = 10_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """How much is measured."""

    sizes: Mapping[str, int]
    rounds: int = 7
    slice_seconds: float = 0.1
    shapes: Shapes = field(default_factory=Shapes)
    processes: int = 8
    records_each: int = 250
    records_a_round: int = 200
    rows_imported: int = 20_000
    streams: int = 200
    workspace_files: int = 10_000


@dataclass(frozen=True, slots=True)
class Work:
    """One row of the table, whatever the size and the engine. `meaning` ends up in the documents."""

    key: str
    title: str
    meaning: str
    clock: Clock
    goal: Goal | None = None


@dataclass(slots=True)
class Case:
    """A row ready to be measured: the subjects, the baseline first, and what they answer."""

    work: Work
    subjects: dict[str, Subject]
    answers: dict[str, Shape]
    note: str = ""
    # What the store may take where there is nothing to compare it with.
    limit_seconds: float | None = None
    # Filled while measuring.
    errors: list[int] = field(default_factory=list)
    lost: list[int] = field(default_factory=list)


_LINEAGE = Goal(2.0, 1.2)
_ALL_ROWS = Goal(1.3, 0.9)
_LIST = Goal(1.5, 1.2)
_RECORDING = Goal(2.5, 1.5)
_IMPORT = Goal(2.0, 1.2)

CHAIN_OF_20: Final = Work(
    "lineage_chain",
    "lineage, chain of 20",
    "The lineage of the execution in the middle of a chain: ten ancestors, nine descendants.",
    "cpu",
    _LINEAGE,
)
TREE: Final = Work(
    "lineage_tree",
    "lineage, tree of 1,000",
    "The lineage of the root of a tree in which everyone has ten children: 999 descendants, all columns.",
    "cpu",
    _ALL_ROWS,
)
PARENT: Final = Work(
    "lineage_parent",
    "lineage, parent of 10,000",
    "The lineage of a root with 10,000 children, all columns of all rows.",
    "cpu",
    _ALL_ROWS,
)
SIBLINGS: Final = Work(
    "lineage_sibling",
    "lineage, one of 10,000 siblings",
    "The lineage of one of these children: the parent and 9,999 siblings.",
    "cpu",
    _ALL_ROWS,
)
CHAIN: Final = Work(
    "chain",
    "chain of 100",
    "The 100 executions of a correlation in the order they started.",
    "cpu",
    Goal(1.4, 1.15),
)
FIRST: Final = Work(
    "list_first",
    "list, page 0",
    "The 50 newest executions with one status.",
    "cpu",
    _LIST,
)
DEEP: Final = Work(
    "list_deep",
    "list, page 1,000",
    "The same list, 1,000 pages further down by its cursor (the last full page where there are fewer).",
    "cpu",
    _LIST,
)
FIRST_TOTAL: Final = Work(
    "list_first_total",
    "list, page 0, with total",
    "Page 0 and how many there are, counted up to 10,000; the baseline counts as far.",
    "cpu",
    _LIST,
)
DEEP_TOTAL: Final = Work(
    "list_deep_total",
    "list, page 1,000, with total",
    "Page 1,000 and how many there are.",
    "cpu",
    _LIST,
)
FLAT: Final = Work(
    "list_flat",
    "list, page 1,000 against page 0",
    "Both by the store: the deep page against the first one. Flat means that depth costs nothing.",
    "cpu",
    _LIST,
)
GET: Final = Work(
    "get",
    "one execution by its id",
    "A lookup by id.",
    "cpu",
)
RESOLVE: Final = Work(
    "resolve_suffix",
    "resolve an id by its last 8",
    "What the command line does with the 8 characters that it shows of an id.",
    "cpu",
)
UNRESOLVED: Final = Work(
    "unresolved",
    "list, unresolved, page 0",
    "The 50 newest failures that nothing has made up for.",
    "cpu",
)
STATISTICS: Final = Work(
    "statistics",
    "statistics over everything",
    "Counts and durations of all executions.",
    "cpu",
)
RECORD: Final = Work(
    "record",
    "start + complete",
    "One execution by the full path of the store, validation and two event rows included: "
    "a start and an end, a commit each, `synchronous=NORMAL`.",
    "wall",
    _RECORDING,
)
RECORD_FULL: Final = Work(
    "record_full",
    "start + complete, durable",
    "The same with `synchronous=FULL` on both sides: nothing acknowledged is lost with the power.",
    "wall",
    _RECORDING,
)
IMPORT: Final = Work(
    "import",
    "bulk import",
    "20,000 executions into a new database by `record_many`, a unit is one row.",
    "wall",
    _IMPORT,
)
IMPORT_MAPPINGS: Final = Work(
    "import_mappings",
    "bulk import of mappings",
    "The same rows, given as mappings in place of records.",
    "wall",
    _IMPORT,
)
IMPORT_ALL: Final = Work(
    "import_all",
    "bulk import of the whole database",
    "What made the database of that size, 20,000 rows at a time, both sides in turns; it is done once. "
    "The more there is, the more each index has to be searched for the place of a row.",
    "wall",
    _IMPORT,
)
WRITERS: Final = Work(
    "writers",
    "8 writer processes",
    "Eight processes open a new database at the same instant and record 250 executions each, start and "
    "complete; a unit is one execution. No error, and everything acknowledged is there.",
    "wall",
    Goal(2.0, 1.5),
)

UPGRADE: Final = Work(
    "upgrade",
    "upgrade from version 0, worst read",
    "A database as old programs left it, with as many executions as the size says, brought to the newest schema "
    "while two readers ask for one execution after another: the longest that one answer took.",
    "wall",
)

HTTP_LIST: Final = Work(
    "http_list",
    "HTTP list",
    "`GET /executions?status=completed&limit=50`, total included: CPU time of the server, a unit is one request. "
    "The baseline is a bare ASGI function over the raw driver and the same database, served by the same server with "
    "the same settings, that answers with as much.",
    "cpu",
    Goal(2.0, 1.7),
)
HTTP_DETAIL: Final = Work(
    "http_detail",
    "HTTP detail",
    "`GET /executions/ID`: record, five steps, plan, decision, approval and links of a completed execution.",
    "cpu",
    Goal(3.0, 2.5),
)
HTTP_LINEAGE: Final = Work(
    "http_lineage",
    "HTTP lineage",
    "`GET /executions/ID/lineage` of the execution in the middle of a chain of 20.",
    "cpu",
    Goal(2.0, 1.4),
)
HTTP_HOLD: Final = Work(
    "http_hold",
    "HTTP, longest hold of the event loop",
    "How late the event loop of the server was at most, while two clients ask for lineages of 10,000 rows, lists of "
    "500 and single executions; the round in which nothing else disturbed it. The baseline is the limit.",
    "wall",
    Goal(1.0, 0.5),
)
HTTP_APPEARS: Final = Work(
    "http_appears",
    "HTTP, until a stream has it",
    "From the commit of another process until the event has reached a client of `GET /events/stream`; the slowest of "
    "all. The baseline is the limit.",
    "worst",
    Goal(1.0, 0.1),
)
HTTP_STREAMS: Final = Work(
    "http_streams",
    "HTTP, until 200 streams have it",
    "The same with 200 streams of one server, until the last event has reached the last of them. Lost: events that "
    "did not come, came twice or out of order.",
    "worst",
    Goal(1.0, 0.5),
)

HTTP_WORKS: Final = (HTTP_LIST, HTTP_DETAIL, HTTP_LINEAGE, HTTP_HOLD, HTTP_APPEARS, HTTP_STREAMS)
WORKS: Final = (
    *(RECORD, RECORD_FULL, IMPORT, IMPORT_MAPPINGS, IMPORT_ALL, WRITERS, UPGRADE),
    *(CHAIN_OF_20, TREE, PARENT, SIBLINGS, CHAIN),
    *(FIRST, DEEP, FIRST_TOTAL, DEEP_TOTAL, FLAT),
    *(GET, RESOLVE, UNRESOLVED, STATISTICS),
    *HTTP_WORKS,
)


class Databases:
    """The two databases of one size, the baseline's and the store's, with the same executions."""

    def __init__(
        self, engine: Engine, directory: Path, label: str, settings: Settings, say: Callable[[str], None]
    ) -> None:
        """Makes both. Takes minutes for a million executions."""
        self.engine = engine
        self.label = label
        nodes, self.families = forest(settings.sizes[label], settings.shapes)
        self.executions = len(nodes)
        self._bare = engine.place(directory, f"baseline-{label}")
        self._stored = engine.place(directory, f"store-{label}")
        with ExitStack() as stack:
            store = stack.enter_context(engine.store(self._stored, durability="normal"))
            baseline = engine.baseline(self._bare, durability="normal", columns=WIDE)
            stack.callback(baseline.close)
            rows = _widened(dataset_rows(nodes), store.workspace_id)
            self._samples = self._filled(baseline, store, rows, settings.rows_imported, say)
        engine.backdate(self._stored)
        for place in (self._bare, self._stored):
            engine.settle(place)
        self._new = count(_NEW_ROWS, 4 * ((settings.records_a_round + 3) // 4))

    def _filled(
        self,
        baseline: Baseline,
        store: ExecutionStore,
        rows: Iterator[Row],
        at_a_time: int,
        say: Callable[[str], None],
    ) -> dict[str, Sample]:
        """Imports all rows into both and says what one row took."""
        samples: dict[str, list[Sample]] = {BASELINE: [], STORE: []}
        done = 0
        while batch := list(islice(rows, at_a_time)):
            records = list(map(record, batch))
            samples[BASELINE].append(clocked(partial(baseline.bulk, batch), 1))
            samples[STORE].append(clocked(partial(store.record_many, records), 1))
            done += len(batch)
            if done % (10 * at_a_time) == 0:
                say(f"{self.engine.name} {self.label:>5}  {done:,} of {self.executions:,} imported")
        return {
            name: Sample(sum(sample.wall for sample in taken) / self.executions, None)
            for name, taken in samples.items()
        }

    def import_case(self) -> Case:
        """What it took to fill both."""
        return Case(IMPORT_ALL, {name: _always(sample) for name, sample in self._samples.items()}, {})

    def describe(self) -> Database:
        return Database(
            self.engine.name,
            self.label,
            self.executions,
            self.engine.bytes_used(self._bare),
            self.engine.bytes_used(self._stored),
            self._samples[STORE].wall * self.executions,
        )

    def baseline(self, *, durability: Durability = "normal", columns: Sequence[str] = WIDE) -> Baseline:
        return self.engine.baseline(self._bare, durability=durability, columns=columns)

    def store(self, *, durability: Durability = "normal") -> ExecutionStore:
        return self.engine.store(self._stored, durability=durability)

    def fresh_rows(self, number: int) -> list[Row]:
        """Executions that are in neither database yet."""
        return new_rows(next(self._new), number)

    @property
    def stored(self) -> str:
        """The place of the store's database."""
        return self._stored

    def discard(self) -> None:
        for place in (self._bare, self._stored):
            self.engine.discard(place)


def upgrade_case(engine: Engine, directory: Path, label: str, executions: int) -> Case:
    """Upgrades once; the case tells how long the slowest read waited, its note how long all of it took."""
    place = engine.place(directory, f"old-{label}")
    found = upgraded(engine, place, executions)
    engine.discard(place)
    sample = Sample(found.worst_read, None)
    note = f"{found.seconds:.1f} s in all, {found.reads:,} reads meanwhile"
    return Case(UPGRADE, {STORE: _always(sample)}, {}, note)


def _always(sample: Sample) -> Subject:
    return lambda number: sample


def _widened(rows: Iterator[Row], workspace_id: str) -> Iterator[Row]:
    """The columns that the store fills in by itself, as it fills them in; the others stay empty."""
    attempts: dict[str, int] = {}
    extra = [None] * (len(WIDE) - len(COLUMNS))
    workspace, attempt = (WIDE.index(name) - len(COLUMNS) for name in ("workspace_id", "attempt"))
    parent, trigger = PLACE["parent_execution_id"], PLACE["trigger_kind"]
    values: list[Any] = extra
    for row in rows:
        times = attempts.get(row[parent], 1) + 1 if row[trigger] in ATTEMPT_TRIGGERS else 1
        # Few are retried: the others need not be remembered.
        if times > 1:
            attempts[row[0]] = times
        values[workspace], values[attempt] = workspace_id, times
        yield (*row, *values)


# Reading.


@dataclass(frozen=True, slots=True)
class Place:
    """The same place in the list, as the baseline and as the store are told of it; None: the beginning."""

    after: tuple[str, str] | None = None
    cursor: str | None = None


@dataclass(frozen=True, slots=True)
class Reading:
    """One question to both sides. The last two turn an answer into its rows, outside of the clock."""

    work: Work
    targets: Sequence[Any]
    ask_baseline: Callable[[Baseline, Any], Any]
    ask_store: Callable[[ExecutionStore, Any], Any]
    baseline_rows: Callable[[Any], list[Row]]
    store_rows: Callable[[Any], list[ExecutionRecord]]
    note: str = ""

    def case(self, baseline: Baseline, narrow: Baseline, store: ExecutionStore, slice_seconds: float) -> Case:
        bare, stored = self.ask_baseline, self.ask_store
        answers = {
            BASELINE: self._baseline_shape(baseline),
            STORE: self._store_shape(store),
            NARROW: self._baseline_shape(narrow),
        }
        subjects = {
            BASELINE: repeated(lambda target: bare(baseline, target), self.targets, slice_seconds),
            STORE: repeated(lambda target: stored(store, target), self.targets, slice_seconds),
            NARROW: repeated(lambda target: bare(narrow, target), self.targets, slice_seconds),
        }
        self._compare(baseline, store)
        return Case(self.work, subjects, answers, self.note)

    def _baseline_shape(self, baseline: Baseline) -> Shape:
        found = [self.baseline_rows(self.ask_baseline(baseline, target)) for target in self.targets]
        return Shape(sum(map(len, found)), len(found[0][0]))

    def _store_shape(self, store: ExecutionStore) -> Shape:
        found = [self.store_rows(self.ask_store(store, target)) for target in self.targets]
        return Shape(sum(map(len, found)), len(found[0][0].to_dict()))

    def _compare(self, baseline: Baseline, store: ExecutionStore) -> None:
        """Raises AssertionError when the two do not answer with the same executions."""
        for target in self.targets:
            bare = {row[0] for row in self.baseline_rows(self.ask_baseline(baseline, target))}
            stored = {record.execution_id for record in self.store_rows(self.ask_store(store, target))}
            assert bare == stored, f"{self.work.key}: {len(bare ^ stored)} executions differ"


def _lineage_rows(answer: tuple[Row, list[Row], list[Row], list[Row]]) -> list[Row]:
    own, ancestors, descendants, siblings = answer
    return [own, *ancestors, *descendants, *siblings]


def _lineage_records(answer: Any) -> list[ExecutionRecord]:
    return [answer["execution"], *answer["ancestors"], *answer["descendants"], *answer["siblings"]]


def _lineage(work: Work, numbers: Sequence[int]) -> Reading:
    return Reading(
        work,
        [execution_id(number) for number in numbers],
        lambda baseline, wanted: baseline.lineage(wanted),
        lambda store, wanted: store.get_execution_lineage(wanted),
        _lineage_rows,
        _lineage_records,
    )


_WITH_STATUS: Final = ExecutionFilter(status=(STATUS,))


def _baseline_page(baseline: Baseline, place: Place) -> list[Row]:
    if place.after is None:
        return baseline.page(STATUS, PAGE)
    return baseline.page_after(STATUS, *place.after, PAGE)


def _baseline_page_and_total(baseline: Baseline, place: Place) -> list[Row]:
    found = _baseline_page(baseline, place)
    baseline.count(STATUS, TOTAL_COUNTED)
    return found


def _store_page(store: ExecutionStore, place: Place) -> Page[ExecutionRecord]:
    return store.list_executions(_WITH_STATUS, PAGE, place.cursor)


def _store_page_and_total(store: ExecutionStore, place: Place) -> Page[ExecutionRecord]:
    return store.list_executions(_WITH_STATUS, PAGE, place.cursor, with_total=True)


def _listing(work: Work, place: Place, *, total: bool = False, note: str = "") -> Reading:
    return Reading(
        work,
        [place],
        _baseline_page_and_total if total else _baseline_page,
        _store_page_and_total if total else _store_page,
        list,
        list,
        note,
    )


def _deep_place(baseline: Baseline, store: ExecutionStore) -> tuple[Place, int]:
    """Where page 1,000 begins, or the last full page of a smaller list, and its number."""
    full_pages = baseline.count(STATUS, (DEEP_PAGE + 1) * PAGE) // PAGE
    number = min(DEEP_PAGE, full_pages - 1)
    last = baseline.page(STATUS, 1, number * PAGE - 1)[0]
    cursor, passed = None, 0
    while passed < number * PAGE:
        step = min(10_000, number * PAGE - passed)
        cursor = store.list_executions(_WITH_STATUS, step, cursor).next_cursor
        passed += step
    return Place((last[PLACE["started_at"]], last[0]), cursor), number


def reading_cases(databases: Databases, settings: Settings, stack: ExitStack) -> Iterator[Case]:
    """Questions to the databases of one size; `stack` closes what they need."""
    baseline, narrow = databases.baseline(), databases.baseline(columns=COLUMNS)
    stack.callback(baseline.close)
    stack.callback(narrow.close)
    store = stack.enter_context(databases.store())
    for reading in _readings(databases.families, settings.shapes, baseline, store):
        yield reading.case(baseline, narrow, store, settings.slice_seconds)
    place, _ = _deep_place(baseline, store)
    yield _flat_case(store, place, settings.slice_seconds)
    yield from _store_only_cases(databases.families, store, settings.slice_seconds)


def _readings(
    families: Families, shapes: Shapes, baseline: Baseline, store: ExecutionStore
) -> Iterator[Reading]:
    yield _lineage(CHAIN_OF_20, [root + shapes.chain // 2 for root in families.chains])
    yield _lineage(TREE, families.trees)
    yield _lineage(PARENT, families.parents)
    yield _lineage(SIBLINGS, [families.parents[0] + 1 + shapes.children // 3])
    yield Reading(
        CHAIN,
        [execution_id(root) for root in families.correlations],
        lambda baseline, wanted: baseline.chain(wanted),
        lambda store, wanted: store.list_executions_by_correlation(wanted),
        list,
        list,
    )
    deep, number = _deep_place(baseline, store)
    note = "" if number == DEEP_PAGE else f"page {number:,}"
    yield _listing(FIRST, Place())
    yield _listing(DEEP, deep, note=note)
    yield _listing(FIRST_TOTAL, Place(), total=True)
    yield _listing(DEEP_TOTAL, deep, total=True, note=note)
    yield Reading(
        GET,
        [execution_id(root + 1) for root in families.chains],
        lambda baseline, wanted: baseline.get(wanted),
        lambda store, wanted: store.get_execution(wanted),
        lambda row: [row],
        lambda record: [record],
    )


def _flat_case(store: ExecutionStore, deep: Place, slice_seconds: float) -> Case:
    pages = {BASELINE: Place(), STORE: deep}
    return Case(
        FLAT,
        {
            name: repeated(lambda place: _store_page(store, place), [place], slice_seconds)
            for name, place in pages.items()
        },
        {name: Shape(len(_store_page(store, place)), len(WIDE)) for name, place in pages.items()},
    )


def _store_only_cases(families: Families, store: ExecutionStore, slice_seconds: float) -> Iterator[Case]:
    ends = [execution_id(root)[-8:] for root in families.chains[:3]]
    asked: list[tuple[Work, Callable[[Any], object], Sequence[Any]]] = [
        (RESOLVE, store.resolve_execution_id, ends),
        (
            UNRESOLVED,
            lambda filter: store.list_executions(filter, PAGE),
            [ExecutionFilter(unresolved=True)],
        ),
        (STATISTICS, store.get_statistics, [None]),
    ]
    for work, ask, targets in asked:
        yield Case(work, {STORE: repeated(ask, targets, slice_seconds)}, {})


# Writing.


def recording_cases(databases: Databases, settings: Settings, stack: ExitStack) -> Iterator[Case]:
    """Start and complete at the databases of one size, which grow by it."""
    durabilities: list[tuple[Work, Durability]] = [(RECORD, "normal"), (RECORD_FULL, "full")]
    for work, durability in durabilities:
        baseline = databases.baseline(durability=durability)
        stack.callback(baseline.close)
        store = stack.enter_context(databases.store(durability=durability))
        yield _recording_case(work, databases, baseline, store, settings.records_a_round)


def _recording_case(
    work: Work, databases: Databases, baseline: Baseline, store: ExecutionStore, records: int
) -> Case:
    case = Case(work, {}, {})
    rounds: dict[int, list[Row]] = {}

    def rows(number: int) -> list[Row]:
        if number not in rounds:
            rounds.clear()
            rounds[number] = databases.fresh_rows(records)
        return rounds[number]

    def bare(number: int) -> Sample:
        written = rows(number)
        return clocked(lambda: _each(baseline.record, written), records)

    def stored(number: int) -> Sample:
        written = rows(number)
        jobs = [recorder(store, row) for row in written]
        sample = clocked(lambda: _each(lambda job: job(), jobs), records)
        found = [store.get_execution(row[0]) for row in written]
        case.lost.append(sum(record is None or not record.ended for record in found))
        return sample

    case.subjects.update({BASELINE: bare, STORE: stored})
    return case


def _each(work: Callable[[Any], None], items: Iterable[Any]) -> None:
    for item in items:
        work(item)


def import_cases(engine: Engine, directory: Path, settings: Settings) -> Iterator[Case]:
    """Many rows into a new database a round."""
    nodes, _ = forest(settings.rows_imported, settings.shapes)
    rows = list(dataset_rows(nodes))[: settings.rows_imported]
    # What is cut off at the end has no children: these start later.
    for work, given in (
        (IMPORT, [record(row) for row in rows]),
        (IMPORT_MAPPINGS, [dict(zip(COLUMNS, row, strict=True)) for row in rows]),
    ):
        yield _import_case(work, engine, directory, rows, given)


def _import_case(work: Work, engine: Engine, directory: Path, rows: list[Row], given: Sequence[Any]) -> Case:
    case = Case(work, {}, {})

    def bare(number: int) -> Sample:
        place = engine.place(directory, f"{work.key}-baseline-{number}")
        baseline = engine.baseline(place, durability="normal", columns=COLUMNS)
        sample = clocked(lambda: baseline.bulk(rows), len(rows))
        case.answers[BASELINE] = Shape(baseline.size(), 0)
        baseline.close()
        engine.discard(place)
        return sample

    def stored(number: int) -> Sample:
        place = engine.place(directory, f"{work.key}-store-{number}")
        with engine.store(place, durability="normal") as store:
            sample = clocked(lambda: store.record_many(given), len(rows))
            case.answers[STORE] = Shape(store.get_statistics().total, 0)
        engine.discard(place)
        return sample

    case.subjects.update({BASELINE: bare, STORE: stored})
    return case


def writers_case(engine: Engine, directory: Path, settings: Settings) -> Case:
    """Processes that write one new database a round."""
    case = Case(WRITERS, {}, {})

    def subject(name: str) -> Subject:
        def run(number: int) -> Sample:
            place = engine.place(directory, f"{WRITERS.key}-{name}-{number}")
            outcome = race(engine, name, place, settings.processes, settings.records_each)
            engine.discard(place)
            if name == STORE:
                case.errors.append(outcome.errors)
                case.lost.append(outcome.lost)
            return Sample(outcome.seconds / outcome.records, None)

        return run

    case.subjects.update({name: subject(name) for name in (BASELINE, STORE)})
    return case
