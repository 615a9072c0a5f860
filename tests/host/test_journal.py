"""What is written lasts before anything relies on it, and the journal says so to nobody else."""

from __future__ import annotations

import json
import stat
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from executor.errors import InvalidState, LockHeld, WorkspaceUnwritable
from executor.host.apply import Transaction
from executor.host.journal import (
    Journal,
    Outcome,
    Side,
    discard_journal,
    find_journal,
    find_journals,
    sweep_journals,
)
from executor.host.tree import WorkspaceTree
from support.applying import EXECUTION, UNTRACKED, WORKSPACE, prepare
from support.faults import Operation, recording
from support.trees import REPRESENTATIVE, STATE, File, changeset_between


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return REPRESENTATIVE.write(tmp_path / "workspace")


@pytest.fixture
def tree(root: Path) -> Iterator[WorkspaceTree]:
    with WorkspaceTree(root, root / STATE) as opened:
        yield opened


class Disk:
    """What a power cut leaves: bytes that were synced, and names whose directory was synced since.

    A file's bytes last from the fsync of the file. A name, new or gone, lasts from the fsync of its
    directory. This is the least POSIX file systems promise, and less than most of them keep.
    """

    def __init__(self) -> None:
        self.unsynced_bytes: set[str] = set()
        self.unsynced_names: dict[str, set[str]] = {}

    def play(self, operation: Operation) -> None:
        name, path, to = operation
        if name == "fsync":
            self.unsynced_bytes.discard(path)
            self.unsynced_names.pop(path, None)
            return
        if name in ("open", "write", "fchmod", "fchown"):
            self.unsynced_bytes.add(path)
        if name in ("rename", "link") and path in self.unsynced_bytes:
            self.unsynced_bytes.discard(path)
            self.unsynced_bytes.add(to)
        if name == "unlink":
            self.unsynced_bytes.discard(path)
        if name in ("open", "rename", "link", "unlink", "mkdir", "rmdir"):
            for entry in filter(None, (path, to)):
                above, _, last = entry.rpartition("/")
                self.unsynced_names.setdefault(above, set()).add(last)
        if name == "rmdir":
            self.unsynced_names.pop(path, None)

    def lasting(self, where: Callable[[str], bool]) -> bool:
        names = {f"{above}/{name}" for above, entries in self.unsynced_names.items() for name in entries}
        return not any(where(path) for path in self.unsynced_bytes | names)


class TestDurability:
    def test_the_intent_lasts_before_the_workspace_is_touched(self, root: Path, tree: WorkspaceTree) -> None:
        with recording() as operations, prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            prepared = len(operations)
            transaction.apply()
            transaction.commit()

        disk = Disk()
        for operation in operations[:prepared]:
            disk.play(operation)
        assert all(operation.path.startswith(f"{root}/{STATE}") for operation in operations[:prepared])
        assert disk.lasting(lambda path: True)

    def test_no_file_takes_its_place_before_its_bytes_last(self, root: Path, tree: WorkspaceTree) -> None:
        """Else a power cut leaves an empty file under the right name: neither before nor after."""
        (root / UNTRACKED).write_bytes(b"mine\n")
        with recording() as operations, prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            transaction.apply()
            transaction.keep([UNTRACKED])
            (root / UNTRACKED).write_bytes(b"by a check\n")
            transaction.note_effects(changed=[UNTRACKED])
            transaction.rollback()

        disk, published = Disk(), 0
        for operation in operations:
            if operation.name in ("rename", "link"):
                published += 1
                assert operation.path not in disk.unsynced_bytes, operation
            disk.play(operation)
        assert published > 2 * len(REPRESENTATIVE.changeset.changes)

    @pytest.mark.parametrize("side", list(Side))
    def test_the_last_word_is_written_when_all_it_says_lasts(
        self, root: Path, tree: WorkspaceTree, side: Side
    ) -> None:
        with recording() as operations, prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            transaction.apply()
            if side is Side.AFTER:
                transaction.commit()
            else:
                transaction.rollback()

        disk = Disk()
        (marked,) = [i for i, o in enumerate(operations) if o.to.endswith("/outcome.json")]
        for operation in operations[:marked]:
            disk.play(operation)
        assert disk.lasting(lambda path: STATE not in path), disk.unsynced_names
        disk.play(operations[marked])
        disk.play(operations[marked + 1])
        assert disk.lasting(lambda path: path.endswith("/outcome.json"))

    def test_what_checks_are_let_loose_on_lasts_before(self, root: Path, tree: WorkspaceTree) -> None:
        (root / UNTRACKED).write_bytes(b"mine\n")
        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            transaction.apply()
            with recording() as operations:
                transaction.attach("snapshot", b"listing")
                transaction.keep([UNTRACKED])
            disk = Disk()
            for operation in operations:
                disk.play(operation)
            transaction.rollback()

        assert operations != []
        assert disk.lasting(lambda path: True)

    def test_the_outcome_is_the_last_file_of_a_journal_to_go(self, root: Path, tree: WorkspaceTree) -> None:
        """A cut in between leaves a journal that says what it is, or one that means nothing."""
        transaction = prepare(tree, REPRESENTATIVE.changeset)
        transaction.backup()
        transaction.apply()
        transaction.commit()
        with recording() as operations:
            transaction.close()

        gone = [o.path.rpartition("/")[2] for o in operations if o.name in ("unlink", "fsync")]
        assert ["intent.json", EXECUTION, "outcome.json"] == gone[-4:-1]


class TestJournal:
    def test_only_the_owner_can_read_it(self, root: Path, tree: WorkspaceTree) -> None:
        """Backups are exact bytes, secrets included."""
        (root / UNTRACKED).write_bytes(b"mine\n")
        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            transaction.backup()
            transaction.attach("snapshot", b"listing")
            transaction.keep([UNTRACKED])
            modes = {
                path.name: stat.S_IMODE(path.stat().st_mode) for path in (root / STATE).rglob("journal/**/*")
            }
            folder = stat.S_IMODE((root / STATE / "journal").stat().st_mode)

        names = {"before.bin", "intent.json", "attachment-snapshot", "kept-0", "checks.json"}
        assert {EXECUTION: 0o700, **dict.fromkeys(names, 0o600)} == modes
        assert 0o700 == folder

    def test_it_is_found_by_workspace_and_by_execution(self, root: Path, tree: WorkspaceTree) -> None:
        with prepare(tree, REPRESENTATIVE.changeset) as transaction:
            assert [] == find_journals(root / STATE)
            transaction.backup()

            assert [EXECUTION] == [found.execution_id for found in find_journals(root / STATE, WORKSPACE)]
            assert [] == find_journals(root / STATE, "ws_other")
            found = find_journal(root / STATE, EXECUTION)
            assert found is not None
            assert str(root) == found.root
            assert find_journal(root / STATE, "exec_other") is None

    def test_an_id_that_is_no_file_name_is_encoded(self, root: Path, tree: WorkspaceTree) -> None:
        odd = "../../outside/é"
        transaction = Transaction.prepare(
            tree, root / STATE, odd, REPRESENTATIVE.changeset, workspace_id=WORKSPACE
        )
        with transaction:
            transaction.backup()

            (directory,) = (root / STATE / "journal").iterdir()
            found = find_journal(root / STATE, odd)
            assert found is not None
            assert directory == found.directory

    def test_it_is_not_thrown_away_while_it_may_be_the_only_way_back(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        transaction = prepare(tree, REPRESENTATIVE.changeset)
        transaction.backup()
        found = find_journal(root / STATE, EXECUTION)
        assert found is not None
        with pytest.raises(LockHeld):
            discard_journal(found)
        transaction.close()
        with pytest.raises(InvalidState, match="recover it"):
            discard_journal(found)

        with Transaction.reopen(tree, found) as again:
            assert again.rollback().complete

        assert [] == find_journals(root / STATE)

    @pytest.mark.parametrize("damage", [b"", b"{", b"\xff\xfe", b'{"execution_id": 1}', b"[]"])
    def test_a_damaged_intent_is_an_error_that_names_the_file(
        self, root: Path, tree: WorkspaceTree, damage: bytes
    ) -> None:
        """Passing it over would leave a half-applied change and say nothing."""
        prepared = prepare(tree, REPRESENTATIVE.changeset)
        prepared.backup()
        prepared.close()
        intent = root / STATE / "journal" / EXECUTION / "intent.json"
        intent.write_bytes(damage)

        with pytest.raises(WorkspaceUnwritable, match=r"intent\.json"):
            find_journals(root / STATE)

    def test_a_journal_of_a_newer_executor_is_not_guessed_at(self, root: Path, tree: WorkspaceTree) -> None:
        prepared = prepare(tree, REPRESENTATIVE.changeset)
        prepared.backup()
        prepared.close()
        intent = root / STATE / "journal" / EXECUTION / "intent.json"
        intent.write_text(json.dumps({**json.loads(intent.read_text()), "format": 2}))

        with pytest.raises(WorkspaceUnwritable, match="newer executor"):
            find_journals(root / STATE)

    def test_a_sweep_never_takes_a_journal_that_is_being_begun(self, root: Path) -> None:
        """Linked worktrees share a state directory: one sweeps while the other begins."""
        over = threading.Event()

        def sweep() -> None:
            while not over.is_set():
                sweep_journals(root / STATE)

        sweeper = threading.Thread(target=sweep)
        sweeper.start()
        try:
            for number in range(200):
                journal = Journal.create(root / STATE, f"exec_{number}")
                journal.append_before([b"old bytes"])
                assert journal.holds("before.bin")
                journal.close()
        finally:
            over.set()
            sweeper.join()

    def test_a_mark_that_was_taken_back_is_gone(self, root: Path) -> None:
        journal = Journal.create(root / STATE, EXECUTION)
        journal.mark(Outcome(side=Side.AFTER))
        journal.unmark()
        journal.unmark()

        assert journal.outcome() is None
        journal.discard()

    def test_an_empty_change_goes_all_the_way(self, root: Path, tree: WorkspaceTree) -> None:
        with prepare(tree, changeset_between({}, {})) as transaction:
            transaction.backup()
            transaction.apply()
            assert [] == transaction.edits()
            transaction.commit()

        with prepare(tree, changeset_between({}, {"z": File(b"")})) as transaction:
            transaction.backup()
            assert transaction.rollback().complete
