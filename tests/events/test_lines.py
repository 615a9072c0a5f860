"""`events.jsonl` holds every event once, in order, whatever happened to the file."""

from __future__ import annotations

import json
from pathlib import Path

from executor.events.lines import LINE_BYTES, append_lines, event_line, last_seq
from executor.models.execution import EventRecord


def event(seq: int, **data: object) -> EventRecord:
    return EventRecord("step_start", "exec_1", "corr", seq, "2026-01-01T00:00:00.000000Z", data)


def test_a_line_is_flat_ascii_json() -> None:
    line = event_line(event(1, step_name="verify", note="ü\n"))

    assert line.isascii()
    assert line.count(b"\n") == 1
    assert json.loads(line) == {
        "event": "step_start",
        "execution_id": "exec_1",
        "correlation_id": "corr",
        "seq": 1,
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "step_name": "verify",
        "note": "ü\n",
    }


def test_a_line_beyond_64_kb_keeps_its_identity_and_says_so() -> None:
    line = event_line(event(7, text="x" * LINE_BYTES))

    assert len(line) <= LINE_BYTES
    assert json.loads(line)["truncated"] is True
    assert json.loads(line)["seq"] == 7


def test_a_torn_tail_is_closed_and_what_follows_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    append_lines(path, [event(1), event(2)])
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size - 5)

    assert last_seq(path) == 1
    append_lines(path, [event(2), event(3)])

    lines = path.read_bytes().splitlines()
    assert [json.loads(line)["seq"] for line in (lines[0], *lines[2:])] == [1, 2, 3]
    assert last_seq(path) == 3


def test_there_is_no_last_seq_without_a_file_or_lines(tmp_path: Path) -> None:
    assert last_seq(tmp_path / "none") == 0
    (tmp_path / "empty").touch()
    assert last_seq(tmp_path / "empty") == 0
    append_lines(tmp_path / "empty", [])
    assert (tmp_path / "empty").read_bytes() == b""
