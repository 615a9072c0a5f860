"""What a patch may look like and what it then does."""

import zlib

import pytest

from executor.changes.binary import blob_id
from executor.changes.limits import ChangeLimits
from executor.changes.patch import read_patch
from executor.errors import BaseChanged, InvalidChange, UnsafePath
from executor.models.change import FileChange, Operation
from support.patches import File, MemoryTree, payload, raw_payload, varint

FIVE = b"1\n2\n3\n4\n5\n"
BODY = b"@@ -1,3 +1,3 @@\n 1\n-2\n+two\n 3\n"
TWO = FIVE.replace(b"2", b"two")


def single(patch: bytes, files: dict[str, bytes | File]) -> FileChange:
    (change,) = read_patch(patch, MemoryTree(files))
    return change


def result(patch: bytes, files: dict[str, bytes | File]) -> dict[str, File]:
    tree = MemoryTree(files)
    return tree.after(read_patch(patch, tree))


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"a/f", b"b/f"),
        (b"f", b"f"),
        (b"i/f", b"w/f"),
        (b"orig/f", b"changed/f"),
        (b"f.orig", b"f"),
        (b"f~", b"f"),
        (b"a/f\t2026-01-01 12:00:00.000000000 +0000", b"b/f\t2026-01-01 12:00:01.000000000 +0000"),
        (b'"a/f"', b'"b/f"'),
        (b'"a/\\146"', b"b/f"),
        (b"a/f\r", b"b/f\r"),
    ],
)
def test_a_plain_diff_names_its_file_in_many_ways(old: bytes, new: bytes) -> None:
    """With and without prefixes, with times, quoted, as a backup, with line ends of Windows in the header."""
    assert {"f": (TWO, 0o644)} == result(b"--- %s\n+++ %s\n%s" % (old, new, BODY), {"f": FIVE})


@pytest.mark.parametrize(
    ("title", "old", "new", "path"),
    [
        (b"a/f b/f", b"a/f", b"b/f", "f"),
        (b"f f", b"f", b"f", "f"),
        (b"a/f a/f", b"a/f", b"a/f", "a/f"),
        (b"c/x/f w/x/f", b"c/x/f", b"w/x/f", "x/f"),
        (b"old/x y b/x y", b"old/x y\t", b"b/x y\t", "x y"),
        (b"a/x b/x b/x b/x", b"a/x b/x\t", b"b/x b/x\t", "x b/x"),
        (b'"a/\\303\\251" "b/\\303\\251"', b'"a/\\303\\251"', b'"b/\\303\\251"', "é"),
        (b'"a/q\\"" "b/q\\""', b'"a/q\\""', b'"b/q\\""', 'q"'),
        ("a/é b/é".encode(), "a/é".encode(), "b/é".encode(), "é"),
    ],
)
def test_a_git_diff_names_its_file_in_many_ways(title: bytes, old: bytes, new: bytes, path: str) -> None:
    patch = b"diff --git %s\nindex 8a1218a..1234567 100644\n--- %s\n+++ %s\n%s" % (title, old, new, BODY)

    assert {path: (TWO, 0o644)} == result(patch, {path: FIVE})


@pytest.mark.parametrize("prefixes", [(b"", b""), (b"a/", b"b/"), (b"old/", b"replacement/")])
def test_names_with_spaces_are_found_without_other_lines(prefixes: tuple[bytes, bytes]) -> None:
    """A change of mode names its file only in the `diff --git` line."""
    left, right = prefixes
    patch = b"diff --git %sx y z %sx y z\nold mode 100644\nnew mode 100755\n" % (left, right)

    assert {"x y z": (b"", 0o755)} == result(patch, {"x y z": b""})


def test_dev_null_without_git_headers_means_creation_and_deletion() -> None:
    patch = (
        b"--- /dev/null\n+++ b/new\n@@ -0,0 +1,2 @@\n+x\n+y\n--- a/old\n+++ /dev/null\n@@ -1 +0,0 @@\n-gone\n"
    )

    assert {"new": (b"x\ny\n", 0o644)} == result(patch, {"old": b"gone\n"})


def test_a_lonely_name_keeps_its_first_folder_when_the_patch_has_no_prefixes() -> None:
    """`b/` in `+++ b/new` is a prefix, unless another file of the patch shows that there are none."""
    created = b"--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+x\n"

    assert "new" in result(created, {"f": FIVE})
    assert "b/new" in result(b"--- f\n+++ f\n" + BODY + created, {"f": FIVE})


def test_the_time_zero_says_that_a_file_is_not_there() -> None:
    """diff -N writes no /dev/null; the zone of the time is that of who made the diff."""
    patch = (
        b"diff -ruN old/new new/new\n"
        b"--- old/new\t1970-01-01 01:00:00.000000000 +0100\n+++ new/new\t2026-01-01 12:00:00 +0100\n"
        b"@@ -0,0 +1 @@\n+x\n"
        b"diff -ruN old/gone new/gone\n"
        b"--- old/gone\t2026-01-01 12:00:00 -0500\n+++ new/gone\t1969-12-31 19:00:00 -0500\n"
        b"@@ -1 +0,0 @@\n-x\n"
        b"diff -ruN old/emptied new/emptied\n"
        b"--- old/emptied\t2026-01-01 12:00:00 +0000\n+++ new/emptied\t2026-01-01 12:00:00 +0000\n"
        b"@@ -1 +0,0 @@\n-x\n"
        b"diff -ruN old/filled new/filled\n"
        b"--- old/filled\t2026-13-01 12:00:00 +0000\n+++ new/filled\t2026-01-01 12:00:00 +0000\n"
        b"@@ -0,0 +1 @@\n+x\n"
        b"diff -ruN old/made new/made\n"
        b"--- old/made\n+++ new/made\n"
        b"@@ -0,0 +1 @@\n+x\n"
    )

    assert {
        "new": (b"x\n", 0o644),
        "emptied": (b"", 0o644),
        "filled": (b"x\n", 0o644),
        "made": (b"x\n", 0o644),
    } == result(patch, {"gone": b"x\n", "emptied": b"x\n", "filled": b""})


def test_text_around_diffs_is_no_part_of_them() -> None:
    """A mail, a fenced block, an index line, a signature, the next commit of `git log -p`."""
    git = b"diff --git a/f b/f\n--- a/f\n+++ b/f\n" + BODY
    other = b"Index: g\n=====\n--- a/g\n+++ b/g\n" + BODY
    for before, after in [
        (b"From 1234 Mon Sep 17 00:00:00 2001\nSubject: x\n\ntext\n---\n f | 2 +-\n\n", b"-- \n2.39.5\n\n"),
        (b"\xef\xbb\xbf", b"--\n2.39.5\n"),
        (b"Here it is:\n```diff\n", b"\n```\n"),
        (b"", b"commit 1234\nAuthor: x\n\n    text\n"),
        (b"", b"\nbase-commit: 1234\n-- \n2.39\n"),
        (b"", b"\n--------------2.39.5--\n"),
        (b"", b"\n\n"),
    ]:
        assert {"f": (TWO, 0o644), "g": (TWO, 0o644)} == result(
            before + other + git + after, {"f": FIVE, "g": FIVE}
        )


def test_any_bytes_pass_through_unchanged() -> None:
    """Latin-1, CRLF, lone CR, form feeds and every other byte are content, not text."""
    old = bytes(range(1, 256)).replace(b"\n", b"") + b"\r\n" + b"\x0c\x85\x1c\r\n" + b"end\r"
    patch = (
        b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n "
        + old.split(b"\n")[0]
        + b"\n-\x0c\x85\x1c\r\n+\xff\xfe\r\n end\r\n\\ Kein Zeilenumbruch am Dateiende.\n"
    )

    assert {"f": (old.replace(b"\x0c\x85\x1c", b"\xff\xfe"), 0o644)} == result(patch, {"f": old})


def test_empty_context_lines_may_have_lost_their_space() -> None:
    lf = b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n\n-x\n+y\n\n"
    crlf = b"--- a/f\n+++ b/f\n@@ -1,3 +1,3 @@\n\r\n-x\r\n+y\r\n\r\n"

    assert {"f": (b"\ny\n\n", 0o644)} == result(lf, {"f": b"\nx\n\n"})
    assert {"f": (b"\r\ny\r\n\r\n", 0o644)} == result(crlf, {"f": b"\r\nx\r\n\r\n"})


def test_no_newline_marks_say_which_side_ends_without_one() -> None:
    mark = b"\\ No newline at end of file\n"
    head = b"--- a/f\n+++ b/f\n"

    assert b"1" == single(head + b"@@ -1 +1 @@\n-1\n+1\n" + mark, {"f": b"1\n"}).content
    assert b"1\n" == single(head + b"@@ -1 +1 @@\n-1\n" + mark + b"+1\n", {"f": b"1"}).content
    assert b"0\n1" == single(head + b"@@ -1 +1,2 @@\n+0\n 1\n" + mark, {"f": b"1"}).content


def test_modes_of_new_files_are_0644_or_0755() -> None:
    for mode, expected in [(b"100644", 0o644), (b"100755", 0o755), (b"100600", 0o644), (b"104755", 0o755)]:
        patch = b"diff --git a/f b/f\nnew file mode %s\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n" % mode

        assert expected == single(patch, {}).new_mode


def test_updates_keep_permissions_and_take_over_only_the_executable_bit() -> None:
    git = b"diff --git a/f b/f\nold mode %s\nnew mode %s\n"
    change = single(b"--- a/f\n+++ b/f\n" + BODY, {"f": (FIVE, 0o640)})

    assert (0o640, 0o640) == (change.old_mode, change.new_mode)
    assert 0o750 == single(git % (b"100644", b"100755"), {"f": (FIVE, 0o640)}).new_mode
    assert 0o600 == single(git % (b"100755", b"100644"), {"f": (FIVE, 0o700)}).new_mode


def test_set_user_id_does_not_survive_a_change() -> None:
    change = single(b"--- a/f\n+++ b/f\n" + BODY, {"f": (FIVE, 0o6755)})

    assert (0o6755, 0o755) == (change.old_mode, change.new_mode)


def test_a_rename_is_a_delete_and_a_create_that_knows_where_it_came_from() -> None:
    patch = b"diff --git a/f b/g\nsimilarity index 80%\nrename from f\nrename to g\n--- a/f\n+++ b/g\n" + BODY
    gone, made = read_patch(patch, MemoryTree({"f": (FIVE, 0o750)}))

    assert (Operation.DELETE, "f", 0, 0) == (gone.operation, gone.path, gone.lines_added, gone.lines_removed)
    assert (Operation.CREATE, "g", "f", 1, 1, 0o750) == (
        made.operation,
        made.path,
        made.source_path,
        made.lines_added,
        made.lines_removed,
        made.new_mode,
    )


def test_a_copy_is_a_create_of_all_its_lines() -> None:
    patch = b"diff --git a/f b/g\nsimilarity index 100%\ncopy from f\ncopy to g\n"
    change = single(patch, {"f": FIVE})

    assert (Operation.CREATE, "f", 5) == (change.operation, change.source_path, change.lines_added)


def test_old_spellings_and_no_prefix_of_renames_are_understood() -> None:
    for patch in [
        b"diff --git a/f b/g\nrename old f\nrename new g\n",
        b"diff --git f g\nrename from f\nrename to g\n",
        b"diff --git old/f new/g\nrename from f\nrename to g\n",
        b'diff --git "a/f" "b/g"\nrename from "f"\nrename to "g"\n',
        b'diff --git a/f "b/g"\nrename from f\nrename to g\n',
    ]:
        assert {"g": (FIVE, 0o644)} == result(patch, {"f": FIVE})


def test_a_chain_of_renames_is_resolved_against_the_old_tree() -> None:
    patch = (
        b"diff --git a/a b/b\nrename from a\nrename to b\n"
        b"diff --git a/b b/c\nrename from b\nrename to c\n"
        b"diff --git a/c b/a\nrename from c\nrename to a\n"
    )

    assert {"b": (b"A", 0o644), "c": (b"B", 0o644), "a": (b"C", 0o644)} == result(
        patch, {"a": b"A", "b": b"B", "c": b"C"}
    )


def test_a_file_may_be_made_where_one_is_renamed_away() -> None:
    patch = (
        b"diff --git a/f b/g\nrename from f\nrename to g\n"
        b"diff --git a/f b/f\nnew file mode 100755\n--- /dev/null\n+++ b/f\n@@ -0,0 +1 @@\n+x\n"
    )
    made, moved = read_patch(patch, MemoryTree({"f": FIVE}))

    assert (Operation.UPDATE, 0o755, 1, 5) == (
        made.operation,
        made.new_mode,
        made.lines_added,
        made.lines_removed,
    )
    assert (Operation.CREATE, "f", 5) == (moved.operation, moved.source_path, moved.lines_added)


def test_several_files_made_from_one_that_goes_are_one_rename_and_copies() -> None:
    patch = (
        b"diff --git a/f b/x\ncopy from f\ncopy to x\n"
        b"diff --git a/f b/z\nrename from f\nrename to z\n"
        b"diff --git a/f b/y\ncopy from f\ncopy to y\n"
    )
    changes = read_patch(patch, MemoryTree({"f": FIVE}))

    assert [("f", 0, 0), ("x", 5, 0), ("y", 5, 0), ("z", 0, 0)] == [
        (c.path, c.lines_added, c.lines_removed) for c in changes
    ]


def test_a_file_may_become_a_directory_and_back() -> None:
    created = b"diff --git a/%s b/%s\nnew file mode 100644\nindex 0000000..e69de29\n"
    deleted = b"diff --git a/%s b/%s\ndeleted file mode 100644\n"

    assert {"x/y": (b"", 0o644)} == result(deleted % (b"x", b"x") + created % (b"x/y", b"x/y"), {"x": b""})
    assert {"x": (b"", 0o644)} == result(created % (b"x", b"x") + deleted % (b"x/y", b"x/y"), {"x/y": b""})


def test_a_file_that_stays_as_it_is_is_no_change() -> None:
    """Of two files one already has the result: only the other is changed."""
    noop = b"--- a/g\n+++ b/g\n@@ -1 +1 @@\n-x\n+x\n"

    assert ["f"] == [
        c.path for c in read_patch(noop + b"--- a/f\n+++ b/f\n" + BODY, MemoryTree({"f": FIVE, "g": b"x\n"}))
    ]


def test_hunks_follow_the_file_when_lines_were_added_above() -> None:
    """All hunks have moved by the same distance, and the first place that looks right is the wrong one."""
    block = b"begin\n  body\nend\n"
    patch = (
        b"--- a/f\n+++ b/f\n@@ -2,5 +2,5 @@\n x\n-head\n+HEAD\n begin\n   body\n end\n"
        b"@@ -10,3 +10,3 @@\n begin\n-  body\n+  BODY\n end\n"
    )
    old = b"y\nx\nhead\n" + block * 3 + b"tail\n"
    moved = block + b"y\nx\nhead\n" + block * 3 + b"tail\n"
    expected = block + b"y\nx\nHEAD\n" + block * 2 + block.replace(b"body", b"BODY") + b"tail\n"

    assert expected.removeprefix(block) == single(patch, {"f": old}).content
    assert expected == single(patch, {"f": moved}).content


def test_without_context_a_hunk_is_placed_only_when_the_index_line_names_this_file() -> None:
    blob = b"index 8a1218a..1234567 100644\n"
    patch = b"diff --git a/f b/f\n%s--- a/f\n+++ b/f\n@@ -2,0 +3 @@\n+new\n"

    assert b"1\n2\nnew\n3\n4\n5\n" == single(patch % blob, {"f": FIVE}).content
    with pytest.raises(BaseChanged, match="no context"):
        single(patch % b"", {"f": FIVE})
    with pytest.raises(BaseChanged, match="no context"):
        single(patch % blob, {"f": FIVE + b"6\n"})
    with pytest.raises(BaseChanged, match="no context"):
        single((patch % blob).replace(b"-2,0", b"-9,0"), {"f": FIVE})


def test_an_empty_file_without_an_index_line_is_believed_only_inside_a_patch() -> None:
    empty = b"diff --git a/e b/e\nnew file mode 100644\n"

    assert {"e": (b"", 0o644), "f": (TWO, 0o644)} == result(
        empty + b"diff --git a/f b/f\n--- a/f\n+++ b/f\n" + BODY, {"f": FIVE}
    )
    with pytest.raises(InvalidChange, match="cut off or empty"):
        result(empty, {})


def test_all_files_that_are_not_as_expected_are_named_together() -> None:
    patches = b"".join(b"--- a/%d\n+++ b/%d\n%s" % (n, n, BODY) for n in range(60))
    with pytest.raises(BaseChanged) as some:
        read_patch(patches[: 3 * (len(BODY) + 16)], MemoryTree({"0": FIVE, "1": b"other\n"}))
    with pytest.raises(BaseChanged) as many:
        read_patch(patches, MemoryTree({}))

    assert ["1", "2"] == [path for path, _ in some.value.paths]
    assert 50 == len(many.value.paths)


def test_what_the_reader_refuses_passes_through() -> None:
    class Linked(MemoryTree):
        def read(self, path: str) -> None:
            raise UnsafePath(path, "it is a symbolic link")

    with pytest.raises(UnsafePath, match="symbolic link"):
        read_patch(b"--- a/f\n+++ b/f\n" + BODY, Linked())


def blob(content: bytes) -> bytes:
    return blob_id(content).encode()


def binary(old: bytes, new: bytes, *payloads: bytes) -> bytes:
    return b"diff --git a/f b/f\nindex %s..%s 100644\nGIT binary patch\n%s" % (
        blob(old),
        blob(new),
        b"".join(payloads),
    )


def test_a_delta_copies_and_inserts() -> None:
    """Also the copy of 65,536 bytes that states no size, and offsets of four bytes."""
    old = bytes(range(256)) * 300
    new = old[:65536] + b"new" + old[70000:70010]
    commands = b"\x80" + b"\x03new" + b"\x97" + (70000).to_bytes(3, "little") + b"\x0a"
    delta = payload(varint(len(old)) + varint(len(new)) + commands, "delta")

    assert new == single(binary(old, new, delta), {"f": old}).content


def test_without_ids_the_way_back_proves_which_binary_file_is_meant() -> None:
    old, new = b"\0old", b"\0new"
    patch = b"diff --git a/f b/f\nGIT binary patch\n" + payload(new) + payload(old)
    back = payload(varint(4) + varint(4) + b"\x90\x01\x03old", "delta")

    assert new == single(patch, {"f": old}).content
    assert new == single(b"diff --git a/f b/f\nGIT binary patch\n" + payload(new) + back, {"f": old}).content
    with pytest.raises(BaseChanged, match="another binary file"):
        single(patch, {"f": b"\0odd"})
    with pytest.raises(BaseChanged, match="another binary file"):
        single(patch, {"f": b"\0older"})


def test_ids_of_repositories_with_sha_256_are_understood() -> None:
    old, new = b"\0old", b"\0new"
    ids = (blob_id(old, 64).encode(), blob_id(new, 64).encode())
    patch = b"diff --git a/f b/f\nindex %s..%s 100644\nGIT binary patch\n%s" % (*ids, payload(new))

    assert new == single(patch, {"f": old}).content
    with pytest.raises(BaseChanged, match="another binary file"):
        single(patch, {"f": b"\0"})


def test_a_deletion_without_content_needs_the_id_of_the_file() -> None:
    """`git diff --irreversible-delete` leaves the lines out."""
    patch = b"diff --git a/f b/f\ndeleted file mode 100644\nindex 8a1218a..0000000\n"

    assert {} == result(patch, {"f": FIVE})
    with pytest.raises(BaseChanged, match="other content"):
        result(patch, {"f": TWO})


@pytest.mark.parametrize(
    ("limits", "says"),
    [
        (ChangeLimits(input_bytes=10), "more than the limit input_bytes = 10"),
        (ChangeLimits(input_lines=5), "14 lines, more than the limit input_lines = 5"),
        (ChangeLimits(files=1), "2 files, more than the limit files = 1"),
        (ChangeLimits(file_bytes=11), "'f' has 12 bytes, more than the limit file_bytes = 11"),
        (ChangeLimits(total_bytes=23), "24 bytes, more than the limit total_bytes = 23"),
    ],
)
def test_limits_are_named_with_what_was_found(limits: ChangeLimits, says: str) -> None:
    patch = b"--- a/f\n+++ b/f\n" + BODY + b"--- a/g\n+++ b/g\n" + BODY
    with pytest.raises(InvalidChange, match=says):
        read_patch(patch, MemoryTree({"f": FIVE, "g": FIVE}), limits=limits)


def test_a_payload_that_inflates_without_end_is_cut_off() -> None:
    """A stream of zeros, stated as small: no more than stated is ever held."""
    bomb = raw_payload("literal", 5, zlib.compress(bytes(10_000_000)))
    with pytest.raises(InvalidChange, match="does not inflate to the 5 bytes"):
        single(b"diff --git a/f b/f\nnew file mode 100644\nGIT binary patch\n" + bomb, {})
