"""Where a hunk goes when the file is no longer what the patch was made for."""

import pytest

from executor.changes.patch import read_patch
from executor.errors import BaseChanged, InvalidChange
from support.patches import MemoryTree

# Replaces the x of `a x b`; says that it is line 10.
HUNK = b"--- a/f\n+++ b/f\n@@ -9,3 +9,3 @@\n a\n-x\n+y\n b\n"


def placed(*places: int, lines: int = 40) -> list[int]:
    """The lines (from 1) that hold a y after HUNK met a file with `a x b` at each of these lines."""
    old = [b"%d\n" % n for n in range(1, lines + 1)]
    for place in places:
        old[place - 1 : place + 2] = [b"a\n", b"x\n", b"b\n"]
    (change,) = read_patch(HUNK, MemoryTree({"f": b"".join(old)}))
    assert change.content is not None
    return [n - 1 for n, line in enumerate(change.content.split(b"\n"), 1) if line == b"y"]


@pytest.mark.parametrize(
    ("places", "chosen"),
    [
        ([9, 20], 9),
        ([5], 5),
        ([30], 30),
        ([1], 1),
        ([38], 38),
        ([1, 20], 1),
        ([1, 16], 16),
        ([4, 15], 4),
        ([4, 13], 13),
        ([5, 13], 13),
        ([3, 5, 25, 30], 5),
    ],
)
def test_a_hunk_goes_to_its_line_or_the_nearest_place_that_matches(places: list[int], chosen: int) -> None:
    """Of two places equally far the later one, as git apply does."""
    assert [chosen] == placed(*places)


def test_a_hunk_beyond_the_end_goes_to_the_last_place_that_matches() -> None:
    assert [4] == placed(1, 4, lines=7)
    assert [1] == placed(1, lines=3)


def test_hunks_never_go_before_the_one_before_them() -> None:
    """The only match of the second hunk lies above the first."""
    patch = b"--- a/f\n+++ b/f\n@@ -4,3 +4,3 @@\n 4\n-5\n+five\n 6\n@@ -8,3 +8,3 @@\n 1\n-2\n+two\n 3\n"

    with pytest.raises(BaseChanged, match=r"hunk @@ -8,3 \+8,3 @@ \(line 8 of the patch\)"):
        read_patch(patch, MemoryTree({"f": b"1\n2\n3\n4\n5\n6\n7\n8\n"}))


def test_neighbouring_hunks_apply_side_by_side() -> None:
    patch = b"--- a/f\n+++ b/f\n@@ -2,2 +2,2 @@\n-2\n+two\n 3\n@@ -4,2 +4,2 @@\n-4\n+four\n 5\n"
    (change,) = read_patch(patch, MemoryTree({"f": b"1\n2\n3\n4\n5\n6\n"}))

    assert b"1\ntwo\n3\nfour\n5\n6\n" == change.content


def test_an_edited_patch_is_placed_by_its_lines_though_the_index_line_names_the_file() -> None:
    """Its hunk states a wrong line: the id proves the file, not the number."""
    patch = b"diff --git a/f b/f\nindex 8a1218a..1234567 100644\n--- a/f\n+++ b/f\n@@ -3,3 +3,3 @@\n 1\n-2\n+two\n 3\n"
    (change,) = read_patch(patch, MemoryTree({"f": b"1\n2\n3\n4\n5\n"}))

    assert b"1\ntwo\n3\n4\n5\n" == change.content


@pytest.mark.parametrize("surprise", [OSError("surprise"), AssertionError(), IndexError("surprise")])
def test_whatever_the_library_stumbles_over_is_a_refusal(
    monkeypatch: pytest.MonkeyPatch, surprise: Exception
) -> None:
    def stumble(*_: object, **__: object) -> None:
        raise surprise

    monkeypatch.setattr("executor.changes.hunks.PatchSet", stumble)
    with pytest.raises(InvalidChange, match="line 3: the hunk cannot be read"):
        read_patch(HUNK, MemoryTree({"f": b"a\nx\nb\n"}))


def test_a_hunk_the_library_reads_otherwise_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    from unidiff.patch import PatchSet

    other = PatchSet("--- a\n+++ b\n@@ -9,1 +9,1 @@\n-x\n+y\n")
    monkeypatch.setattr("executor.changes.hunks.PatchSet", lambda *_, **__: other)
    with pytest.raises(InvalidChange, match="two ways"):
        read_patch(HUNK, MemoryTree({"f": b"a\nx\nb\n"}))
