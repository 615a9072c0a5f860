"""`executor serve` as a process."""

from __future__ import annotations

import asyncio
import json
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest

from executor_api.command import _listen
from support.command import GOOD_PATCH, Repository

ROOT = Path(__file__).resolve().parents[2]


class Server(NamedTuple):
    base: str
    sign_in: str
    notes: list[str]


@contextmanager
def serving(repository: Repository, *arguments: str) -> Iterator[Server]:
    """Until the block ends, when it has to end in order."""
    process = repository.start("serve", *arguments)
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        url = process.stdout.readline().strip()
        assert url.startswith("http://"), process.stderr.read()
        notes: list[str] = []
        while not notes or "Ctrl-C" not in notes[-1]:
            notes.append(process.stderr.readline().strip())
        yield Server(url.partition("/ui/")[0], url, notes)
    finally:
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert "" == out
    assert "Traceback" not in err, err


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    repository = Repository.calculator(tmp_path / "calculator")
    assert repository.apply(GOOD_PATCH, verify=None).code in (0, 3)
    return repository


def test_it_answers_until_it_is_stopped(repository: Repository) -> None:
    """Reading is open, contents are for whoever follows the URL that was printed, once."""
    with serving(repository, "--port", "0") as server, httpx2.Client(base_url=server.base) as program:
        listed = program.get("/executions").json()["executions"]
        diff = f"/executions/{listed[0]['execution_id']}/diff"
        before = program.get(diff).status_code
        begun = program.get(server.sign_in).status_code
        after = program.get(diff)
        again = program.get(server.sign_in).status_code
        ready = program.get("/readyz").json()["ready"]

    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", server.base)
    assert (1, 401, 303, 200, 401, True) == (len(listed), before, begun, after.status_code, again, ready)
    assert "+    return b + a" in after.json()["diff"]


def test_the_lines_of_the_readme_answer_as_it_says(tmp_path: Path) -> None:
    """The Python of the README records; its curl lines ask, with only the port replaced."""
    text = (ROOT / "README.md").read_text()
    (python,) = re.findall(r"^```python\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    names: dict[str, Any] = {"workspace": tmp_path}
    for line in python.splitlines():
        if "  # " not in line:
            exec(line, names)
    names["store"].close()
    lines = re.findall(r"^curl .*$", text, re.MULTILINE)
    with serving(Repository(tmp_path), "--port", "0") as server:
        answers = []
        for line in lines:
            (url,) = shlex.split(line.replace("localhost:5173", server.base.removeprefix("http://")))[1:]
            answers.append(httpx2.get(url).raise_for_status().json())
            if shutil.which("curl"):
                shell = ["sh", "-c", line.replace("localhost:5173", server.base.removeprefix("http://"))]
                printed = subprocess.run(shell, capture_output=True, check=True).stdout
                assert answers[-1] == json.loads(printed)

    lineage, bounded, chain, listed = answers
    for family in (lineage, bounded):
        assert "exec_002" == family["execution"]["execution_id"]
        assert ["exec_001"] == [item["execution_id"] for item in family["ancestors"]]
    assert (20, 10) == (lineage["depth"], bounded["depth"])
    assert ("exec_001", 2) == (chain["root_execution_id"], chain["total_executions"])
    for family in (chain, listed):
        assert ["exec_001", "exec_002"] == [item["execution_id"] for item in family["executions"]]


def test_a_taken_port_is_said_and_the_next_one_used(repository: Repository) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = repository.run("serve", "--port", str(taken.getsockname()[1]))
    with serving(repository) as first, serving(repository) as second:
        answers = [httpx2.get(f"{server.base}/healthz").status_code for server in (first, second)]

    assert 2 == refused.code
    assert "is taken; --port chooses another" in refused.err
    assert [200, 200] == answers
    assert first.base != second.base
    assert any("is taken; using" in note for note in second.notes)


def test_what_it_cannot_serve_is_said_at_once(repository: Repository, tmp_path: Path) -> None:
    """Exit codes and one sentence, before anything listens."""
    (tmp_path / "other").mkdir()
    apart = repository.run("serve", "--workspace", ".", "--workspace", str(tmp_path / "other"))
    open_to_all = repository.run("serve", "--host", "0.0.0.0", "--port", "0")
    nowhere = repository.run("serve", "--host", "192.0.2.1", "--port", "0")
    (repository.root / ".executor" / "executor.db").write_bytes(b"no database, whatever its name says" * 99)
    damaged = repository.run("serve", "--port", "0")

    assert [2, 2, 2, 69] == [apart.code, open_to_all.code, nowhere.code, damaged.code]
    assert "different databases; set EXECUTOR_DATABASE_URL" in apart.err
    assert "can be reached from other machines" in open_to_all.err
    assert "cannot listen at 192.0.2.1" in nowhere.err
    assert [1, 1, 1, 1] == [r.err.count("\n") for r in (apart, open_to_all, nowhere, damaged)]


def test_reading_commands_load_no_web_framework(repository: Repository) -> None:
    """Starting the command costs what it cost before there was a server."""
    code = (
        "import sys; from executor.cli import cli; cli(sys.argv[1:], standalone_mode=False); "
        "print([m for m in ('fastapi', 'pydantic', 'starlette', 'uvicorn', 'executor_api') if m in sys.modules])"
    )
    for command in (["--help"], ["list"], ["show", "@last"], ["run", "--help"]):
        done = subprocess.run(
            [sys.executable, "-c", code, *command],
            cwd=repository.root,
            env=repository.environ,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.stdout.endswith("[]\n") or command[-1] == "--help", (command, done)


def test_the_body_of_an_answer_does_not_wait_for_the_head_to_be_acknowledged() -> None:
    """A browser acknowledges after 40 ms; asyncio sees to it only where the protocol of the socket is named."""
    delays = []

    async def serve() -> None:
        listening = _listen("127.0.0.1", 0)
        done = asyncio.Event()

        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            accepted = writer.get_extra_info("socket")
            delays.append(accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            writer.close()
            done.set()

        async with await asyncio.start_server(answer, sock=listening):
            _, writer = await asyncio.open_connection(*listening.getsockname())
            await done.wait()
            writer.close()

    asyncio.run(serve())

    assert [True] == [bool(each) for each in delays]
