"""The harness of the benchmarks on a tiny database: what it asks, compares, keeps and prints; never how fast."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from benchmarks import __main__ as program
from benchmarks import report, results, works, workspaces
from benchmarks.baseline.dataset import Shapes, forest, new_rows, rows
from benchmarks.engines import ENGINES
from benchmarks.results import Goal, Report, Result, Shape
from benchmarks.run import run
from benchmarks.timing import Sample
from benchmarks.writers import race
from executor.testing.postgres import URL_VARIABLE

SMALL = works.Settings(
    sizes={"tiny": 200},
    rounds=2,
    slice_seconds=0.0,
    shapes=Shapes(chains=2, chain=5, correlations=2, correlation=8, trees=1, tree=30, children=60),
    processes=2,
    records_each=3,
    records_a_round=5,
    rows_imported=70,
    streams=3,
)
# Which of the rows are asked at each size, and not of a new database.
NEW = {"import", "import_mappings", "writers"}


@pytest.fixture(scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def found(request: pytest.FixtureRequest) -> Report:
    said: list[str] = []
    kept: list[Report] = []
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "postgresql":
            patch.setenv(URL_VARIABLE, request.getfixturevalue("postgres").current())
        made = run([ENGINES[request.param]], SMALL, said.append, keep=kept.append)

    assert len(said) > len(made.results) == len(kept)
    assert kept[-1] == made
    return made


def result(**values: object) -> Result:
    given: dict[str, object] = {
        "engine": "sqlite",
        "key": "list_first",
        "title": "list, page 0",
        "size": "10k",
        "clock": "cpu",
        "store_seconds": 0.002,
        "baseline_seconds": 0.001,
        "ratio": 2.0,
        "goal": Goal(2.0, 1.2),
    }
    return Result(**(given | values))  # type: ignore[arg-type]


class TestRun:
    def test_every_row_is_measured_once(self, found: Report) -> None:
        measured = [(each.key, each.size) for each in found.results]

        assert sorted(measured) == sorted(
            (work.key, None if work.key in NEW else "tiny") for work in works.WORKS
        )

    def test_both_sides_answer_with_as_many_rows_and_columns(self, found: Report) -> None:
        """Also the rows of every shape are as many as were made."""
        answers = {each.key: each.answers for each in found.results}

        assert {each.key for each in found.results if not each.sound} == set()
        assert {key: shapes["store"].rows for key, shapes in answers.items() if "store" in shapes} == {
            "import": 70,
            "import_mappings": 70,
            "lineage_chain": 2 * 5,
            "lineage_tree": 30,
            "lineage_parent": 61,
            "lineage_sibling": 61,
            "chain": 2 * 8,
            **dict.fromkeys(("list_first", "list_deep", "list_first_total", "list_deep_total"), works.PAGE),
            "list_flat": works.PAGE,
            "get": 2,
            "http_list": works.PAGE,
            "http_detail": 5,
            "http_lineage": 2 * 5,
        }

    def test_nothing_fails_and_nothing_is_lost(self, found: Report) -> None:
        assert [
            (each.key, each.errors, each.lost) for each in found.results if each.errors or each.lost
        ] == []

    def test_the_kept_file_is_json_and_reads_back(self, found: Report, tmp_path: Path) -> None:
        path = tmp_path / "new" / "results.json"
        results.save(found, path)

        assert json.loads(path.read_text())["format"] == 1
        assert results.load(path) == found

    def test_the_table_has_a_line_for_every_row(self, found: Report) -> None:
        lines = report.table(found).splitlines()

        assert all(any(each.title in line for line in lines) for each in found.results)


def test_a_workspace_is_measured_without_any_database() -> None:
    """A scratch copy finds the change that git finds; a run has a limit in place of a ratio."""
    settings = dataclasses.replace(SMALL, workspace_files=30)
    keys = [work.key for work in workspaces.WORKS]

    made = run([ENGINES["sqlite"]], settings, lambda text: None, keys, workspaces=True)
    capture, added = made.results

    assert [] == made.databases
    assert {"baseline": Shape(1, 1), "store": Shape(1, 1)} == capture.answers
    assert capture.ratio is not None
    assert (None, workspaces.ADDED_LIMIT) == (added.ratio, added.limit_seconds)
    assert added.store_seconds > 0
    assert all(work.title in report.table(made) for work in workspaces.WORKS)


class TestVerdict:
    @pytest.mark.parametrize(
        ("values", "verdict", "passed"),
        [
            ({"ratio": 1.2}, "stretch", True),
            ({"ratio": 2.0}, "pass", True),
            ({"ratio": 2.01}, "FAIL", False),
            ({"ratio": 1.0, "errors": 1}, "WRONG", False),
            ({"ratio": 1.0, "lost": 1}, "WRONG", False),
            ({"answers": {"baseline": Shape(50, 32), "store": Shape(49, 32)}}, "WRONG", False),
            ({"answers": {"baseline": Shape(50, 24), "store": Shape(50, 32)}}, "WRONG", False),
            ({"ratio": None, "goal": None}, "-", True),
            ({"ratio": 99.0, "goal": None}, "-", True),
            ({"ratio": None, "goal": None, "limit_seconds": 0.002}, "pass", True),
            ({"ratio": None, "goal": None, "limit_seconds": 0.0019}, "FAIL", False),
        ],
    )
    def test_a_row(self, values: dict[str, object], verdict: str, passed: bool) -> None:
        """Fast and wrong is wrong; a row without a goal is only watched."""
        row = result(**values)

        assert (row.verdict, row.passed) == (verdict, passed)

    @pytest.mark.parametrize(("ratio", "code"), [(2.0, 0), (2.5, 1)])
    def test_one_missed_target_is_the_exit_code(
        self, ratio: float, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Report(
            began="", seconds=1, rounds=7, machine={}, databases=[], results=[result(), result(ratio=ratio)]
        )
        monkeypatch.setattr(program, "run", lambda *arguments, **options: made)
        output = tmp_path / "results.json"

        assert program.main(["--output", str(output)]) == code
        assert results.load(output) == made

    def test_rows_can_be_left_out(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        made = Report(began="", seconds=1, rounds=7, machine={}, databases=[], results=[])
        asked: list[list[str]] = []

        def run(
            engines: object, settings: object, say: object, only: list[str], *_: object, **__: object
        ) -> Report:
            asked.append(only)
            return made

        monkeypatch.setattr(program, "run", run)
        output = ["--output", str(tmp_path / "results.json")]
        program.main(["--without", "capture,writers", *output])
        program.main(["--only", "get,writers", "--without", "writers", *output])

        every = {work.key for work in (*works.WORKS, *workspaces.WORKS)}
        assert set(asked[0]) == every - {"capture", "writers"}
        assert asked[1] == ["get"]

    def test_reads_are_compared_round_by_round_and_writes_by_the_best(self) -> None:
        """A round in which the machine was slow for both does not show; the best of each may differ in round."""
        base = [Sample(1.0, 1.0), Sample(5.0, 10.0), Sample(2.0, 1.0)]
        store = [Sample(4.0, 2.0), Sample(6.0, 20.0), Sample(3.0, 3.0)]

        assert results.ratio(store, base, "cpu") == (2.0, (2.0, 3.0))
        assert results.ratio(store, base, "wall") == (3.0, (1.2, 4.0))


class TestDataset:
    def test_it_is_always_the_same(self) -> None:
        first, second = (list(rows(forest(200, SMALL.shapes)[0])) for _ in range(2))

        assert first == second
        assert len(first) == len({row[0] for row in first}) == 200

    def test_parents_come_first(self) -> None:
        seen: set[str | None] = {None}
        for row in (*rows(forest(200, SMALL.shapes)[0]), *new_rows(1000, 8)):
            assert row[21] in seen
            seen.add(row[0])


class TestWriters:
    def test_a_failing_record_is_counted(self, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        """The second race writes ids that are there already, which the baseline refuses."""
        engine = ENGINES["sqlite"]
        place = engine.place(tmp_path, "twice")
        race(engine, "baseline", place, processes=1, records=2)

        assert race(engine, "baseline", place, processes=1, records=2).errors == 2
        assert "UNIQUE" in capfd.readouterr().err


class TestPage:
    def test_it_is_written_from_the_kept_results(self) -> None:
        """`python -m benchmarks --docs-from benchmarks/results.json` writes it anew."""
        kept = results.load(program.KEPT)

        assert program.PAGE.read_text() == report.page(kept)

    def test_it_has_every_row(self) -> None:
        kept = results.load(program.KEPT)
        page = program.PAGE.read_text()

        every = (*works.WORKS, *workspaces.WORKS)
        assert {work.key for work in every} == {each.key for each in kept.results}
        assert [work.title for work in every if work.title not in page] == []

    def test_what_was_missed_is_named(self) -> None:
        kept = results.load(program.KEPT)
        first = dataclasses.replace(kept.results[0], ratio=99.0, goal=Goal(2.0, 1.2))
        missed = dataclasses.replace(kept, results=[first])

        assert f"Missed: {first.title} (new)" in report.page(missed)
