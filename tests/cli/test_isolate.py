"""`executor run --isolate`: the checks pass in a scratch copy before the workspace is touched."""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

import pytest

from support.command import BROKEN_PATCH, CALCULATOR, GOOD_PATCH, VERIFY, Repository

INNER_PATCH = GOOD_PATCH.replace("b + a", "a  + b").replace("return a + b", "return b + a", 1)
BREAK = "sed -i 's/a + b/a - b/' calculator.py"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.calculator(tmp_path / "repository")


def steps(repository: Repository) -> list[tuple[str, str, bool]]:
    found = repository.run("show", "@last", "--json").json["steps"]
    return [(step["step_name"], step["status"], step["metadata"] == '{"where": "scratch"}') for step in found]


def watching(repository: Repository) -> str:
    """A check that writes down where it runs and what stands in the workspace meanwhile."""
    log = repository.root.parent / "seen"
    file = repository.root / "calculator.py"
    return f"""sh -c '(pwd; grep return {file}) >> {log}; {VERIFY}'"""


def seen(repository: Repository) -> list[str]:
    return (repository.root.parent / "seen").read_text().split("\n")[:-1]


def scratches(repository: Repository) -> list[Path]:
    return list((repository.root / ".executor").glob("scratch/*"))


def test_a_change_that_passes_there_is_applied_and_verified_in_the_workspace(repository: Repository) -> None:
    """The uncommitted work of the workspace is in the copy; the copy is gone afterwards."""
    repository.write("untracked.py", "1\n")
    check = watching(repository)

    ran = repository.apply(GOOD_PATCH, "--isolate", "--verify", "test -f untracked.py", verify=check)

    assert 0 == ran.code, ran.err
    assert [
        ("validate", "completed", False),
        ("verify", "completed", True),
        ("verify", "completed", True),
        ("backup", "completed", False),
        ("apply", "completed", False),
        ("verify", "completed", False),
        ("verify", "completed", False),
    ] == steps(repository)
    there, before, here, after = seen(repository)
    assert (True, str(repository.root)) == (there.startswith(f"{repository.root}/.executor/scratch/"), here)
    assert ("    return a + b", "    return b + a") == (before, after)
    assert "in a scratch copy: " in ran.err
    assert [] == scratches(repository)


@pytest.mark.parametrize("form", ["patch", "capture"])
def test_a_change_that_fails_there_never_touches_the_workspace(repository: Repository, form: str) -> None:
    """Nothing is rolled back, because nothing was applied; a retry is isolated, too."""
    inode = (repository.root / "calculator.py").stat().st_ino
    check = watching(repository)
    if form == "patch":
        ran = repository.apply(BROKEN_PATCH, "--isolate", verify=check)
    else:
        ran = repository.run("run", "--isolate", "--verify", check, "--", "sh", "-c", BREAK)

    again = repository.run("retry", "@last", "--json")

    assert (1, 1) == (ran.code, again.code)
    assert "the workspace was not touched" in ran.err
    record = again.json["execution"]
    assert ("failed", "verify", "isolated_check_failed", 0, False) == tuple(
        record[name] for name in ("status", "error_step", "error_code", "files_changed", "rolled_back")
    )
    assert "in a scratch copy, the workspace is untouched" in record["error_message"]
    assert [("validate", "completed", False), ("verify", "failed", True)] == steps(repository)
    assert ["    return a + b"] * 2 == seen(repository)[1::2]
    assert inode == (repository.root / "calculator.py").stat().st_ino
    events = [row["event"] for row in repository.run("events", "@last", "--json").json["events"]]
    assert not {"file_changed", "rollback_start"} & set(events)
    assert "FAILED" in repository.run("logs", "@last").out
    assert "verify in a scratch copy" in repository.run("show", "@last").out
    assert [] == scratches(repository)
    # Without isolation the same change is applied and put back.
    plain = repository.run("retry", "@last", "--no-isolate", "--json").json["execution"]
    assert ("rolled_back", "check_failed") == (plain["status"], plain["error_code"])
    assert CALCULATOR == (repository.root / "calculator.py").read_text()


def test_the_rule_about_drift_holds_there(repository: Repository) -> None:
    ran = repository.apply(GOOD_PATCH, "--isolate", "--json", verify="sh -c 'echo >> test_calculator.py'")

    record = ran.json["execution"]
    assert ("failed", "isolated_drift") == (record["status"], record["error_code"])
    assert CALCULATOR == (repository.root / "calculator.py").read_text()


def test_tests_are_counted_once(repository: Repository) -> None:
    repository.write(
        "test_two.py", "import calculator\n\n\ndef test_sum():\n    assert calculator.add(1, 1) == 2\n"
    )
    for patch, outcomes in ((GOOD_PATCH, ["passed"]), (BROKEN_PATCH, ["failed"])):
        repository.apply(patch, "--isolate", verify="pytest -q test_two.py")
        tests = repository.run("show", "@last", "--json").json["tests"]
        assert outcomes == [test["outcome"] for test in tests]
        repository.git("checkout", "--quiet", ".")


def test_the_settings_of_the_workspace_ask_for_it(repository: Repository) -> None:
    """An option overrules them; `plan` tells; a mistake is named."""
    settings = repository.write(".executor/config.toml", "[run]\nisolate = true\n")
    planned = repository.run("plan", "--patch", "-", stdin=BROKEN_PATCH)
    assert 1 == repository.apply(BROKEN_PATCH).code
    assert ("verify", "failed", True) == steps(repository)[-1]
    assert 1 == repository.apply(BROKEN_PATCH, "--no-isolate").code
    assert ("rollback", "completed", False) == steps(repository)[-1]
    settings.write_text("[run]\nisolate = 1\n")
    refused = repository.apply(BROKEN_PATCH)

    assert "isolate: the checks have to pass in a scratch copy first" in planned.out
    assert (2, True) == (refused.code, "[run]" in refused.err)
    assert 2 == repository.apply(BROKEN_PATCH, "--isolate", "--no-verify", verify=None).code


def test_a_file_that_git_ignores_is_changed_in_the_copy_not_through_a_link(repository: Repository) -> None:
    """Folders that the copy shares are never written to by a change that is tried."""
    repository.write(".gitignore", "vendor/\nlocal.py\n")
    repository.write("vendor/x.py", "1\n")
    repository.write("local.py", "1\n")
    patch = "--- a/{0}\n+++ b/{0}\n@@ -1 +1 @@\n-1\n+2\n"
    create = "--- /dev/null\n+++ b/vendor/new.py\n@@ -0,0 +1 @@\n+1\n"
    both = patch.format("local.py") + patch.format("vendor/x.py")

    changed = repository.apply(both, "--isolate", "--json", verify="grep 2 local.py vendor/x.py")
    created = repository.apply(create, "--isolate", "--json", verify="test ! -e vendor/new.py")

    assert 0 == changed.code, changed.err
    assert "isolated_check_failed" == created.json["execution"]["error_code"]
    assert ["x.py"] == [path.name for path in (repository.root / "vendor").iterdir()]


def test_a_check_there_may_record_but_not_change_the_copy(repository: Repository) -> None:
    """As in a verification of the workspace: what it wants to run is refused, as its child."""
    inner = repository.write("../inner.diff", INNER_PATCH)
    me = f"{sys.executable} -m executor"
    code = repository.root.parent / "code"
    check = f"sh -c '{me} run --patch {inner} --verify true; echo $? >> {code}'"

    ran = repository.apply(GOOD_PATCH, "--isolate", "--json", verify=check)

    assert 0 == ran.code, ran.err
    assert ["7", "7"] == code.read_text().split()
    outer = ran.json["execution"]["execution_id"]
    children = repository.run("lineage", outer, "--json").json["descendants"]
    assert [("failed", "validate")] * 2 == [(child["status"], child["error_step"]) for child in children]
    assert {f"scratch:{outer}", ran.json["execution"]["workspace_id"]} == {
        child["workspace_id"] for child in children
    }


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_stopped_or_killed_while_it_checks_there(repository: Repository, number: signal.Signals) -> None:
    """The copy is gone at the latest after the next start; the workspace was never touched."""
    before, started = repository.state(), repository.root.parent / "started"
    patch = repository.write("../good.diff", GOOD_PATCH)
    check = f"sh -c 'touch {started}; exec sleep 60'"
    process = repository.start("run", "--isolate", "--patch", str(patch), "--verify", check)
    deadline = time.monotonic() + 60
    while not started.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    assert 1 == len(scratches(repository))
    process.send_signal(number)
    process.communicate(timeout=60)

    (record,) = repository.run("list", "--json").json["executions"]
    code = "interrupted" if number == signal.SIGINT else "cut_short"
    assert ("failed", "verify", code) == (record["status"], record["error_step"], record["error_code"])
    assert (before, []) == (repository.state(), scratches(repository))
