"""Logs that keep their beginning and their end."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.events.redaction import MASK, Redactor
from executor.host.logs import TAIL_CHARACTERS, CappedLog, OutputLog


def test_a_small_log_is_what_was_written(tmp_path: Path) -> None:
    """Nothing is added; the file is for the owner only."""
    path = tmp_path / "log"
    with CappedLog(path) as log:
        log.write("one\n")
        log.write("zwei ö\n")

    assert "one\nzwei ö\n" == path.read_text()
    assert 0o600 == path.stat().st_mode & 0o777
    assert not log.truncated
    assert "one\nzwei ö\n" == log.tail


def test_the_middle_of_a_large_log_is_counted(tmp_path: Path) -> None:
    """First and last lines are there, a line between them says how many bytes are not."""
    path = tmp_path / "log"
    lines = [f"line {number}\n" for number in range(10_000)]
    with CappedLog(path, limit=10_000) as log:
        for line in lines:
            log.write(line)
    text = path.read_text()
    head, mark, end = text.partition("\n[... ")
    count, _, tail = end.partition(" bytes left out ...]\n")

    assert mark
    assert len(text) <= 10_000
    assert "".join(lines).startswith(head)
    assert "".join(lines).endswith(tail)
    assert tail.startswith("line ")
    assert sum(map(len, lines)) == len(head) + int(count) + len(tail)
    assert log.truncated


@example(["ö" * 60] * 20 + ["x"], 200)
@given(st.lists(st.text(min_size=1, max_size=60), max_size=60), st.integers(200, 400))
def test_head_count_and_end_add_up(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[str], limit: int
) -> None:
    """Whatever is written, in whatever pieces: no byte is lost without being counted, no character is cut."""
    path = tmp_path_factory.mktemp("logs") / "log"
    pieces = pieces * 8
    with CappedLog(path, limit=limit) as log:
        for piece in pieces:
            log.write(piece)
    data = path.read_bytes()
    written = "".join(pieces).encode("utf-8", "replace")
    data.decode()
    if not log.truncated:
        assert written == data
        return
    mark = b"\n[... %d bytes left out ...]\n" % log.dropped_bytes

    assert len(data) <= limit
    assert len(written) == len(data) - len(mark) + log.dropped_bytes
    assert any(
        written.startswith(data[:at]) and written.endswith(data[at + len(mark) :])
        for at in range(len(data))
        if data[at:].startswith(mark)
    )


SECRET = "s3cr3t-value-of-a-token"


@pytest.mark.parametrize("listening", [False, True])
def test_a_flood_leaves_the_same_log_whether_somebody_listens_or_not(tmp_path: Path, listening: bool) -> None:
    """Beginning and end are redacted, with a secret in every line so that each cut goes through one."""
    line = f"{'x' * 37} {SECRET} ö\n".encode()
    seen: list[str] = []
    with CappedLog(tmp_path / "log", limit=20_000) as log:
        output = OutputLog(log, Redactor({"A_TOKEN": SECRET}), seen.append if listening else None)
        data = line * 60_000
        for at in range(0, len(data), 4_099):
            output.feed(data[at : at + 4_099])
        output.finish()
    text = (tmp_path / "log").read_text()
    kept = [line for line in text.splitlines() if line and "left out" not in line]

    assert len(data) == output.bytes
    assert len(text.encode()) <= 20_000
    assert log.truncated
    # The line at which the beginning ends may be cut.
    assert {f"{'x' * 37} {MASK} ö"} == {line for line in kept if line.endswith("ö")}
    assert len(kept) - 1 <= len([line for line in kept if line.endswith("ö")])
    assert SECRET[:4] not in text + log.tail + "".join(seen)


def test_the_tail_is_bounded_and_begins_with_a_line(tmp_path: Path) -> None:
    """The end of the output is at hand without reading the file."""
    with CappedLog(tmp_path / "log", limit=1_000) as log:
        for number in range(20_000):
            log.write(f"line {number}\n")

    assert log.tail.startswith("line ")
    assert log.tail.endswith("line 19999\n")
    assert TAIL_CHARACTERS - 20 < len(log.tail) <= TAIL_CHARACTERS


def test_a_log_that_cannot_be_written_says_so_and_goes_on() -> None:
    """A full disk does not end the check whose output it is."""
    log = CappedLog(Path("/dev/full"))
    log.write("text\n")
    log.write("more\n")
    log.close()

    assert log.error == "the log is incomplete: No space left on device"
    assert "text\nmore\n" == log.tail


def test_a_link_in_the_way_is_not_followed(tmp_path: Path) -> None:
    """Nothing outside is overwritten through a planted link."""
    (tmp_path / "target").write_text("precious")
    (tmp_path / "log").symlink_to(tmp_path / "target")

    with pytest.raises(OSError, match="symbolic links"):
        CappedLog(tmp_path / "log")
    assert "precious" == (tmp_path / "target").read_text()
