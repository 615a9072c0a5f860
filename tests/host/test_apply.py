"""Whatever is applied can be undone: any change, any failing operation, anybody's edits in between."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from executor.errors import (
    BaseChanged,
    InvalidChange,
    InvalidState,
    UnsafePath,
    WorkspaceNotFound,
    WorkspaceUnwritable,
)
from executor.host.apply import Transaction
from executor.host.journal import Side, find_journals
from executor.host.rollback import RollbackReport
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset, FileChange, Operation, sha256
from support.applying import prepare, recover, without_temporaries
from support.faults import Fault, faulty
from support.trees import (
    REPRESENTATIVE,
    STATE,
    File,
    Node,
    TreeChange,
    changeset_between,
    files_of,
    snapshot,
    tree_changes,
    write_tree,
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return REPRESENTATIVE.write(tmp_path / "workspace")


@pytest.fixture
def tree(root: Path) -> Iterator[WorkspaceTree]:
    with WorkspaceTree(root, root / STATE) as opened:
        yield opened


def applied(tree: WorkspaceTree, changeset: Changeset) -> Transaction:
    transaction = prepare(tree, changeset)
    transaction.backup()
    transaction.apply()
    return transaction


def make(operation: Operation, path: str, old: bytes | None = None, new: bytes | None = None) -> Changeset:
    change = FileChange(
        operation=operation,
        path=path,
        old_sha256=None if old is None else sha256(old),
        new_sha256=None if new is None else sha256(new),
        content=new,
    )
    return Changeset.of([change])


def without_directory_modes(nodes: dict[str, Node]) -> dict[str, Node]:
    return {path: node._replace(mode=0) if node.kind == "directory" else node for path, node in nodes.items()}


def run_under(fault: Fault, root: Path, changeset: Changeset) -> bool:
    """Runs a change under a fault, and undoes it without when it fails; True when it was committed."""
    with WorkspaceTree(root, root / STATE) as tree, faulty(fault), prepare(tree, changeset) as transaction:
        try:
            transaction.backup()
            transaction.apply()
            transaction.commit()
        except WorkspaceUnwritable:
            with faulty(Fault()):
                assert transaction.rollback().complete
                transaction.close()
            return False
    return True


class TestApply:
    @given(change=tree_changes())
    def test_any_change_is_applied_exactly_and_rolled_back_exactly(
        self, tmp_path_factory: pytest.TempPathFactory, change: TreeChange
    ) -> None:
        """Files, bytes, modes and directories after the apply are those asked for; after the rollback, those before."""
        root = change.write(tmp_path_factory.mktemp("any") / "workspace")
        before = snapshot(root)

        with faulty(Fault()), WorkspaceTree(root) as tree, prepare(tree, change.changeset) as transaction:
            transaction.backup()
            transaction.apply()
            after = snapshot(root)
            report = transaction.rollback()

        assert change.after == files_of(after)
        assert change.directories_after == {path for path, node in after.items() if node.kind == "directory"}
        assert report.complete
        assert before == snapshot(root)
        assert [] == find_journals(root / STATE)

    @given(change=tree_changes(), error=st.sampled_from([errno.ENOSPC, errno.EIO, errno.EACCES]))
    @settings(max_examples=max(5, settings().max_examples // 4))
    def test_a_change_that_fails_at_any_operation_is_undone(
        self, tmp_path_factory: pytest.TempPathFactory, change: TreeChange, error: int
    ) -> None:
        """For every n until the run succeeds: the n-th operation fails, the tree is as before, to the byte."""
        folder = tmp_path_factory.mktemp("failing")
        fault, nth = Fault(nth=1), 0

        while nth == 0 or fault.hit is not None:
            nth += 1
            root = change.write(folder / str(nth))
            before = snapshot(root)
            fault = Fault(nth=nth, error=error)
            committed = run_under(fault, root, change.changeset)
            recovered = recover(root)

            assert (change.after if committed else files_of(before)) == files_of(snapshot(root))
            assert committed or before == snapshot(root)
            assert recovered is None or (recovered.side is Side.AFTER) == committed
            assert [] == find_journals(root / STATE)

        assert nth > len(change.changeset.changes)

    def test_a_rollback_that_fails_at_any_operation_names_what_is_not_undone(
        self, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        """One failing operation costs at most the paths named; the next recovery, allowed to work, finishes."""
        folder = tmp_path_factory.mktemp("failing-rollback")
        nth, hit, incomplete = 0, True, 0

        while hit:
            nth += 1
            root = REPRESENTATIVE.write(folder / str(nth))
            before = snapshot(root)
            with WorkspaceTree(root, root / STATE) as tree, faulty(Fault()):
                transaction = applied(tree, REPRESENTATIVE.changeset)
                with faulty(Fault(nth=nth, error=errno.ENOSPC)) as fault:
                    report = transaction.rollback()
                hit = fault.hit is not None
                with faulty(Fault()):
                    different = {
                        path for path, node in before.items() if snapshot(root).get(path) != node
                    } | set(snapshot(root)) - set(before)
                    assert report.complete == (not report.failed)
                    assert not different or not report.complete
                    incomplete += not report.complete
                    assert transaction.rollback().complete
                    transaction.close()

            assert before == snapshot(root)

        assert incomplete > 0

    def test_a_full_disk_during_the_rollback_leaves_the_journal_for_a_recovery(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        before = snapshot(root)
        transaction = applied(tree, REPRESENTATIVE.changeset)

        full = frozenset({"open", "write", "mkdir"})
        with faulty(Fault(nth=1, error=errno.ENOSPC, lasting=True, operations=full)):
            report = transaction.rollback()
            transaction.close()

        assert {"module.py", "script.sh", "mode.txt"} <= {path for path, _ in report.failed}
        assert not report.complete
        assert "new/run" not in snapshot(root)
        (found,) = find_journals(root / STATE)
        with Transaction.reopen(tree, found) as again:
            assert again.rollback().complete
        assert before == snapshot(root)

    def test_each_file_is_told_when_it_is_done(self, root: Path, tree: WorkspaceTree) -> None:
        seen: list[tuple[str, bool]] = []

        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            transaction.apply(lambda change: seen.append((change.path, (root / change.path).is_file())))
            transaction.commit()

        deleted = {c.path for c in REPRESENTATIVE.changeset.changes if c.operation is Operation.DELETE}
        assert sorted(REPRESENTATIVE.changeset.paths) == sorted(path for path, _ in seen)
        assert all(exists == (path not in deleted) for path, exists in seen)

    def test_an_observer_that_raises_leaves_a_change_that_can_be_undone(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        before = snapshot(root)

        def interrupt(change: FileChange) -> None:
            raise KeyboardInterrupt

        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            with pytest.raises(KeyboardInterrupt):
                transaction.apply(interrupt)
            assert transaction.rollback().complete

        assert before == snapshot(root)

    def test_nothing_is_written_before_the_intent_stands(self, root: Path, tree: WorkspaceTree) -> None:
        before = snapshot(root)

        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            assert [] == list((root / STATE).iterdir())
            transaction.backup()

            assert before == snapshot(root)
            assert ["exec_test"] == [found.execution_id for found in find_journals(root / STATE)]

    def test_no_descriptor_stays_open(self, root: Path) -> None:
        """Neither after a run, nor after a failure at any operation."""
        before = len(list(Path("/proc/self/fd").iterdir()))

        nth, hit = 0, True
        while hit:
            nth += 1
            fault = Fault(nth=nth)
            with (
                WorkspaceTree(root, root / STATE) as tree,
                faulty(fault),
                prepare(tree, REPRESENTATIVE.changeset) as transaction,
            ):
                with suppress(WorkspaceUnwritable):
                    transaction.backup()
                    transaction.apply()
                with faulty(Fault()):
                    assert transaction.rollback().complete
                    transaction.close()
            hit = fault.hit is not None

        assert before == len(list(Path("/proc/self/fd").iterdir()))

    def test_an_apply_without_backup_is_refused(self, tree: WorkspaceTree) -> None:
        with prepare(tree, REPRESENTATIVE.changeset) as transaction, pytest.raises(InvalidState):
            transaction.apply()

    def test_a_committed_change_cannot_be_rolled_back(self, root: Path, tree: WorkspaceTree) -> None:
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.commit()
            with pytest.raises(InvalidState):
                transaction.rollback()

        assert REPRESENTATIVE.after == files_of(snapshot(root))

    def test_a_second_journal_of_one_execution_is_refused(self, tree: WorkspaceTree) -> None:
        applied(tree, REPRESENTATIVE.changeset).close()

        with (
            prepare(tree, changeset_between({}, {"z": File(b"")})) as second,
            pytest.raises(InvalidState, match="recover"),
        ):
            second.backup()

    def test_temporary_files_lie_beside_their_targets(self, tmp_path: Path) -> None:
        """The state directory may be on another file system; renames never leave the workspace's."""
        root = write_tree(tmp_path / "workspace", {"folder/a.txt": File(b"a")})
        shared = Path("/dev/shm")
        elsewhere = shared if os.access(shared, os.W_OK) else tmp_path
        state = elsewhere / f"executor-test-{os.getpid()}"
        state.mkdir()
        staged: list[str] = []
        try:
            with WorkspaceTree(root, state) as tree:
                change = changeset_between(files_of(snapshot(root)), {"folder/a.txt": File(b"b")})
                with prepare(tree, change, state) as transaction:
                    transaction.backup()
                    renames = frozenset({"rename"})
                    with faulty(Fault(nth=1, operations=renames)), pytest.raises(WorkspaceUnwritable):
                        transaction.apply()
                    staged = [path for path in snapshot(root) if ".executor-" in path]
                    assert transaction.rollback().complete
            assert ["folder"] == [path.rpartition("/")[0] for path in staged]
            assert {"folder/a.txt": File(b"a")} == files_of(snapshot(root))
            assert [] == find_journals(state)
        finally:
            for path in sorted(state.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            state.rmdir()


class TestBase:
    def test_every_file_that_is_not_the_one_meant_is_named_before_anything_is_written(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        before = dict(REPRESENTATIVE.before)
        (root / "module.py").write_bytes(b"x = 3\n")
        (root / "script.sh").chmod(0o644)
        (root / "folder/deep/only.txt").unlink()
        (root / "new").mkdir()
        (root / "new/run").write_bytes(b"here already\n")
        as_found = snapshot(root)

        with pytest.raises(BaseChanged) as caught:
            prepare(tree, changeset_between(before, REPRESENTATIVE.after))

        assert {
            "module.py": "its content is another",
            "script.sh": "it is not executable",
            "folder/deep/only.txt": "it is missing",
            "new/run": "it exists already",
        } == dict(caught.value.paths)
        assert as_found == snapshot(root)

    @pytest.mark.parametrize("path", ["module.py", "swap", "new/nested/file.py"])
    def test_an_edit_after_the_backup_stops_the_apply(
        self, root: Path, tree: WorkspaceTree, path: str
    ) -> None:
        """Judged again before the first byte, so the tree is as the editor left it."""
        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(b"edited by somebody\n")
            edited = snapshot(root)
            with pytest.raises(BaseChanged, match=path):
                transaction.apply()
            transaction.rollback()

        assert edited == snapshot(root)

    @pytest.mark.parametrize("path", ["script.sh", "new/run", "read only.txt", "swap"])
    def test_an_edit_in_the_middle_of_the_apply_stops_it_and_is_kept(
        self, root: Path, tree: WorkspaceTree, path: str
    ) -> None:
        """Files that were done come back; the one that was edited is left alone and named."""
        before = snapshot(root)

        seen: list[str] = []

        def edit(change: FileChange) -> None:
            seen.append(change.path)
            if len(seen) == 1:
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).unlink(missing_ok=True)
                (root / path).write_bytes(b"edited by somebody\n")

        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            with pytest.raises(BaseChanged, match=path.partition("/")[0]):
                transaction.apply(edit)
            report = transaction.rollback()

        after = snapshot(root)
        assert [path] == [name for name, _ in report.foreign]
        assert b"edited by somebody\n" == after[path].content
        assert without_temporaries(after)
        assert {name: node for name, node in before.items() if name != path}.items() <= after.items()

    def test_a_file_whose_group_rights_changed_is_still_the_one_meant(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        """Of the mode only the owner's right to execute is compared; where no other is asked for, it is kept."""
        (root / "module.py").chmod(0o660)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.commit()

        assert (0o660, b"x = 2\n") == snapshot(root)["module.py"][1:]

    def test_a_workspace_that_was_replaced_is_refused(self, root: Path, tree: WorkspaceTree) -> None:
        root.rename(root.with_name("moved"))
        root.mkdir()

        with pytest.raises(WorkspaceNotFound):
            prepare(tree, REPRESENTATIVE.changeset, root.with_name("moved") / STATE)


class TestRefusals:
    @pytest.mark.parametrize(
        "path",
        [
            "../outside",
            "/etc/passwd",
            "a/../../outside",
            "a//b",
            "./a",
            "a/.",
            "",
            ".git/hooks/post-commit",
            "sub/.GIT/config",
            ".executor/policy.yaml",
            ".Executor/executor.db",
            "a\\b",
            "a\0b",
            "cafe\u0301",
        ],
    )
    def test_a_path_that_leaves_or_must_not_be_touched_is_refused(
        self, root: Path, tree: WorkspaceTree, path: str
    ) -> None:
        before = snapshot(root)

        with pytest.raises(UnsafePath):
            prepare(tree, make(Operation.CREATE, path, new=b"no\n"))

        assert before == snapshot(root)

    @pytest.mark.parametrize(
        "changeset",
        [
            Changeset.of(
                [
                    *make(Operation.CREATE, "a", new=b"x").changes,
                    *make(Operation.CREATE, "a", new=b"y").changes,
                ]
            ),
            Changeset.of(
                [
                    *make(Operation.CREATE, "a", new=b"x").changes,
                    *make(Operation.CREATE, "a/b", new=b"y").changes,
                ]
            ),
            make(Operation.CREATE, "a", old=b"x", new=b"y"),
            make(Operation.UPDATE, "module.py", new=b"y"),
            make(Operation.UPDATE, "module.py", old=b"x = 1\n"),
            make(Operation.DELETE, "module.py", old=b"x = 1\n", new=b"y"),
            Changeset.of(
                [FileChange(operation=Operation.CREATE, path="a", new_sha256=sha256(b"x"), content=b"y")]
            ),
        ],
        ids=["twice", "file and directory", "create of old", "no old", "no new", "delete to", "other bytes"],
    )
    def test_a_change_that_contradicts_itself_is_refused(
        self, tree: WorkspaceTree, changeset: Changeset
    ) -> None:
        with pytest.raises(InvalidChange):
            prepare(tree, changeset)

    def test_a_state_directory_of_another_name_is_refused_too(self, tmp_path: Path) -> None:
        root = write_tree(tmp_path / "workspace", {"state/executor.db": File(b"db")})
        with WorkspaceTree(root) as tree:
            change = make(Operation.UPDATE, "state/executor.db", old=b"db", new=b"broken")

            with pytest.raises(UnsafePath, match="state directory"):
                prepare(tree, change, root / "state")

    @pytest.mark.parametrize("way", ["link to a directory", "link to a file", "link to nothing", "fifo"])
    def test_a_target_or_a_way_that_is_no_plain_file_is_refused(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path, way: str
    ) -> None:
        outside = write_tree(tmp_path / "outside", {"old.txt": File(b"old\n")})
        paths = ["odd"]
        if way == "fifo":
            os.mkfifo(root / "odd")
        elif way == "link to a directory":
            (root / "odd").symlink_to(outside)
            paths += ["odd/old.txt", "odd/new.txt", "odd/deeper/new.txt"]
        else:
            (root / "odd").symlink_to(outside / ("old.txt" if way == "link to a file" else "nothing"))
        before, before_outside = snapshot(root), snapshot(outside)

        for path in paths:
            for change in (
                make(Operation.CREATE, path, new=b"new\n"),
                make(Operation.UPDATE, path, old=b"old\n", new=b"new\n"),
                make(Operation.DELETE, path, old=b"old\n"),
            ):
                # To create where a FIFO stands is no danger, only too late.
                with pytest.raises((UnsafePath, BaseChanged) if way == "fifo" else UnsafePath):
                    prepare(tree, change)

        assert (before, before_outside) == (snapshot(root), snapshot(outside))

    def test_a_linked_bytecode_cache_is_refused(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        """What lies behind the link is outside, and stale bytecode there would be run."""
        (root / "__pycache__").symlink_to(tmp_path)

        with pytest.raises(UnsafePath, match="__pycache__"):
            prepare(tree, make(Operation.UPDATE, "module.py", old=b"x = 1\n", new=b"x = 2\n"))

    def test_a_directory_with_other_files_does_not_become_a_file(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        (root / "dir/theirs.txt").write_bytes(b"not in the change\n")

        with pytest.raises(BaseChanged, match="a directory"):
            prepare(tree, REPRESENTATIVE.changeset)


class TestModes:
    def test_created_files_have_the_mode_asked_for_whatever_the_umask(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        old = os.umask(0o077)
        try:
            with applied(tree, REPRESENTATIVE.changeset) as transaction:
                transaction.commit()
        finally:
            os.umask(old)

        nodes = snapshot(root)
        assert (0o644, 0o755) == (nodes["new/nested/file.py"].mode, nodes["new/run"].mode)
        assert (0o755, 0o755) == (nodes["new"].mode, nodes["new/nested"].mode)

    def test_set_user_id_does_not_survive_an_update_and_comes_back_with_a_rollback(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        (root / "script.sh").chmod(0o4755)
        before = snapshot(root)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            assert 0o755 == snapshot(root)["script.sh"].mode
            assert transaction.rollback().complete

        assert before == snapshot(root)

    def test_a_hard_link_is_replaced_not_written_through(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        outside = tmp_path / "outside.py"
        outside.hardlink_to(root / "module.py")

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.commit()

        assert (b"x = 1\n", b"x = 2\n") == (outside.read_bytes(), (root / "module.py").read_bytes())

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
    def test_root_leaves_files_to_their_owner(self, root: Path, tree: WorkspaceTree) -> None:
        os.chown(root / "module.py", 65534, 65534)
        os.chown(root / "swap", 65534, 65534)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            assert 65534 == (root / "module.py").stat().st_uid
            assert transaction.rollback().complete

        assert [(65534, 65534)] * 2 == [
            (status.st_uid, status.st_gid) for status in ((root / p).stat() for p in ("module.py", "swap"))
        ]


class TestRollback:
    def report(self, tree: WorkspaceTree, root: Path, edits: dict[str, bytes | None]) -> RollbackReport:
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            for path, content in edits.items():
                if content is None:
                    (root / path).unlink()
                else:
                    (root / path).unlink(missing_ok=True)
                    (root / path).write_bytes(content)
            return transaction.rollback()

    def test_edits_of_others_are_left_alone_and_named(self, root: Path, tree: WorkspaceTree) -> None:
        before = snapshot(root)
        edits: dict[str, bytes | None] = {
            "module.py": b"x = 99\n",
            "new/run": b"theirs\n",
            "script.sh": None,
            "folder/deep-but-theirs.txt": b"theirs\n",
        }

        report = self.report(tree, root, edits)

        after = snapshot(root)
        assert {"module.py", "new/run", "script.sh"} == {path for path, _ in report.foreign}
        assert not report.complete
        assert (b"x = 99\n", b"theirs\n") == (after["module.py"].content, after["new/run"].content)
        assert "script.sh" not in after
        assert ("new",) == report.leftover_directories
        others = {path: node for path, node in before.items() if path not in edits}
        assert others.items() <= after.items()

    def test_a_file_that_somebody_brought_back_to_its_old_bytes_is_as_before(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        report = self.report(tree, root, {"module.py": b"x = 1\n"})

        assert report.complete
        assert "module.py" in report.untouched

    def test_a_changed_mode_is_an_edit(self, root: Path, tree: WorkspaceTree) -> None:
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            (root / "module.py").chmod(0o666)
            report = transaction.rollback()

        assert (("module.py", "its mode is 0666 instead of 0644"),) == report.foreign

    def test_a_link_put_in_place_of_a_target_is_not_followed(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        outside = write_tree(tmp_path / "outside", {"file.py": File(b"x = 2\n"), "folder/deep/z": File(b"z")})
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            (root / "module.py").unlink()
            (root / "module.py").symlink_to(outside / "file.py")
            (root / "new/nested/file.py").unlink()
            (root / "new/nested").rmdir()
            (root / "new/nested").symlink_to(outside)
            (root / "folder/deep").symlink_to(outside / "folder")
            report = transaction.rollback()

        assert {"module.py", "new/nested/file.py", "folder/deep/only.txt"} == {p for p, _ in report.foreign}
        assert {"file.py": File(b"x = 2\n"), "folder/deep/z": File(b"z")} == files_of(snapshot(outside))

    def test_an_edit_during_the_rollback_is_left_alone(
        self, root: Path, tree: WorkspaceTree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Looked at once more when the old file is ready to take its place."""
        before = snapshot(root)
        real = os.fsync

        def edit_and_sync(fd: int) -> None:
            (root / "module.py").write_bytes(b"edited by somebody\n")
            real(fd)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            monkeypatch.setattr(os, "fsync", edit_and_sync)
            report = transaction.rollback()

        after = snapshot(root)
        assert ["module.py"] == [path for path, _ in report.foreign]
        assert b"edited by somebody\n" == after.pop("module.py").content
        assert {path: node for path, node in before.items() if path != "module.py"} == after

    @pytest.mark.parametrize("path", ["module.py", "new/run"])
    def test_an_edit_while_a_file_is_judged_is_left_alone(
        self, root: Path, tree: WorkspaceTree, monkeypatch: pytest.MonkeyPatch, path: str
    ) -> None:
        """Edited between the reading of its last byte and its replacement or removal."""
        real = os.read
        edited: list[str] = []

        def read_and_edit(fd: int, size: int) -> bytes:
            data = real(fd, size)
            if not data and not edited and os.path.samestat(os.fstat(fd), (root / path).stat()):
                edited.append(path)
                (root / path).write_bytes(b"edited by somebody\n")
            return data

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            monkeypatch.setattr(os, "read", read_and_edit)
            report = transaction.rollback()

        assert [path] == edited
        assert [path] == [name for name, _ in report.foreign]
        assert b"edited by somebody\n" == (root / path).read_bytes()

    def test_a_path_counts_as_restored_when_it_was_read_back(
        self, root: Path, tree: WorkspaceTree, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody edits a file between its restoration and the end of the rollback."""
        real = os.fsync

        def edit_and_sync(fd: int) -> None:
            if stat.S_ISDIR(os.fstat(fd).st_mode) and (root / "module.py").read_bytes() == b"x = 1\n":
                (root / "module.py").write_bytes(b"edited by somebody\n")
            real(fd)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            monkeypatch.setattr(os, "fsync", edit_and_sync)
            report = transaction.rollback()

        assert (("module.py", "after the rollback: somebody changed it"),) == report.foreign
        assert "module.py" not in report.restored

    def test_a_commit_mark_that_may_not_last_is_taken_back_first(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        """Else a crash in the rollback would leave half of it under the word `after`."""
        before = snapshot(root)
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            # The file is synced, the rename stands, the directory is not synced.
            with (
                faulty(Fault(nth=2, operations=frozenset({"fsync"}))),
                pytest.raises(WorkspaceUnwritable),
            ):
                transaction.commit()
            (found,) = find_journals(root / STATE)
            assert (found.directory / "outcome.json").exists()
            stuck = Fault(nth=2, lasting=True, operations=frozenset({"rename", "link"}))
            with faulty(stuck):
                assert not transaction.rollback().complete

        report = recover(root)

        assert report is not None
        assert (Side.BEFORE, True) == (report.side, report.complete)
        assert before == snapshot(root)

    def test_what_could_not_be_restored_can_be_rescued(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        """The old bytes of a file that others edited are copied out before the journal goes."""
        folder = tmp_path / "rescued"
        folder.mkdir()
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            (root / "module.py").write_bytes(b"x = 99\n")
            transaction.rollback()
            ((path, copy),) = transaction.rescue(folder)

        assert ("module.py", b"x = 1\n") == (path, copy.read_bytes())
        assert 0o600 == stat.S_IMODE(copy.stat().st_mode)
        assert [] == find_journals(root / STATE)

    def test_a_damaged_backup_is_not_restored(self, root: Path, tree: WorkspaceTree, tmp_path: Path) -> None:
        after = None
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            after = snapshot(root)
            backup = root / STATE / "journal/exec_test/before.bin"
            backup.write_bytes(backup.read_bytes().replace(b"x = 1", b"x = 7"))
            report = transaction.rollback()
            assert [] == transaction.rescue(tmp_path)

        assert ["module.py"] == [path for path, _ in report.failed]
        assert after["module.py"] == snapshot(root)["module.py"]
        assert [] != find_journals(root / STATE)


class TestChecks:
    """Files that checks write: kept before, noted after, put back or removed by a rollback."""

    def test_what_checks_changed_and_made_is_undone(self, root: Path, tree: WorkspaceTree) -> None:
        write_tree(root, {"dirty/notes.txt": File(b"mine\n", 0o640), "gone.txt": File(b"mine too\n")})
        before = snapshot(root)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            assert [] == transaction.keep(["dirty/notes.txt", "gone.txt", "kept.txt", "missing.txt"])
            (root / "dirty/notes.txt").unlink()
            (root / "dirty").rmdir()
            (root / "gone.txt").write_bytes(b"overwritten\n")
            write_tree(root, {"made/by/check.txt": File(b"made\n"), "made.log": File(b"made\n")})
            (root / "made/link").symlink_to("/etc")
            os.mkfifo(root / "made/fifo")
            transaction.note_effects(
                changed=["dirty/notes.txt", "gone.txt"],
                created=["made", "made/by", "made/by/check.txt", "made.log", "made/link", "made/fifo"],
            )
            report = transaction.rollback()

        assert report.complete
        assert ("gone.txt",) == report.displaced
        assert before == snapshot(root)

    def test_a_kept_file_that_became_something_else_comes_back(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        write_tree(root, {"link": File(b"mine\n"), "fifo": File(b"mine\n"), "dir ectory": File(b"mine\n")})
        outside = write_tree(tmp_path / "outside", {"theirs": File(b"theirs\n")})
        before = snapshot(root)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.keep(["link", "fifo", "dir ectory"])
            for name in ("link", "fifo", "dir ectory"):
                (root / name).unlink()
            (root / "link").symlink_to(outside / "theirs")
            os.mkfifo(root / "fifo")
            write_tree(root, {"dir ectory/made": File(b"made\n")})
            transaction.note_effects(
                changed=["link", "fifo", "dir ectory"], created=["dir ectory", "dir ectory/made"]
            )
            assert transaction.rollback().complete

        assert before == snapshot(root)
        assert {"theirs": File(b"theirs\n")} == files_of(snapshot(outside))

    def test_edits_after_the_checks_are_left_alone(self, root: Path, tree: WorkspaceTree) -> None:
        """A kept file the checks did not touch is nobody's business; one they did is named."""
        write_tree(root, {"one.txt": File(b"one\n"), "two.txt": File(b"two\n")})

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.keep(["one.txt", "two.txt"])
            write_tree(root, {"one.txt": File(b"by a check\n"), "made.txt": File(b"by a check\n")})
            transaction.note_effects(changed=["one.txt"], created=["made.txt"])
            for name in ("one.txt", "two.txt", "made.txt"):
                (root / name).write_bytes(b"edited later\n")
            report = transaction.rollback()

        assert {"one.txt", "made.txt"} == {path for path, _ in report.foreign}
        assert [b"edited later\n"] * 3 == [
            (root / name).read_bytes() for name in ("one.txt", "two.txt", "made.txt")
        ]

    def test_what_stands_in_a_kept_file_when_checks_are_cut_short_gives_way_and_is_saved(
        self, root: Path, tree: WorkspaceTree, tmp_path: Path
    ) -> None:
        (root / "notes.txt").write_bytes(b"mine\n")

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.keep(["notes.txt"])
            (root / "notes.txt").write_bytes(b"by a check, or by somebody\n")
            report = transaction.rollback()
            ((path, copy),) = transaction.rescue(tmp_path)

        assert report.complete
        assert ("notes.txt",) == report.displaced
        assert b"mine\n" == (root / "notes.txt").read_bytes()
        assert ("notes.txt", b"by a check, or by somebody\n") == (path, copy.read_bytes())

    def test_a_changed_target_is_judged_by_the_change_alone(self, root: Path, tree: WorkspaceTree) -> None:
        """Keeping and noting a path of the changeset does nothing: others' bytes there are never removed."""
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.keep(["module.py", "new/run"])
            (root / "module.py").write_bytes(b"x = 99\n")
            transaction.note_effects(changed=["module.py"], created=["new/run", "module.py"])
            assert [("module.py", "somebody changed it")] == transaction.edits()
            report = transaction.rollback()

        assert ["module.py"] == [path for path, _ in report.foreign]
        assert b"x = 99\n" == (root / "module.py").read_bytes()

    def test_bytecode_caches_in_created_directories_go_with_them(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        before = snapshot(root)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            cache = root / "new/nested/__pycache__"
            cache.mkdir()
            (cache / "file.cpython-311.pyc").write_bytes(b"")
            (cache / "conftest.cpython-311-pytest-9.pyc").write_bytes(b"")
            report = transaction.rollback()

        assert report.complete
        assert before == snapshot(root)

    def test_names_that_are_no_text_are_kept_and_removed_exactly(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        odd, made = os.fsdecode(b"odd-\xff"), os.fsdecode(b"made-\xfe\n")
        (root / odd).write_bytes(b"mine\n")
        before = snapshot(root)

        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.keep([odd])
            (root / odd).write_bytes(b"changed\n")
            (root / made).write_bytes(b"made\n")
            transaction.note_effects(changed=[odd], created=[made])
            assert transaction.rollback().complete

        assert before == snapshot(root)

    def test_attachments_come_back_in_a_recovery(self, root: Path, tree: WorkspaceTree) -> None:
        with applied(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.attach("listing", b"exact\x00bytes")
        (found,) = find_journals(root / STATE)

        with Transaction.reopen(tree, found) as again:
            assert b"exact\x00bytes" == again.attachment("listing")
            assert again.attachment("nothing") is None
