"""Two changes of one content become one, unless they are in each other's way; lines are followed."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from executor.changes.merge import Lines, changed_lines, follow, merge

BASE = b"one\ntwo\nthree\nfour\nfive\n"

# Each line once: then there is one way to compare, and git's is the same.
_numbered = st.lists(st.integers(0, 40), max_size=12, unique=True).map(sorted)
_edits = st.lists(
    st.tuples(st.sampled_from(["keep", "drop", "change", "insert"]), st.integers(0, 10**9)), max_size=14
)


def edited(base: list[int], edits: list[tuple[str, int]], side: str) -> bytes:
    """`base` line by line with an edit each; the new lines of two sides are never the same."""
    lines = []
    for number, line in enumerate([*base, None]):
        kind, value = edits[number] if number < len(edits) else ("keep", 0)
        if kind == "insert":
            lines.append(f"{side} {number} {value}")
        if line is not None and kind != "drop":
            lines.append(f"{side} {number} {value}" if kind == "change" else f"line {line}")
    return "".join(f"{line}\n" for line in lines).encode()


def test_changes_apart_from_each_other_are_both_made() -> None:
    ours = BASE.replace(b"one\n", b"zero\none\n")
    theirs = BASE.replace(b"four\n", b"").replace(b"five", b"5")

    assert b"zero\none\ntwo\nthree\n5\n" == merge(BASE, ours, theirs)
    assert merge(BASE, ours, theirs) == merge(BASE, theirs, ours)


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        pytest.param(b"ONE\ntwo\n", b"1\ntwo\n", id="the same line"),
        pytest.param(b"ONE\ntwo\n", b"one\nTWO\n", id="lines side by side"),
        pytest.param(b"one\ntwo\nours\n", b"one\ntwo\ntheirs\n", id="both added at the end"),
        pytest.param(b"one\ntwo", b"one\ntwo\nthree\n", id="the end of the last line"),
        pytest.param(b"", b"one\nTWO\n", id="all gone on one side"),
    ],
)
def test_changes_that_touch_are_in_the_way(ours: bytes, theirs: bytes) -> None:
    assert None is merge(b"one\ntwo\n", ours, theirs)
    assert None is merge(b"one\ntwo\n", theirs, ours)


def test_binary_content_is_merged_only_where_one_side_is_as_before() -> None:
    base, other, third = b"\0a\nb\nc\n", b"\0a\nb\nC\n", b"\0A\nb\nc\n"

    assert (other, other, None) == (
        merge(base, base, other),
        merge(base, other, base),
        merge(base, other, third),
    )


@given(base=st.binary(max_size=30), other=st.binary(max_size=30))
def test_what_only_one_side_changed_is_what_comes_out(base: bytes, other: bytes) -> None:
    assert (other, other, other) == (
        merge(base, base, other),
        merge(base, other, base),
        merge(base, other, other),
    )


@given(base=_numbered, ours=_edits, theirs=_edits)
@example(base=[1, 2, 3, 4], ours=[("drop", 0)], theirs=[("keep", 0), ("keep", 0), ("change", 1)])
def test_it_merges_what_git_merges_and_alike(
    tmp_path_factory: pytest.TempPathFactory,
    base: list[int],
    ours: list[tuple[str, int]],
    theirs: list[tuple[str, int]],
) -> None:
    contents = edited(base, [], ""), edited(base, ours, "ours"), edited(base, theirs, "theirs")
    merged = merge(*contents)

    assert git_merge(tmp_path_factory.mktemp("merge"), *contents) == merged


def git_merge(folder: Path, base: bytes, ours: bytes, theirs: bytes) -> bytes | None:
    for name, content in (("base", base), ("ours", ours), ("theirs", theirs)):
        (folder / name).write_bytes(content)
    done = subprocess.run(
        ["git", "merge-file", "-p", "ours", "base", "theirs"], cwd=folder, capture_output=True, check=False
    )
    assert done.returncode < 128, done.stderr
    return done.stdout if done.returncode == 0 else None


def test_lines_are_followed_through_a_change() -> None:
    [place] = changed_lines(BASE, BASE.replace(b"three", b"3"))
    longer = b"zero\n" + BASE

    assert Lines(2, 3) == place
    assert ([Lines(3, 4)], False) == follow([place], BASE, longer)
    assert ([Lines(3, 4)], True) == follow([Lines(3, 4)], longer, longer.replace(b"three", b"THREE"))
    assert ([Lines(2, 4)], True) == follow([place], BASE, BASE.replace(b"four", b"4"))
    assert ([Lines(1, 1)], True) == follow([Lines(1, 3)], BASE, b"one\nfour\nfive\n")


@given(base=_numbered, first=_edits, second=_edits)
def test_a_change_touches_followed_lines_exactly_when_it_cannot_be_merged(
    base: list[int], first: list[tuple[str, int]], second: list[tuple[str, int]]
) -> None:
    """What undoing one change would change, and what another has changed since, unless both dropped a line."""
    before, after = edited(base, first, "first"), edited(base, [], "")
    later = edited(base, second, "second")
    _, touched = follow(changed_lines(after, before), after, later)

    in_the_way = merge(after, later, before) is None

    assert touched >= in_the_way
    if not all("drop" in dict(edits) for edits in (first, second)):
        assert touched == in_the_way
