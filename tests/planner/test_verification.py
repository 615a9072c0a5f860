"""Which checks the planner finds for what is touched, and what it says nothing verifies."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.changes.kinds import is_prose
from executor.host.facts import gather_facts
from executor.host.tree import WorkspaceTree
from executor.models.change import Changeset, FileChange, Operation, sha256
from executor.models.command_line import split_command
from executor.planner.verification import (
    PROGRAMS,
    FoundVerification,
    WorkspaceFacts,
    find_verification,
)
from support.repositories import make_repository

PYTHON = {
    "pyproject.toml": "[tool.pytest.ini_options]\n",
    "src/a.py": "",
    "tests/test_a.py": "",
    "tests/test_b.py": "",
}
PACKAGE = '{"scripts": {"test": "vitest"}}'
ALL = frozenset(PROGRAMS)


def update(path: str, content: bytes = b"x\n") -> FileChange:
    return FileChange(
        operation=Operation.UPDATE,
        path=path,
        old_sha256=sha256(b"old"),
        old_mode=0o644,
        new_sha256=sha256(content),
        new_mode=0o644,
        content=content,
    )


def delete(path: str) -> FileChange:
    return FileChange(operation=Operation.DELETE, path=path, old_sha256=sha256(b"old"), old_mode=0o644)


def find(
    files: Mapping[str, str],
    *changes: FileChange | str,
    programs: frozenset[str] = ALL,
    named_elsewhere: frozenset[str] | None = frozenset(),
) -> FoundVerification:
    changeset = Changeset.of([update(c) if isinstance(c, str) else c for c in changes])
    facts = WorkspaceFacts(
        files=frozenset(files), texts=files, programs=programs, named_elsewhere=named_elsewhere
    )
    return find_verification(changeset, facts)


def commands(
    files: Mapping[str, str], *changes: FileChange | str, **facts: frozenset[str] | None
) -> list[str]:
    return [check.command for check in find(files, *changes, **facts).checks]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "touched", "command"),
    [
        (PYTHON, "src/a.py", "pytest -q"),
        ({"pytest.ini": "", "a.py": ""}, "a.py", "pytest -q"),
        ({"setup.cfg": "[tool:pytest]\n"}, "a.py", "pytest -q"),
        ({"tox.ini": "[pytest]\n[testenv]\n"}, "a.py", "pytest -q"),
        ({"sub/test_a.py": "", "sub/a.py": ""}, "sub/a.py", "pytest -q"),
        ({"lib/pyproject.toml": "", "lib/test_a.py": ""}, "lib/a.py", "pytest -q lib"),
        ({"noxfile.py": ""}, "a.py", "nox"),
        ({"tox.ini": "[tox]\n"}, "a.py", "tox -q"),
        ({"pyproject.toml": "[tool.tox]\n"}, "a.py", "tox -q"),
        ({"lib/tox.ini": "[testenv]\n"}, "lib/a.py", "tox -q -c lib/tox.ini"),
        ({"package.json": PACKAGE}, "src/a.ts", "npm test"),
        ({"package.json": PACKAGE, "pnpm-lock.yaml": ""}, "src/a.tsx", "pnpm test"),
        ({"package.json": '{"packageManager": "yarn@4", "scripts": {"test": "x"}}'}, "a.js", "yarn test"),
        ({"package.json": '{"scripts": {"typecheck": "tsc"}}'}, "a.ts", "npm run typecheck"),
        ({"web/package.json": PACKAGE, "package-lock.json": ""}, "web/a.js", "npm --prefix web test"),
        ({"web/package.json": PACKAGE, "web/pnpm-lock.yaml": ""}, "web/a.js", "pnpm --dir web test"),
        (
            {"package.json": '{"workspaces": ["*"], "scripts": {"test": "x"}}', "web/package.json": PACKAGE},
            "web/a.js",
            "npm test",
        ),
        ({"Cargo.toml": "[package]\n"}, "src/lib.rs", "cargo test --quiet"),
        ({"Cargo.toml": "[workspace]\n", "a/Cargo.toml": "[package]"}, "a/src/x.rs", "cargo test --quiet --workspace"),
        ({"a/Cargo.toml": "[package]"}, "a/src/x.rs", "cargo test --quiet --manifest-path a/Cargo.toml"),
        ({"go.mod": ""}, "pkg/a.go", "go test ./..."),
        ({"tools/go.mod": ""}, "tools/pkg/a.go", "go -C tools test ./..."),
        ({"Makefile": "all:\n\ntest: all\n"}, "src/a.c", "make test"),
        ({"Makefile": "check:\n"}, "src/a.c", "make check"),
        ({"native/Makefile": "test:\n"}, "native/a.c", "make -C native test"),
        ({"Makefile": "test:\n"}, "a.py", "make test"),
        ({"pytest.ini": ""}, "templates/page.html", "pytest -q"),
    ],
)  # fmt: skip
def test_each_kind_of_project_is_recognised_by_its_files(
    files: dict[str, str], touched: str, command: str
) -> None:
    assert [command] == commands(files, touched)
    assert find(files, touched).unverified == ()


@pytest.mark.parametrize(
    ("files", "touched"),
    [
        ({}, "a.py"),
        ({"package.json": '{"scripts": {"test": "echo \\"Error: no test specified\\" && exit 1"}}'}, "a.js"),
        ({"package.json": "not json"}, "a.js"),
        ({"package.json": "[[[["}, "a.js"),
        ({"package.json": '{"scripts": ["test"]}'}, "a.js"),
        ({"Makefile": "test := yes\nbuild:\n"}, "a.c"),
        ({"pytest.ini": "", "test_a.py": ""}, "a.sh"),
        ({"pytest.ini": ""}, "a.java"),
        ({"tox.ini": "[flake8]\n"}, "a.py"),
    ],
)
def test_where_no_project_says_how_it_is_tested_the_code_is_named_as_unverified(
    files: dict[str, str], touched: str
) -> None:
    assert FoundVerification((), (touched,)) == find(files, touched)


def test_a_program_that_is_not_there_is_not_planned() -> None:
    files = {"tox.ini": "[pytest]\n[tox]\n", "Makefile": "test:\n", "test_a.py": ""}

    assert ["tox -q"] == commands(files, "a.py", programs=ALL - {"pytest"})
    assert ["make test"] == commands(files, "a.py", programs=frozenset({"make"}))
    assert [] == commands(files, "a.py", programs=frozenset())
    assert ("a.py",) == find(files, "a.py", programs=frozenset()).unverified


def test_the_environment_of_the_project_is_preferred() -> None:
    assert [".venv/bin/pytest -q"] == commands(PYTHON, "src/a.py", programs=ALL | {".venv/bin/pytest"})


def test_prose_needs_no_check() -> None:
    assert FoundVerification((), ()) == find(PYTHON, "README.md", "docs/a.rst")


def test_each_project_that_is_touched_is_checked_once() -> None:
    files = {**PYTHON, "web/package.json": PACKAGE, "go.mod": ""}

    found = find(files, "src/a.py", "src/b.py", "web/x.ts", "web/y.ts", "cmd/z.go", "notes.md")
    assert {"pytest -q", "npm --prefix web test", "go test ./..."} == {c.command for c in found.checks}
    assert len(found.checks) == 3


def test_what_one_project_covers_says_nothing_about_the_rest() -> None:
    found = find(PYTHON, "src/a.py", "native/x.c")

    assert ["pytest -q"] == [check.command for check in found.checks]
    assert ("native/x.c",) == found.unverified


def test_a_change_of_tests_alone_runs_these_tests() -> None:
    assert ["pytest -q tests/test_a.py"] == commands(PYTHON, "tests/test_a.py")
    assert ["pytest -q tests/test_a.py tests/test_b.py"] == commands(
        PYTHON, "tests/test_b.py", "tests/test_a.py"
    )
    assert ["pytest -q tests/test_a.py"] == commands(PYTHON, "tests/test_a.py", "README.md")


@pytest.mark.parametrize(
    "changes",
    [
        ("tests/test_a.py", "src/a.py"),
        ("tests/test_a.py", "tests/data.json"),
        ("tests/conftest.py",),
        ("tests/test_a.py", delete("tests/test_b.py")),
        (delete("tests/test_a.py"),),
    ],
)
def test_anything_else_runs_all_tests_never_none(changes: tuple[FileChange | str, ...]) -> None:
    assert ["pytest -q"] == commands(PYTHON, *changes)


def test_a_test_module_that_others_may_use_runs_all_tests() -> None:
    assert ["pytest -q"] == commands(
        PYTHON, "tests/test_a.py", named_elsewhere=frozenset({"tests/test_a.py"})
    )
    assert ["pytest -q"] == commands(PYTHON, "tests/test_a.py", named_elsewhere=None)
    own = {**PYTHON, "pyproject.toml": "[tool.pytest.ini_options]\npython_files = 'check_*.py'\n"}
    assert ["pytest -q"] == commands(own, "tests/test_a.py")


def test_tests_of_go_packages_run_alone() -> None:
    files = {"go.mod": "", "a/a_test.go": "", "b/b_test.go": "", "root_test.go": ""}

    assert ["go test ./a ./b"] == commands(files, "a/a_test.go", "b/b_test.go")
    assert ["go test ./"] == commands(files, "root_test.go")
    assert ["go test ./..."] == commands(files, "a/a_test.go", "a/a.go")


def test_the_workspace_is_taken_as_it_will_be() -> None:
    script = b'{"scripts": {"check": "x"}}'

    assert ["npm run check"] == commands({"package.json": PACKAGE}, update("package.json", script), "a.js")
    assert [] == commands({"package.json": PACKAGE}, delete("package.json"), "a.js")
    assert ["pytest -q test_new.py"] == commands({}, "test_new.py")


names = st.sampled_from(
    ["a.py", "b/c.py", "test_x.py", "b/test_y.py", "a.js", "b/a.ts", "x.rs", "x.go", "b/x_test.go", "x.c", "x.json",
     "README.md", "b/Makefile", "package.json", "go.mod", "b/go.mod", "Cargo.toml", "tox.ini", "Makefile", "-x.py",
     "a b.go"]
)  # fmt: skip
texts = st.sampled_from(
    ["", "test:\n", "[tox]\n[pytest]\n", PACKAGE, "[workspace]\n", "{", "[tool.pytest]\n"]
)


@given(
    st.dictionaries(names, texts, max_size=8),
    st.dictionaries(names, st.booleans(), min_size=1, max_size=5),
    st.frozensets(st.sampled_from(PROGRAMS)),
    st.none() | st.frozensets(names),
)
def test_all_code_is_either_covered_or_named_and_every_check_can_be_run(
    files: dict[str, str], touched: dict[str, bool], programs: frozenset[str], named: frozenset[str] | None
) -> None:
    changes = [delete(path) if gone else update(path) for path, gone in touched.items()]

    found = find(files, *changes, programs=programs, named_elsewhere=named)

    code = {path for path in touched if not is_prose(path)}
    assert set(found.unverified) <= code
    assert found.checks or set(found.unverified) == code
    assert all(split_command(check.command)[0] in programs and check.reason for check in found.checks)
    assert len(set(found.checks)) == len(found.checks)


def test_facts_are_looked_up_in_a_real_repository(tmp_path: Path) -> None:
    root = make_repository(
        tmp_path / "r",
        {
            "pyproject.toml": "[tool.pytest.ini_options]\n",
            "tests/test_a.py": "",
            "tests/test_b.py": "from tests.test_c import helper\n",
            "tests/test_c.py": "",
            ".gitignore": ".venv\n",
        },
    )
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/pytest").touch(mode=0o755)

    def found(*paths: str) -> list[str]:
        changeset = Changeset.of([update(path) for path in paths])
        with WorkspaceTree(root) as tree:
            facts = gather_facts(tree, changeset, {"PATH": os.environ["PATH"]})
        return [check.command for check in find_verification(changeset, facts).checks]

    assert [".venv/bin/pytest -q tests/test_a.py"] == found("tests/test_a.py")
    assert [".venv/bin/pytest -q"] == found("tests/test_c.py")
    assert [".venv/bin/pytest -q"] == found("tests/test_a.py", "src.py")


def test_facts_are_looked_up_without_git_too(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/test_a.py").touch()
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules/x.py").touch()
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/pytest").touch(mode=0o755)
    changeset = Changeset.of([update("sub/test_a.py")])

    with WorkspaceTree(tmp_path) as tree:
        facts = gather_facts(tree, changeset, {"PATH": str(tmp_path / "bin")})

    assert facts.files == {"sub/test_a.py", "bin/pytest"}
    assert facts.programs == {"pytest"}
    assert ["pytest -q"] == [check.command for check in find_verification(changeset, facts).checks]
    assert subprocess.run(["git", "-C", tmp_path, "status"], capture_output=True).returncode != 0
