"""A path of a workspace is walked step by step, and only regular files inside are ever met."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from executor.errors import UnsafePath, WorkspaceNotFound, WorkspaceUnwritable
from executor.host.tree import Fingerprint, WorkspaceTree, fold
from executor.models.change import sha256
from support.trees import File, write_tree

FILES = {"a.txt": File(b"a\n"), "folder/b.sh": File(b"b\n", 0o755), "folder/README.md": File(b"r\n")}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tree(tmp_path / "workspace", FILES)


@pytest.fixture
def tree(root: Path) -> Iterator[WorkspaceTree]:
    with WorkspaceTree(root) as opened:
        yield opened


class TestReading:
    def test_a_file_is_its_bytes_and_its_permission_bits(self, root: Path, tree: WorkspaceTree) -> None:
        (root / "folder/b.sh").chmod(0o4755)

        entry = tree.read("folder/b.sh")

        assert entry is not None
        assert (b"b\n", 0o755) == (entry.content, entry.mode)
        assert Fingerprint(sha256(b"b\n"), 0o4755) == tree.fingerprint("folder/b.sh")

    @pytest.mark.parametrize("path", ["missing", "missing/deeper", "a.txt/below", "folder/missing"])
    def test_where_nothing_stands_there_is_nothing(self, tree: WorkspaceTree, path: str) -> None:
        assert tree.read(path) is None
        assert tree.fingerprint(path) is None

    def test_names_are_utf8_whatever_the_locale(self, root: Path) -> None:
        """A locale that reads names as Latin-1 finds the same file."""
        (root / "é.txt").write_bytes(b"accent\n")
        program = (
            "import sys; from pathlib import Path; from executor.host.tree import WorkspaceTree;"
            "tree = WorkspaceTree(Path(sys.argv[1]));"
            "assert tree.read('\\u00e9.txt').content == b'accent\\n';"
            "assert '\\u00e9.txt' in tree.names('')"
        )
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
            "LC_ALL": "C",
            "PYTHONCOERCECLOCALE": "0",
            "PYTHONUTF8": "0",
        }

        subprocess.run([sys.executable, "-c", program, str(root)], check=True, env=environment)

    def test_a_file_too_large_to_hold_is_refused_unread(self, root: Path, tree: WorkspaceTree) -> None:
        with (root / "huge").open("wb") as file:
            file.truncate(1 << 40)

        with pytest.raises(ValueError, match="too many"):
            tree.read("huge")

    def test_a_root_that_is_no_directory_is_refused(self, root: Path) -> None:
        with pytest.raises(WorkspaceNotFound):
            WorkspaceTree(root / "a.txt")
        with pytest.raises(WorkspaceNotFound):
            WorkspaceTree(root / "missing")

    def test_a_root_given_by_a_link_is_the_directory_it_leads_to(self, root: Path, tmp_path: Path) -> None:
        (tmp_path / "link").symlink_to(root)

        with WorkspaceTree(tmp_path / "link") as tree:
            assert root.resolve() == tree.root
            assert tree.in_place


class TestRefusing:
    @pytest.mark.parametrize(
        "path",
        ["..", "../a", "a/..", "folder/../a.txt", "/a.txt", "", ".", "folder//b.sh", "folder/", "a\0"],
    )
    def test_a_path_that_is_not_plain_is_refused(self, tree: WorkspaceTree, path: str) -> None:
        for look in (tree.read, tree.fingerprint, tree.status):
            with pytest.raises(UnsafePath):
                look(path)

    @pytest.mark.parametrize("path", [".git/config", "sub/.Git/x", ".executor/executor.db", "git~1/config"])
    def test_protected_directories_are_refused_in_every_spelling(
        self, tree: WorkspaceTree, path: str
    ) -> None:
        with pytest.raises(UnsafePath):
            tree.read(path)

    @pytest.mark.parametrize("target", ["a.txt", "folder", "/etc/passwd", "nowhere", "link"])
    def test_a_link_is_refused_wherever_it_leads(self, root: Path, tree: WorkspaceTree, target: str) -> None:
        (root / "link").symlink_to(target)

        with pytest.raises(UnsafePath, match="symbolic link"):
            tree.read("link")

    def test_a_link_on_the_way_is_refused_and_named(self, root: Path, tree: WorkspaceTree) -> None:
        (root / "link").symlink_to("folder")

        with pytest.raises(UnsafePath, match="'link' is a symbolic link"):
            tree.read("link/b.sh")
        with pytest.raises(UnsafePath, match="'link' is a symbolic link"):
            tree.refuse_collisions(["link/new.txt"])

    def test_a_directory_and_special_files_are_refused(self, root: Path, tree: WorkspaceTree) -> None:
        """Without opening them: a FIFO would block, a device would act."""
        os.mkfifo(root / "fifo")
        os.mknod(root / "socket", stat.S_IFSOCK | 0o600)
        for path, kind in (("folder", "directory"), ("fifo", "FIFO"), ("socket", "socket")):
            with pytest.raises(UnsafePath, match=kind):
                tree.read(path)

    @pytest.mark.skipif(os.geteuid() != 0, reason="only root can make devices")
    def test_a_device_is_refused(self, root: Path, tree: WorkspaceTree) -> None:
        try:
            os.mknod(root / "device", 0o600 | 0o020000, os.makedev(1, 3))
        except PermissionError:
            pytest.skip("no devices in this container")

        with pytest.raises(UnsafePath, match="character device"):
            tree.read("device")

    def test_the_state_directory_is_refused_under_any_name(self, root: Path) -> None:
        write_tree(root, {"folder/state/executor.db": File(b"")})

        with (
            WorkspaceTree(root, root / "folder/state") as tree,
            pytest.raises(UnsafePath, match="state directory"),
        ):
            tree.read("folder/state/executor.db")

    def test_another_file_system_is_refused(self, tree: WorkspaceTree, root: Path) -> None:
        """As the kernel tells it: a mount made by hand where that is allowed, else the file systems there are."""
        with WorkspaceTree(Path("/")) as whole:
            for path in ("proc/version", "proc"):
                with pytest.raises(UnsafePath, match="file system"):
                    whole.read(path)

    def test_a_directory_exchanged_for_a_link_while_it_is_walked_is_never_followed(
        self, root: Path, tmp_path: Path
    ) -> None:
        """A thousand exchanges while a reader looks: it meets the file, nothing, or a refusal."""
        outside = write_tree(tmp_path / "outside", {"b.sh": File(b"secret\n")})
        swap = (
            "import os, sys\n"
            "for _ in range(3000):\n"
            "    os.rename('folder', 'real'); os.symlink(sys.argv[1], 'folder')\n"
            "    os.unlink('folder'); os.rename('real', 'folder')\n"
        )
        process = subprocess.Popen([sys.executable, "-c", swap, str(outside)], cwd=root)
        seen: set[bytes | None] = set()
        refused = 0

        with WorkspaceTree(root) as tree:
            while process.poll() is None:
                try:
                    entry = tree.read("folder/b.sh")
                except UnsafePath:
                    refused += 1
                else:
                    seen.add(entry.content if entry else None)

        assert 0 == process.returncode
        assert seen <= {b"b\n", None}


class TestCollisions:
    @pytest.mark.parametrize(
        "path",
        ["A.txt", "Folder/new.txt", "folder/readme.md", "folder/B.SH", "FOLDER/b.sh"],
    )
    def test_another_spelling_of_what_is_there_is_refused(self, tree: WorkspaceTree, path: str) -> None:
        with pytest.raises(UnsafePath, match="only by case or normalisation"):
            tree.refuse_collisions([path])

    def test_normalisation_makes_no_second_file(self, root: Path, tree: WorkspaceTree) -> None:
        (root / "cafe\u0301.txt").write_bytes(b"decomposed\n")
        (root / "stra\u00dfe").write_bytes(b"")

        for path in ("caf\u00e9.txt", "STRASSE"):
            with pytest.raises(UnsafePath):
                tree.refuse_collisions([path])

    def test_two_paths_of_one_change_do_not_collide_either(self, tree: WorkspaceTree) -> None:
        with pytest.raises(UnsafePath):
            tree.refuse_collisions(["new/One.txt", "new/one.txt"])
        with pytest.raises(UnsafePath):
            tree.refuse_collisions(["new/one.txt", "New/two.txt"])

    def test_what_stands_in_two_spellings_already_can_be_changed(
        self, root: Path, tree: WorkspaceTree
    ) -> None:
        (root / "A.TXT").write_bytes(b"theirs\n")

        tree.refuse_collisions(["a.txt", "folder/b.sh", "folder/new.txt", "brand/new/file"])

    def test_folding_is_stable(self) -> None:
        for name in ("İstanbul", "ǅ", "ﬀ", "Ω", "\u1fb3", "a\u0345\u0301", os.fsdecode(b"\xff")):
            assert fold(name) == fold(fold(name))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can drop its user id")
def test_what_may_not_be_read_is_named_with_the_reason(root: Path) -> None:
    (root / "a.txt").chmod(0)
    program = (
        "import os, sys; from pathlib import Path; from executor.host.tree import WorkspaceTree\n"
        "from executor.errors import WorkspaceUnwritable\n"
        "tree = WorkspaceTree(Path(sys.argv[1])); os.setgid(65534); os.setuid(65534)\n"
        "try: tree.read('a.txt')\n"
        "except WorkspaceUnwritable as error: sys.exit(error.path != 'a.txt' or error.errno != 13)\n"
        "sys.exit(2)\n"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}

    result = subprocess.run([sys.executable, "-c", program, str(root)], env=environment, check=False)

    assert 0 == result.returncode


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_the_user_may_not_read_is_named_with_the_reason(root: Path, tree: WorkspaceTree) -> None:
    (root / "a.txt").chmod(0)

    with pytest.raises(WorkspaceUnwritable, match=r"a\.txt"):
        tree.read("a.txt")
