"""Nothing that was acknowledged is lost and nothing is there twice, however the server goes down."""

import signal
import time
from pathlib import Path

import pytest

from executor.storage.store import ExecutionStore
from support.postgres import connected, new_server
from support.processes import Writer

pytestmark = pytest.mark.postgres

WRITERS = 8


@pytest.mark.parametrize(
    ("restarts", "pause", "acknowledged"),
    [
        pytest.param(4, 1.5, 50, id="short"),
        pytest.param(20, 3.0, 2_000, id="a minute", marks=[pytest.mark.full, pytest.mark.timeout(600)]),
    ],
)
def test_eight_processes_write_while_the_server_is_restarted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, restarts: int, pause: float, acknowledged: int
) -> None:
    """In turns a shutdown that lets nobody finish, and a crash. No writer sees an error, and each of the four
    writes of an execution happened once.
    """
    with new_server() as server:
        url = server.url
        ExecutionStore(tmp_path, url=url).close()
        monkeypatch.setenv("EXECUTOR_DATABASE_URL", url)
        monkeypatch.setenv("EXECUTOR_DATABASE_RETRY_TIMEOUT", "120")
        monkeypatch.setenv("EXECUTOR_DATABASE_POOL_TIMEOUT", "120")
        writers = [Writer(tmp_path, f"w{number}", "full") for number in range(WRITERS)]
        wait_until_all_write(url)
        for number in range(restarts):
            time.sleep(pause)
            server.stop(signal.SIGQUIT if number % 2 else signal.SIGINT)
            server.start()
        time.sleep(pause)
        running = [writer.returncode for writer in writers]
        said, complaints = zip(*[writer.kill() for writer in writers], strict=True)

        assert ("",) * WRITERS == complaints
        assert [None] * WRITERS == running
        names = [name for written in said for name in written]
        assert len(names) >= acknowledged
        with connected(url) as connection:
            kept = connection.execute(
                "SELECT execution_id FROM executions WHERE status = 'completed'"
            ).fetchall()
            assert set(names) <= {name for (name,) in kept}
            # The last execution of each writer may be under way.
            odd = connection.execute(
                """SELECT execution_id, array_agg(event ORDER BY seq), max(seq) FROM execution_events
                GROUP BY execution_id
                HAVING array_agg(event ORDER BY seq)
                    <> ARRAY['execution_start', 'step_start', 'step_end', 'execution_end']
                    OR max(seq) <> 4"""
            ).fetchall()
            assert len(odd) <= WRITERS
            assert not {name for name, *_ in odd} & set(names)
            steps = connection.execute(
                "SELECT execution_id FROM execution_steps GROUP BY execution_id HAVING count(*) <> 1"
            ).fetchall()
            assert [] == steps
            ((events, positions),) = connection.execute(
                "SELECT count(*), count(DISTINCT position) FROM execution_events"
            ).fetchall()
        assert events == positions


def wait_until_all_write(url: str) -> None:
    writers = "SELECT count(DISTINCT split_part(execution_id, '-', 1)) FROM executions"
    with connected(url) as connection:
        while connection.execute(writers).fetchone() != (WRITERS,):
            time.sleep(0.05)
