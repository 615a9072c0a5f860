"""Nothing that was acknowledged is lost, however the writers die."""

import random
import time
from pathlib import Path

import pytest

from executor.storage.store import ExecutionStore
from support.processes import Writer
from support.stores import query

WRITERS = 8


@pytest.mark.parametrize(
    ("seconds", "kills", "acknowledged"),
    [
        pytest.param(6, 10, 100, id="short"),
        pytest.param(60, 30, 5_000, id="a minute", marks=[pytest.mark.full, pytest.mark.timeout(300)]),
    ],
)
def test_eight_processes_write_one_file_and_are_killed(
    tmp_path: Path, seconds: float, kills: int, acknowledged: int
) -> None:
    """The first ones race for making the database, too. A killed one is followed by another."""
    pick = random.Random(seconds)
    started = 0

    def writer() -> Writer:
        nonlocal started
        started += 1
        # Half of them wait for the disk at every commit.
        return Writer(tmp_path, f"w{started}", "full" if started % 2 else "normal")

    writers = [writer() for _ in range(WRITERS)]
    said: list[str] = []
    complaints: list[str] = []
    for _ in range(kills):
        time.sleep(seconds / kills)
        place = pick.randrange(WRITERS)
        names, complaint = writers[place].kill()
        said += names
        complaints.append(complaint)
        writers[place] = writer()
    for last in writers:
        names, complaint = last.kill()
        said += names
        complaints.append(complaint)

    assert [""] * (kills + WRITERS) == complaints
    assert len(said) >= acknowledged
    with ExecutionStore(tmp_path) as store:
        path = store.db_path
        kept = {
            name for (name,) in query(path, "SELECT execution_id FROM executions WHERE status = 'completed'")
        }
        assert set(said) <= kept
        assert 4 == len(store.list_events(pick.choice(said)))
    assert [("ok",)] == query(path, "PRAGMA integrity_check")
    (positions,) = query(path, "SELECT count(*), count(DISTINCT position) FROM execution_events")
    assert positions[0] == positions[1]
    assert [] == query(
        path, "SELECT execution_id FROM execution_events GROUP BY execution_id HAVING max(seq) <> count(*)"
    )
