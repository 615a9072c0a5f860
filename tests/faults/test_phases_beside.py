"""Others at work at the same time: processes with the same and other changes, a locked database, a person."""

from __future__ import annotations

import sqlite3
import subprocess
import time
from contextlib import closing
from pathlib import Path

import pytest

from executor.models.execution import TERMINAL_STATUSES
from executor.runtime import open_runtime
from support.command import GOOD_PATCH, VERIFY, Repository
from support.phases import Mode
from support.recovered import CASES, Template

pytestmark = pytest.mark.faults

FULL = [pytest.mark.full, pytest.mark.timeout(900)]


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Exit code, and what was said on stderr."""
    _, err = process.communicate(timeout=300)
    assert "Traceback (most recent call last)" not in err, err
    return process.returncode, err


def statuses(repository: Repository) -> list[str]:
    runtime = open_runtime(repository.root, environ=repository.environ)
    try:
        found = [str(record.status) for record in runtime.store.list_executions(limit=100).items]
    finally:
        runtime.close()
    assert set(found) <= TERMINAL_STATUSES
    return found


def nothing_left(repository: Repository) -> None:
    state = repository.root / ".executor"
    left = [
        *state.glob("running/*"),
        *state.glob("journal/*"),
        *state.glob("lock-*"),
        *state.glob("scratch/*"),
    ]
    assert left == []


@pytest.mark.parametrize("count", [pytest.param(4, id="four"), pytest.param(8, marks=FULL, id="eight")])
def test_of_many_processes_with_one_change_it_is_applied_once(tmp_path: Path, mode: Mode, count: int) -> None:
    """All at once in a workspace that has no state yet; the others find it done, or say what stands in the way."""
    mode(f"{count} real processes with the same change")
    repository = Repository.calculator(tmp_path / "repository")
    patch = tmp_path / "p.diff"
    patch.write_text(GOOD_PATCH)
    command = ("run", "--wait", "120", "--verify", VERIFY, "--patch", str(patch))

    ends = [ended(process) for process in [repository.start(*command) for _ in range(count)]]

    assert {code for code, _ in ends} <= {0, 7}, ends
    assert statuses(repository).count("completed") == 1
    assert "b + a" in (repository.root / "calculator.py").read_text()
    nothing_left(repository)


@pytest.mark.parametrize("count", [pytest.param(4, id="four"), pytest.param(8, marks=FULL, id="eight")])
def test_of_many_processes_with_different_changes_none_is_lost(
    tmp_path: Path, mode: Mode, count: int
) -> None:
    mode(f"{count} real processes with different changes")
    repository = Repository.calculator(tmp_path / "repository")
    processes = []
    for number in range(count):
        patch = tmp_path / f"{number}.diff"
        patch.write_text(f"--- /dev/null\n+++ b/new/{number}.py\n@@ -0,0 +1 @@\n+x = {number}\n")
        command = ("run", "--wait", "240", "--verify", VERIFY, "--patch", str(patch))
        processes.append(repository.start(*command))

    ends = [ended(process) for process in processes]

    assert [code for code, _ in ends] == [0] * count, ends
    assert statuses(repository) == ["completed"] * count
    written = {path.name: path.read_text() for path in (repository.root / "new").glob("*.py")}
    assert written == {f"{number}.py": f"x = {number}\n" for number in range(count)}
    nothing_left(repository)


# Says that it has begun, and waits for the word to end as it is told.
HELD = """sh -c 'touch "$0/began"; while ! test -e "$0/go"; do sleep 0.02; done; exit "$1"' {folder} {code}"""


def wait_for(path: Path) -> None:
    for _ in range(6_000):
        if path.exists():
            return
        time.sleep(0.01)
    raise AssertionError(f"{path.name} never came")


@pytest.mark.parametrize("during", ["start", "check"])
@pytest.mark.parametrize(
    "seconds", [pytest.param(1.5, id="short"), pytest.param(10.0, marks=FULL, id="long")]
)
def test_a_database_that_another_locks_is_waited_for(
    tmp_path: Path, mode: Mode, during: str, seconds: float
) -> None:
    mode(f"the database locked by another connection for {seconds} s, from the {during} on")
    repository = Repository.calculator(tmp_path / "repository")
    assert repository.run("init").code == 0
    verify = HELD.format(folder=tmp_path, code=0)
    with closing(sqlite3.connect(repository.root / ".executor/executor.db", isolation_level=None)) as other:
        if during == "start":
            (tmp_path / "go").touch()
            other.execute("BEGIN IMMEDIATE")
        process = repository.start("run", "--verify", verify, "--patch", "-")
        assert process.stdin is not None
        process.stdin.write(GOOD_PATCH)
        process.stdin.close()
        process.stdin = None
        if during == "check":
            wait_for(tmp_path / "began")
            other.execute("BEGIN IMMEDIATE")
            (tmp_path / "go").touch()
        time.sleep(seconds)
        assert process.poll() is None
        other.execute("ROLLBACK")

    assert ended(process)[0] == 0
    assert statuses(repository) == ["completed"]
    nothing_left(repository)


@pytest.mark.full
@pytest.mark.timeout(900)
@pytest.mark.parametrize("case", CASES)
def test_a_database_that_stays_locked_leaves_before_or_after(tmp_path: Path, mode: Mode, case: str) -> None:
    """Longer than anybody waits: nothing can be recorded, so the files are put back at once."""
    mode("the database locked by another connection until the command gives up")
    template = Template(tmp_path, case)
    repository = template.copy("repository")
    patch = tmp_path / "change.diff"
    patch.write_text(template.patch)
    verify = HELD.format(folder=tmp_path, code=0 if case == "passes" else 1)
    assert repository.run("init").code == 0
    with closing(sqlite3.connect(repository.root / ".executor/executor.db", isolation_level=None)) as other:
        process = repository.start("run", "--verify", verify, "--patch", str(patch))
        wait_for(tmp_path / "began")
        other.execute("BEGIN IMMEDIATE")
        (tmp_path / "go").touch()
        code, err = ended(process)
        other.execute("ROLLBACK")

    assert code in (69, 75), err
    found = repository.state()
    assert {path: found[path] for path in template.before} == template.before
    (repository.root / ".executor/policy.yaml").unlink()
    template.assert_in_order(repository)


def test_an_edit_by_a_person_survives_the_rollback_and_is_named(tmp_path: Path, mode: Mode) -> None:
    """Exit 5; the next change runs at once."""
    mode("a file of the change edited by another process while its check runs")
    repository = Repository.calculator(tmp_path / "repository")
    (tmp_path / "p.diff").write_text(GOOD_PATCH + "--- /dev/null\n+++ b/new.py\n@@ -0,0 +1 @@\n+x = 1\n")
    verify = HELD.format(folder=tmp_path, code=1)
    process = repository.start("run", "--verify", verify, "--patch", str(tmp_path / "p.diff"))
    wait_for(tmp_path / "began")
    repository.write("calculator.py", "# mine\n")
    (tmp_path / "go").touch()

    code, _ = ended(process)
    shown = repository.run("show", "@last")

    assert code == 5
    record = repository.run("show", "@last", "--json").json["execution"]
    assert ("failed", "rollback_incomplete") == (record["status"], record["error_code"])
    assert "calculator.py" in record["error_message"]
    assert "calculator.py" in shown.out
    assert (repository.root / "calculator.py").read_text() == "# mine\n"
    assert not (repository.root / "new.py").exists()
    rescued = list((repository.root / ".executor/executions").glob("*/rescued/*"))
    assert [file.read_text() for file in rescued] == ["def add(a, b):\n    return a + b\n"]
    another = repository.apply("--- /dev/null\n+++ b/n.py\n@@ -0,0 +1 @@\n+n = 1\n", verify="true")
    assert another.code == 0, another.err
    assert (repository.root / "calculator.py").read_text() == "# mine\n"
    nothing_left(repository)
