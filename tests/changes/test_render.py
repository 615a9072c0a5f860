"""Diffs made of a canonical list."""

import subprocess

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from msgspec.structs import replace

from changes.hostile_changesets import chmod, create, delete, document, rename, update
from changes.test_patch_of_git import REAL_GIT, Repository, Tree, tree_pairs
from executor.changes.document import read_changeset
from executor.changes.lines import Block, changed_blocks, count_changes, is_binary, split_lines
from executor.changes.patch import read_patch
from executor.changes.render import render_diff
from executor.errors import InvalidChange
from executor.models.change import FileChange
from support.patches import File, MemoryTree


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Repository:
    return Repository(tmp_path_factory.mktemp("repository"))


def changes_between(old: Tree, new: Tree, repository: Repository) -> tuple[FileChange, ...]:
    patch = repository.git("diff", "--binary", "-M", repository.store(old), repository.store(new))
    return read_patch(patch, MemoryTree(old))


@REAL_GIT
@given(pair=tree_pairs())
def test_a_rendered_diff_read_again_gives_the_same_changes(
    repository: Repository, pair: tuple[Tree, Tree]
) -> None:
    """Operations, hashes, modes, sources of renames and counts of lines, and binary files with `binary`."""
    old, new = pair
    assume(old != new)
    tree = MemoryTree(old)
    changes = changes_between(old, new, repository)

    assert changes == read_patch(render_diff(changes, tree.content_of, binary=True), tree)


@REAL_GIT
@given(pair=tree_pairs())
def test_git_applies_a_rendered_diff_forward_and_back(
    repository: Repository, pair: tuple[Tree, Tree]
) -> None:
    old, new = pair
    assume(old != new)
    rendered = render_diff(changes_between(old, new, repository), MemoryTree(old).content_of, binary=True)
    after, before = repository.store(new), repository.store(old)
    for direction, expected in (([], after), (["--reverse"], before)):
        subprocess.run(
            ["git", "apply", "--index", *direction, "-"],
            cwd=repository.root,
            input=rendered,
            capture_output=True,
            check=True,
        )
        assert expected == repository.git("write-tree").decode().strip()


def rendered(data: bytes, files: dict[str, bytes | File], **options: bool) -> str:
    tree = MemoryTree(files)
    return render_diff(read_changeset(data, tree), tree.content_of, **options).decode()


def test_a_diff_looks_like_one_of_git() -> None:
    data = document(
        update("f", "1\n2\nthree\n4\n5\n6\n7\n8"),
        create("new file", "x\n", mode="0755"),
        delete("gone"),
        rename("a b", "é", content="a\n" * 9 + "b\n"),
        chmod("tool", "0755"),
        create("none", ""),
    )
    files: dict[str, bytes | File] = {
        "f": b"".join(b"%d\n" % n for n in range(1, 9)),
        "gone": b"bye",
        "a b": b"a\n" * 10,
        "tool": b"",
    }

    assert (
        """\
diff --git a/f b/f
index 535d2b01d3..1b5f87e91d
--- a/f
+++ b/f
@@ -1,8 +1,8 @@
 1
 2
-3
+three
 4
 5
 6
 7
-8
+8
\\ No newline at end of file
diff --git a/gone b/gone
deleted file mode 100644
index 0abaeaa993..0000000000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-bye
\\ No newline at end of file
diff --git a/new file b/new file
new file mode 100755
index 0000000000..587be6b4c3
--- /dev/null
+++ b/new file\t
@@ -0,0 +1 @@
+x
diff --git a/none b/none
new file mode 100644
index 0000000000..e69de29bb2
diff --git a/tool b/tool
old mode 100644
new mode 100755
diff --git a/a b "b/\\303\\251"
similarity index 90%
rename from a b
rename to "\\303\\251"
index d15112c5df..105ab99779
--- a/a b\t
+++ "b/\\303\\251"
@@ -7,4 +7,4 @@
 a
 a
 a
-a
+b
""".splitlines()
        == rendered(data, files).splitlines()
    )


def test_a_binary_file_is_named_or_put_in() -> None:
    data = document({"operation": "update", "path": "f", "content_base64": "AAE="})

    assert "Binary files a/f and b/f differ\n" in rendered(data, {"f": b"\0"})
    assert "GIT binary patch\nliteral 2\n" in rendered(data, {"f": b"\0"}, binary=True)
    assert "Binary files a/f and /dev/null differ\n" in rendered(document(delete("f")), {"f": b"\0"})
    assert "similarity index 0%\nrename from f\n" in rendered(
        document(rename("f", "g", content="text\n")), {"f": b"\0"}
    )


def test_missing_contents_are_said_to_be_missing() -> None:
    """A record whose contents were dropped, or whose store holds something else, shows no wrong diff."""
    tree = MemoryTree({"f": b"old\n", "g": b"g\n"})
    changes = read_changeset(document(update("f"), rename("g", "h")), tree)
    without = [replace(change, content=None) for change in changes]
    contents = {change.new_sha256: change.content for change in changes}

    def kept(digest: str) -> bytes | None:
        return contents.get(digest) or tree.content_of(digest)

    assert render_diff(changes, tree.content_of) == render_diff(without, kept)
    assert b"The content after the change is not kept." in render_diff(without, tree.content_of)
    for nothing in (lambda _: None, lambda _: b"something else"):
        text = render_diff(changes, nothing)
        assert text.count(b"The content before the change is not kept.") == 2
        assert b"deleted file mode 100644" in text
        with pytest.raises(InvalidChange):
            read_patch(text, tree)


def test_bits_git_does_not_know_are_shown() -> None:
    changes = read_changeset(document(chmod("f", "0755")), MemoryTree({"f": (b"", 0o4755)}))

    assert b"old mode 104755\nnew mode 100755\n" in render_diff(changes, lambda _: b"")


def test_a_copy_is_shown_as_a_new_file() -> None:
    tree = MemoryTree({"f": b"1\n"})
    changes = read_patch(b"diff --git a/f b/g\ncopy from f\ncopy to g\n", tree)

    assert b"new file mode 100644" in render_diff(changes, tree.content_of)


LINES = st.lists(st.sampled_from([b"a\n", b"b\n", b"c\n", b"d\n", b"\n"]), max_size=25)


@given(old=LINES, new=LINES, tail=st.sampled_from([b"", b"end"]))
def test_blocks_are_what_differs(old: list[bytes], new: list[bytes], tail: bytes) -> None:
    """In order, apart, and replacing them in the old content gives the new one."""
    before, after = b"".join(old) + tail, b"".join(new)
    blocks = changed_blocks(before, after)
    lines, result, position = split_lines(before), [], 0
    for earlier, block in zip([None, *blocks], blocks, strict=False):
        if earlier is not None:
            assert earlier.old_end < block.old_start
            assert earlier.new_end < block.new_start
        assert (block.old_start, block.new_start) != (block.old_end, block.new_end)
        result += lines[position : block.old_start]
        assert len(result) == block.new_start
        result += split_lines(after)[block.new_start : block.new_end]
        position = block.old_end

    assert after == b"".join(result + lines[position:])


@given(
    old=LINES, edits=st.lists(st.tuples(st.integers(0, 24), st.sampled_from([b"x\n", b"y\n"])), max_size=3)
)
def test_a_few_edits_are_found_as_a_few_lines(old: list[bytes], edits: list[tuple[int, bytes]]) -> None:
    new = list(old)
    for at, line in edits:
        new.insert(at, line)

    assert (len(edits), 0) == count_changes(b"".join(old), b"".join(new))


@given(order=st.permutations(range(12)))
def test_of_lines_in_another_order_the_longest_ascending_part_stays(order: list[int]) -> None:
    old = b"".join(b"%d\n" % n for n in range(12))
    new = b"".join(b"%d\n" % n for n in order)
    longest = [1] * 12
    for i, value in enumerate(order):
        longest[i] = 1 + max((longest[j] for j in range(i) if order[j] < value), default=0)

    assert (12 - max(longest), 12 - max(longest)) == count_changes(old, new)


def test_binary_files_have_no_lines() -> None:
    assert is_binary(b"\0")
    assert not is_binary(b"x" * 8000 + b"\0")
    assert (0, 0) == count_changes(None, b"\0\n")
    assert (2, 0) == count_changes(None, b"a\nb")
    assert (0, 1) == count_changes(b"a\n", None)


def test_work_is_bounded_by_taking_the_rest_as_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    """With no work allowed the middle is one block; the ends are still found equal."""
    monkeypatch.setattr("executor.changes.lines._WORK", 0)

    assert [Block(1, 4, 1, 4)] == changed_blocks(b"a\n1\nx\n2\nb\n", b"a\n3\nx\n4\nb\n")


def test_an_edit_script_is_searched_for_only_while_work_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.changes.lines._WORK", 30)

    assert [Block(0, 10, 0, 10)] == changed_blocks(b"a\nb\n" * 5, b"c\na\n" * 5)


def test_a_long_edit_script_is_not_searched_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("executor.changes.lines._MAX_EDITS", 1)

    assert [Block(0, 5, 0, 5)] == changed_blocks(b"a\na\nx\nb\nb\n", b"c\nc\nx\nx\nd\n")
