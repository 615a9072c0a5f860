"""Damaged input: whatever happens to a patch or document, only our errors come out, and never half a file."""

from __future__ import annotations

import contextlib
import json
import tracemalloc
import zlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.changes.binary import apply_delta, blob_id, decode_line, inflate
from executor.changes.document import read_changeset
from executor.changes.lines import changed_blocks, count_changes
from executor.changes.patch import read_patch
from executor.changes.paths import canonical_path, is_protected
from executor.changes.render import render_diff
from executor.errors import BaseChanged, ExecutorError, InvalidChange, UnsafePath
from executor.models.change import FileChange
from support.patches import MemoryTree, payload, raw_payload, varint

OLD = b"".join(b"%d\n" % n for n in range(30))
NEW = OLD.replace(b"7\n", b"sept\n").replace(b"25\n", b"")
BINARY = bytes(range(200))
TREE = MemoryTree({"text": OLD, "bin": BINARY, "gone": b"x\n", "moved": OLD, "mode": b"", "last": b"no end"})

SECTIONS = [
    b"--- a/last\n+++ b/last\n@@ -1 +1,2 @@\n-no end\n\\ No newline at end of file\n+an\n+end\n",
    b"diff --git a/text b/text\nindex 1234567..7654321 100644\n--- a/text\n+++ b/text\n"
    b"@@ -5,5 +5,5 @@\n 4\n 5\n 6\n-7\n+sept\n 8\n@@ -24,4 +24,3 @@ x\n 23\n 24\n-25\n 26\n",
    b"diff --git a/bin b/bin\nindex %s..%s 100644\nGIT binary patch\n"
    % (blob_id(BINARY).encode(), blob_id(BINARY[:50] + b"new").encode())
    + payload(varint(200) + varint(53) + b"\x90\x32\x03new", "delta")
    + payload(BINARY),
    b"diff --git a/gone b/gone\ndeleted file mode 100644\n--- a/gone\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    b'diff --git a/moved "b/\\303\\251"\nold mode 100644\nnew mode 100755\nsimilarity index 90%\n'
    b'rename from moved\nrename to "\\303\\251"\n--- a/moved\n+++ "b/\\303\\251"\n@@ -1,2 +1,2 @@\n-0\n+null\n 1\n',
    b"diff --git a/mode b/mode\nold mode 100644\nnew mode 100755\n",
    b"diff --git a/made b/made\nnew file mode 100755\nGIT binary patch\n" + payload(b"\0" * 300),
]
# One example costs a millisecond.
OFTEN = settings(max_examples=settings().max_examples * 10)
PATCH = b"".join(SECTIONS)
DOCUMENT = json.dumps(
    {
        "version": 1,
        "title": "all operations",
        "changes": [
            {"operation": "create", "path": "made", "content": "ü\n", "mode": "0755"},
            {"operation": "update", "path": "text", "content_base64": "AAEC"},
            {"operation": "delete", "path": "gone"},
            {"operation": "rename", "from": "moved", "path": "sub/moved"},
            {"operation": "chmod", "path": "mode", "mode": "0755"},
        ],
    }
).encode()


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """`whole` with pieces lost, doubled, moved or overwritten."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = min(len(data), start + draw(st.integers(0, 40)))
        kind = draw(st.sampled_from(["cut", "drop", "double", "bytes", "bit", "number"]))
        if kind == "cut":
            del data[start:]
        elif kind == "drop":
            del data[start:end]
        elif kind == "double":
            data[end:end] = data[start:end]
        elif kind == "bytes":
            data[start:end] = draw(st.binary(max_size=8))
        elif kind == "number":
            data[start:start] = draw(
                st.sampled_from([b"0", b"9", b"99999999", b"-", b"+", b" ", b"\n", b"\\", b"a/"])
            )
        elif start < len(data):
            data[start] ^= 1 << draw(st.integers(0, 7))
    return bytes(data)


def survives(read: Callable[[bytes, MemoryTree], tuple[FileChange, ...]], data: bytes) -> None:
    try:
        changes = read(data, TREE)
    except (InvalidChange, BaseChanged):
        return
    assert changes
    TREE.after(changes)
    for change in changes:
        assert change.path == canonical_path(change.path)


def test_the_undamaged_inputs_are_read() -> None:
    assert {"text", "bin", "gone", "moved", "é", "mode", "last", "made"} == {
        c.path for c in read_patch(PATCH, TREE)
    }
    assert {"made", "text", "gone", "moved", "sub/moved", "mode"} == {
        c.path for c in read_changeset(DOCUMENT, TREE)
    }


@OFTEN
@given(data=damaged(PATCH))
def test_a_damaged_patch_is_refused_or_read_whole(data: bytes) -> None:
    survives(read_patch, data)


@OFTEN
@given(data=damaged(DOCUMENT))
def test_a_damaged_changeset_is_refused_or_read_whole(data: bytes) -> None:
    survives(read_changeset, data)


@given(data=st.binary(max_size=300))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    survives(read_patch, data)
    survives(read_changeset, data)


def test_a_patch_cut_off_anywhere_is_refused_or_ends_behind_a_hunk() -> None:
    """Half a hunk is never taken for a whole one, wherever the input ends."""
    boundaries = {0}
    for section in SECTIONS:
        start = max(boundaries)
        second = section.find(b"@@ -24")
        boundaries |= {start + len(section)} | ({start + second} if second > 0 else set())
    for end in range(len(PATCH)):
        try:
            read_patch(PATCH[:end], TREE)
        except (InvalidChange, BaseChanged):
            continue
        # The last newline of a line of headers says nothing, nor does the way back of a binary file whose
        # ids are known.
        behind = max(boundary for boundary in boundaries if boundary <= end + 1)
        rest = PATCH[behind:end]
        assert rest.strip() == b"" or b"\ndelta 9\n" in rest


@given(data=st.binary(max_size=60), source=st.binary(max_size=40))
def test_a_delta_of_any_bytes_is_refused_or_keeps_its_sizes(data: bytes, source: bytes) -> None:
    delta = varint(len(source)) + data
    try:
        target = apply_delta(delta, source, 1000)
    except InvalidChange:
        return
    assert len(target) <= 1000


@given(data=st.binary(max_size=60), size=st.integers(0, 100))
def test_payload_lines_and_streams_of_any_bytes_are_refused_or_exact(data: bytes, size: int) -> None:
    with contextlib.suppress(InvalidChange):
        decode_line(data)
    with contextlib.suppress(InvalidChange):
        inflate(data, size)
    assert data == inflate(zlib.compress(data), len(data))


@given(raw=st.text() | st.binary())
def test_a_canonical_path_has_one_spelling(raw: str | bytes) -> None:
    """What passes is relative, stays inside, and passes again unchanged."""
    try:
        path = canonical_path(raw)
    except UnsafePath:
        return
    assert path == canonical_path(path.encode())
    assert not path.startswith("/")
    assert not {"", ".", ".."} & set(path.split("/"))
    is_protected(path)


@pytest.mark.parametrize("read", [read_patch, read_changeset])
def test_errors_are_ours_for_every_prefix_of_both_inputs(
    read: Callable[[bytes, MemoryTree], tuple[FileChange, ...]],
) -> None:
    """Also when one kind of input is taken for the other."""
    for whole in (PATCH, DOCUMENT):
        for end in range(0, len(whole), 7):
            try:
                read(whole[:end], TREE)
            except ExecutorError:
                continue


class TestLargeInputs:
    """Inputs made to be expensive. Each of these would take minutes or gigabytes if it were taken naively."""

    def test_many_hunks_that_have_all_moved_by_another_distance(self) -> None:
        old = b"".join(b"same\n" * 20 + b"%d\n" % n for n in range(20_000))
        hunks = b"".join(
            b"@@ -%d,3 +%d,3 @@\n same\n-%d\n+x\n same\n" % (n * 50 + 100, n * 50 + 100, n)
            for n in range(19_000)
        )
        with pytest.raises(InvalidChange, match="not at the line they state"):
            read_patch(b"--- a/f\n+++ b/f\n" + hunks, MemoryTree({"f": old}))

    def test_a_long_hunk_in_a_file_of_equal_lines(self) -> None:
        """Every place of the file matches almost all of the hunk."""
        body = b"".join(b" a\n" for _ in range(100_000))
        patch = b"--- a/f\n+++ b/f\n@@ -900000,100002 +900000,100001 @@\n%s-b\n a\n" % body
        with pytest.raises(BaseChanged, match="does not match"):
            read_patch(patch, MemoryTree({"f": b"a\n" * 1_000_000}))

    def test_a_file_of_empty_lines(self) -> None:
        patch = b"--- a/f\n+++ b/f\n@@ -999999,3 +999999,3 @@\n \n-\n+x\n \n"
        (change,) = read_patch(patch, MemoryTree({"f": b"\n" * 2_000_000}))

        assert (1, 1) == (change.lines_added, change.lines_removed)

    def test_thousands_of_small_payloads_that_are_large_inflated(self) -> None:
        """The first few exceed the limit; the others stay packed."""
        packed = zlib.compress(bytes(9_000_000))
        section = b"diff --git a/%d b/%d\nnew file mode 100644\nGIT binary patch\n%s"
        body = raw_payload("literal", 9_000_000, packed)
        patch = b"".join(section % (n, n, body) for n in range(60))
        tracemalloc.start()
        try:
            with pytest.raises(InvalidChange, match="total_bytes"):
                read_patch(patch, MemoryTree())
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert peak < 150_000_000

    def test_copies_of_copies_of_a_large_file(self) -> None:
        patch = b"".join(b"diff --git a/f b/%d\ncopy from f\ncopy to %d\n" % (n, n) for n in range(5_000))
        with pytest.raises(InvalidChange, match="total_bytes"):
            read_patch(patch, MemoryTree({"f": b"x" * 9_000_000}))

    def test_contents_without_a_common_line_or_order(self) -> None:
        """Comparing them line by line has no bound; the count is still right for the diff that is shown."""
        old = b"".join(b"%d\n" % (n * 7919 % 10_007) for n in range(40_000))
        new = b"".join(b"%d\n" % (n * 104_729 % 10_007) for n in range(40_000))
        blocks = changed_blocks(old, new)
        added, removed = count_changes(old, new)

        assert 40_000 - added == 40_000 - removed
        assert added == sum(b.new_end - b.new_start for b in blocks)

    def test_millions_of_lines_are_compared_without_being_split(self) -> None:
        assert (1_500_000, 1_500_000) == count_changes(b"a\n" * 1_500_000, b"b\n" * 1_500_000)

    def test_a_diff_of_ten_thousand_lines_is_rendered(self) -> None:
        old = b"".join(b"line %d\n" % n for n in range(10_000))
        new = old.replace(b"7\n", b"seven\n")
        tree = MemoryTree({"f": old})
        document = {"version": 1, "changes": [{"operation": "update", "path": "f", "content": new.decode()}]}
        changes = read_changeset(json.dumps(document).encode(), tree)

        assert changes == read_patch(render_diff(changes, tree.content_of), tree)
        assert (1000, 1000) == (changes[0].lines_added, changes[0].lines_removed)

    def test_header_lines_of_absurd_length(self) -> None:
        spaces = b"a " * 500_000
        for patch in (
            b"diff --git " + spaces + b"\n",
            b"--- " + spaces + b"\n+++ " + spaces + b"\n@@ -1 +1 @@\n-a\n+b\n",
            b'diff --git "' + b"\\" * 1_000_000 + b"\n",
            b"diff --git a/f b/f\nrename from " + spaces + b"\nrename to " + spaces + b"\n",
        ):
            with pytest.raises(InvalidChange):
                read_patch(patch, MemoryTree())

    def test_thousands_of_paths_of_thousands_of_components(self) -> None:
        title = b"diff --git a/%s b/%s\nold mode 100644\nnew mode 100755\n"
        names = [b"x/" * 2040 + b"%d" % n for n in range(3_000)]
        with pytest.raises(BaseChanged):
            read_patch(b"".join(title % (name, name) for name in names), MemoryTree())
