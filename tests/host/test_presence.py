"""A mark says which executions are live, and a dead process leaves one that others find."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from executor.errors import WorkspaceUnwritable
from executor.host.presence import FOLDER, Presence, abandoned, any_marks, clear, is_live, present, safe_name

pytestmark = pytest.mark.faults

PRESENCE = Presence("exec_1", "ws_1", "/w", 1)

DIES = """
import os, signal, sys
from pathlib import Path
from executor.errors import WorkspaceUnwritable
from executor.host.presence import FOLDER, Presence, present
with present(Path(sys.argv[1]), Presence("exec_1", "ws_1", "/w", os.getpid())):
    print("in", flush=True)
    if sys.argv[2] == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    sys.stdin.read()
"""


def start(state: Path, how: str) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, "-c", DIES, str(state), how],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "in\n"
    return process


def test_a_mark_stands_while_the_work_lasts(tmp_path: Path) -> None:
    with present(tmp_path, PRESENCE):
        assert any_marks(tmp_path)
        assert is_live(tmp_path, "exec_1")

    assert not any_marks(tmp_path)
    assert not is_live(tmp_path, "exec_1")


def test_what_a_live_process_marks_is_not_abandoned(tmp_path: Path) -> None:
    process = start(tmp_path, "live")

    with abandoned(tmp_path) as found:
        assert found == []
    assert is_live(tmp_path, "exec_1")
    process.communicate("")
    assert not any_marks(tmp_path)


def test_what_a_killed_process_marked_is_found_until_it_is_cleared(tmp_path: Path) -> None:
    process = start(tmp_path, "die")
    assert process.wait() == -signal.SIGKILL
    process.communicate()

    for _ in range(2):
        with abandoned(tmp_path) as found:
            assert [(p.execution_id, p.workspace_id, p.root) for p in found] == [("exec_1", "ws_1", "/w")]
            # Whoever recovers holds it: nobody else finds it meanwhile.
            with abandoned(tmp_path) as again:
                assert again == []
    clear(tmp_path, "exec_1")
    with abandoned(tmp_path) as found:
        assert found == []


def test_a_mark_outlives_an_error_so_that_recovery_looks_at_it(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError), present(tmp_path, PRESENCE):
        raise RuntimeError

    with abandoned(tmp_path) as found:
        assert found == [PRESENCE]


def test_a_mark_that_was_never_filled_is_swept_away(tmp_path: Path) -> None:
    (tmp_path / "running").mkdir()
    (tmp_path / "running" / "exec_1").touch()

    with abandoned(tmp_path) as found:
        assert found == []
    assert not any_marks(tmp_path)


@pytest.mark.parametrize("odd", ["../x", "a/b", ".", "..", ".hidden", "ä"])
def test_an_odd_id_becomes_one_harmless_file_name(odd: str) -> None:
    name = safe_name(odd)

    assert os.sep not in name
    assert not name.startswith(".")
    assert safe_name("exec_0a1b") == "exec_0a1b"


def test_a_mark_in_the_making_is_not_taken_for_an_abandoned_one(tmp_path: Path) -> None:
    """Processes that begin while others look for the dead: each stays marked, and none is told it is there twice."""
    beginning = (
        "import sys; from pathlib import Path\n"
        "from executor.host.presence import Presence, is_live, present\n"
        "for number in range(60):\n"
        "    name = f'{sys.argv[2]}-{number}'\n"
        "    with present(Path(sys.argv[1]), Presence(name, 'ws_1', '/w', 1)):\n"
        "        assert (Path(sys.argv[1]) / 'running' / name).exists(), name\n"
    )
    looking = (
        "import sys; from pathlib import Path\n"
        "from executor.host.presence import abandoned\n"
        "while not (Path(sys.argv[1]) / 'over').exists():\n"
        "    with abandoned(Path(sys.argv[1])) as found: assert found == [], found\n"
    )
    lookers = [subprocess.Popen([sys.executable, "-c", looking, str(tmp_path)]) for _ in range(2)]
    beginners = [
        subprocess.Popen([sys.executable, "-c", beginning, str(tmp_path), name]) for name in ("a", "b")
    ]

    ends = [process.wait() for process in beginners]
    (tmp_path / "over").touch()

    assert [0] * 4 == ends + [process.wait() for process in lookers]
    assert not any_marks(tmp_path)


def test_a_longer_mark_of_a_dead_process_leaves_nothing_in_a_new_one(tmp_path: Path) -> None:
    """Else the new mark could not be read, and would be swept away as one that was never filled."""
    (tmp_path / FOLDER).mkdir()
    (tmp_path / FOLDER / "exec_1").write_text("x" * 500)
    process = start(tmp_path, "die")
    process.communicate()

    with abandoned(tmp_path) as found:
        assert ["exec_1"] == [presence.execution_id for presence in found]


def test_a_mark_stays_when_there_is_more_to_do(tmp_path: Path) -> None:
    with present(tmp_path, PRESENCE) as mark:
        mark.stays = True

    with abandoned(tmp_path) as found:
        assert [PRESENCE] == found


def test_a_mark_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("in the way")

    with pytest.raises(WorkspaceUnwritable, match=FOLDER), present(tmp_path, PRESENCE):
        pass


def test_a_second_process_of_one_execution_is_turned_away(tmp_path: Path) -> None:
    with present(tmp_path, PRESENCE), pytest.raises(BlockingIOError), present(tmp_path, PRESENCE):
        pass
