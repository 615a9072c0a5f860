"""Finds the checks that verify what a change touches. Pure: facts about the workspace in, checks out.

A check is proposed only where a project says that there is one (its configuration, its tests) and the
program that runs it is there. What no project covers is named, so that a person decides about it.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import PurePosixPath
from typing import Any, Final

from executor.changes.kinds import is_prose
from executor.models.change import Changeset, Operation

# What tells how a project is tested; of these files the planner wants to know what they say.
CONFIGURATIONS: Final = frozenset(
    {
        "pyproject.toml", "pytest.ini", ".pytest.ini", "setup.cfg", "tox.ini", "package.json", "Cargo.toml",
        "Makefile", "makefile", "GNUmakefile",
    }
)  # fmt: skip
PROGRAMS: Final = ("pytest", "nox", "tox", "npm", "pnpm", "yarn", "cargo", "go", "make")
# A project's own environment is better than whatever is on the path.
_OWN_PYTEST: Final = (".venv/bin/pytest", "venv/bin/pytest")

_PYTHON_MARKS: Final = (
    "pyproject.toml",
    "setup.cfg",
    "setup.py",
    "pytest.ini",
    ".pytest.ini",
    "tox.ini",
    "noxfile.py",
)
_MAKEFILES: Final = ("GNUmakefile", "makefile", "Makefile")
_LANGUAGES: Final[Mapping[str, str]] = {
    **dict.fromkeys((".py", ".pyi", ".pyx"), "python"),
    **dict.fromkeys((".js", ".jsx", ".ts", ".tsx", ".mjs", ".cjs", ".mts", ".cts", ".vue", ".svelte"), "node"),
    ".rs": "rust",
    ".go": "go",
    # Compiled or run by something the projects above do not look after.
    **dict.fromkeys(
        (
            ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp", ".hh", ".m", ".mm", ".java", ".kt", ".kts", ".scala", ".groovy",
            ".rb", ".php", ".cs", ".fs", ".vb", ".swift", ".zig", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".lua",
            ".pl", ".pm", ".r", ".jl", ".dart", ".sh", ".bash", ".zsh", ".fish", ".ps1", ".bat",
        ),
        "other",
    ),
}  # fmt: skip
_NAMES: Final[Mapping[str, str]] = {
    **dict.fromkeys((*_PYTHON_MARKS, "conftest.py"), "python"),
    **dict.fromkeys(("package.json", "package-lock.json", "pnpm-lock.yaml", "yarn.lock"), "node"),
    **dict.fromkeys(("Cargo.toml", "Cargo.lock"), "rust"),
    **dict.fromkeys(("go.mod", "go.sum"), "go"),
}
_PYTEST_SECTIONS: Final[Mapping[str, re.Pattern[str]]] = {
    "pyproject.toml": re.compile(r"^\s*\[\s*tool\s*\.\s*pytest\b", re.MULTILINE),
    "setup.cfg": re.compile(r"^\[tool:pytest\]", re.MULTILINE),
    "tox.ini": re.compile(r"^\[pytest\]", re.MULTILINE),
    "pytest.ini": re.compile(""),
    ".pytest.ini": re.compile(""),
}
_TOX: Final = re.compile(r"^\[(?:tox|testenv)\b", re.MULTILINE)
_TOX_IN_PYPROJECT: Final = re.compile(r"^\s*\[\s*tool\s*\.\s*tox\b", re.MULTILINE)
_OWN_TEST_NAMES: Final = re.compile(r"^\s*python_files\s*=", re.MULTILINE)
_MAKE_TARGET: Final = re.compile(r"^(test|check)[ \t]*:(?!=)", re.MULTILINE)
_CARGO_WORKSPACE: Final = re.compile(r"^\s*\[\s*workspace\b", re.MULTILINE)
_NPM_PLACEHOLDER: Final = "no test specified"
_NODE_SCRIPTS: Final = ("test", "check", "typecheck")
_NODE_LOCKS: Final[Mapping[str, str]] = {
    "pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "package-lock.json": "npm", "npm-shrinkwrap.json": "npm"
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class WorkspaceFacts:
    """What the planner knows of a workspace, as it is before the change.

    `files` are the names of all files that count; `texts` what the configurations among them say (those of
    `configurations_of`); `programs` which of PROGRAMS there are, and of `programs_of`, by their paths.
    `named_elsewhere` holds those touched test modules that another Python file names, None when nobody
    looked.
    """

    files: Collection[str] = frozenset()
    texts: Mapping[str, str] = field(default_factory=dict)
    programs: Collection[str] = frozenset()
    named_elsewhere: Collection[str] | None = None


@dataclass(frozen=True, slots=True)
class FoundCheck:
    """A command line and why it was chosen."""

    command: str
    reason: str


@dataclass(frozen=True, slots=True)
class FoundVerification:
    """The checks that cover a change, and the code that none of them covers.

    `absent` would cover some of that code, if the programs that run them were there.
    """

    checks: tuple[FoundCheck, ...]
    unverified: tuple[str, ...]
    absent: tuple[FoundCheck, ...] = ()


def configurations_of(paths: Iterable[str]) -> set[str]:
    """Where configuration that counts for these paths could stand."""
    return {_join(folder, name) for folder in _folders(paths) for name in CONFIGURATIONS}


def programs_of(paths: Iterable[str]) -> set[str]:
    """Programs inside the workspace that would be preferred to those of PROGRAMS."""
    return {_join(folder, name) for folder in _folders(paths) for name in _OWN_PYTEST}


def test_modules(changeset: Changeset) -> list[str]:
    """The touched Python test modules, when the change touches no other code of Python; else none."""
    touched = [path for path in changeset.paths if _language(path) == "python"]
    return touched if touched and all(map(_is_test_module, touched)) else []


def find_verification(changeset: Changeset, facts: WorkspaceFacts) -> FoundVerification:
    """Checks for everything that is not prose, narrowed to affected tests where these are known for sure.

    Facts and change together give the workspace after the change, which is what checks will see.
    """
    found = _Search(changeset, facts).run()
    if not found.unverified:
        return found
    wished = _Search(changeset, replace(facts, programs={*facts.programs, *PROGRAMS})).run()
    return replace(found, absent=tuple(check for check in wished.checks if check not in found.checks))


class _Search:
    def __init__(self, changeset: Changeset, facts: WorkspaceFacts) -> None:
        self._facts = facts
        gone = {c.path for c in changeset.changes if c.operation is Operation.DELETE}
        written = {c.path: c.content or b"" for c in changeset.changes if c.operation is not Operation.DELETE}
        self._files = (set(facts.files) - gone) | set(written)
        self._texts = {path: text for path, text in facts.texts.items() if path not in gone}
        for path, content in written.items():
            if PurePosixPath(path).name in CONFIGURATIONS:
                self._texts[path] = content.decode("utf-8", "replace")
        self._code = [path for path in changeset.paths if not is_prose(path)]

    def run(self) -> FoundVerification:
        by_project: dict[tuple[str, str], list[str]] = {}
        undecided: list[str] = []
        uncovered: list[str] = []
        for path in self._code:
            language = _language(path)
            if language is None:
                undecided.append(path)
                continue
            folder = self._project(language, path)
            if folder is None or not any(self._runners(language, folder, [path])):
                uncovered.append(path)
            else:
                by_project.setdefault((language, folder), []).append(path)
        whole: set[tuple[str, str]] = set()
        for path in undecided:
            # Data, templates, configuration: whoever's tests could read it.
            around = [
                (language, folder)
                for language in ("python", "node", "rust", "go")
                if (folder := self._project(language, path)) is not None
                and any(self._runners(language, folder, [path]))
            ]
            if not around:
                uncovered.append(path)
            for project in around:
                whole.add(project)
                by_project.setdefault(project, []).append(path)
        checks = [
            next(self._runners(language, folder, [] if (language, folder) in whole else paths))
            for (language, folder), paths in by_project.items()
        ]
        unverified = []
        for path in uncovered:
            check = self._make(path)
            if check is None:
                unverified.append(path)
            else:
                checks.append(check)
        return FoundVerification(tuple(dict.fromkeys(checks)), tuple(sorted(unverified)))

    # Projects: the nearest folder upward that looks after a language; all of them, where it says so.

    def _project(self, language: str, path: str) -> str | None:
        folders = list(_above(path))
        match language:
            case "python":
                marked = [f for f in folders if any(_join(f, mark) in self._files for mark in _PYTHON_MARKS)]
                return next((f for f in (*marked, "") if any(self._python(f, [path]))), None)
            case "node":
                scripted = [f for f in folders if self._script(f) is not None]
                spaces = [f for f in scripted if self._is_node_workspace(f)]
                return spaces[-1] if spaces else scripted[0] if scripted else None
            case "rust":
                found = [f for f in folders if _join(f, "Cargo.toml") in self._files]
                spaces = [f for f in found if _CARGO_WORKSPACE.search(self._text(_join(f, "Cargo.toml")))]
                return spaces[-1] if spaces else found[0] if found else None
            case "go":
                return next((f for f in folders if _join(f, "go.mod") in self._files), None)
        return None

    # Runners: ways to run the tests of a project that are there, best first. `paths` are the only ones that
    # were touched; none means that anything may be affected.

    def _runners(self, language: str, folder: str, paths: Sequence[str]) -> Iterator[FoundCheck]:
        match language:
            case "python":
                yield from self._python(folder, paths)
            case "node":
                yield from self._node(folder)
            case "rust":
                yield from self._rust(folder)
            case "go":
                yield from self._go(folder, paths)

    def _python(self, folder: str, paths: Sequence[str]) -> Iterator[FoundCheck]:
        why = self._pytest_reason(folder)
        pytest = self._pytest_program(folder)
        if why is not None and pytest is not None:
            tests = self._affected_tests(folder, paths)
            if tests:
                yield FoundCheck(_words(pytest, "-q", *tests), f"{why}; only these tests are affected")
            else:
                yield FoundCheck(_words(pytest, "-q", *([folder] if folder else [])), why)
        noxfile = _join(folder, "noxfile.py")
        if noxfile in self._files and self._has("nox"):
            yield FoundCheck(_words("nox", *(["-f", noxfile] if folder else [])), f"there is {noxfile}")
        for name, pattern in (("tox.ini", _TOX), ("pyproject.toml", _TOX_IN_PYPROJECT)):
            file = _join(folder, name)
            if pattern.search(self._text(file)) and self._has("tox"):
                yield FoundCheck(_words("tox", "-q", *(["-c", file] if folder else [])), f"{file} has tox")

    def _pytest_reason(self, folder: str) -> str | None:
        for name, pattern in _PYTEST_SECTIONS.items():
            file = _join(folder, name)
            if file in self._files and pattern.search(self._text(file)):
                return f"{file} configures pytest"
        inside = f"{folder}/" if folder else ""
        tests = [path for path in self._files if path.startswith(inside) and _is_test_module(path)]
        return f"there are tests such as {min(tests)}" if tests else None

    def _pytest_program(self, folder: str) -> str | None:
        own = [_join(f, name) for f in dict.fromkeys((folder, "")) for name in _OWN_PYTEST]
        return next((program for program in (*own, "pytest") if self._has(program)), None)

    def _affected_tests(self, folder: str, paths: Sequence[str]) -> list[str]:
        """The touched test modules, when nothing else is touched and nothing else can use them."""
        named = self._facts.named_elsewhere
        if not paths or named is None or not all(map(_is_test_module, paths)):
            return []
        if any(_OWN_TEST_NAMES.search(self._text(_join(folder, name))) for name in _PYTEST_SECTIONS):
            return []
        if any(path in named or path not in self._files or path.startswith("-") for path in paths):
            return []
        return sorted(paths)

    def _node(self, folder: str) -> Iterator[FoundCheck]:
        script = self._script(folder)
        manager = self._node_manager(folder)
        if script is None or not self._has(manager):
            return
        place = {"npm": "--prefix", "pnpm": "--dir", "yarn": "--cwd"}[manager]
        run = ["test"] if script == "test" else ["run", script]
        file = _join(folder, "package.json")
        yield FoundCheck(
            _words(manager, *([place, folder] if folder else []), *run), f"{file} has the script {script}"
        )

    def _script(self, folder: str) -> str | None:
        scripts = _object(self._package(folder).get("scripts"))
        for name in _NODE_SCRIPTS:
            text = scripts.get(name)
            if isinstance(text, str) and text.strip() and _NPM_PLACEHOLDER not in text:
                return name
        return None

    def _is_node_workspace(self, folder: str) -> bool:
        return "workspaces" in self._package(folder) or _join(folder, "pnpm-workspace.yaml") in self._files

    def _node_manager(self, folder: str) -> str:
        for above in (folder, *_above(folder)) if folder else ("",):
            named = self._package(above).get("packageManager")
            manager = named.partition("@")[0] if isinstance(named, str) else None
            if manager in ("npm", "pnpm", "yarn"):
                return manager
            for lock, manager in _NODE_LOCKS.items():
                if _join(above, lock) in self._files:
                    return manager
        return "npm"

    def _package(self, folder: str) -> dict[str, Any]:
        try:
            return _object(json.loads(self._text(_join(folder, "package.json")) or "{}"))
        except (ValueError, RecursionError):
            return {}

    def _rust(self, folder: str) -> Iterator[FoundCheck]:
        file = _join(folder, "Cargo.toml")
        if not self._has("cargo"):
            return
        members = ["--workspace"] if _CARGO_WORKSPACE.search(self._text(file)) else []
        place = ["--manifest-path", file] if folder else []
        yield FoundCheck(_words("cargo", "test", "--quiet", *members, *place), f"there is {file}")

    def _go(self, folder: str, paths: Sequence[str]) -> Iterator[FoundCheck]:
        if not self._has("go"):
            return
        packages, why = ["./..."], f"there is {_join(folder, 'go.mod')}"
        # Nothing outside a package can use its _test.go files.
        if paths and all(path.endswith("_test.go") and path in self._files for path in paths):
            packages = sorted({f"./{_relative(str(PurePosixPath(path).parent), folder)}" for path in paths})
            why += "; only the tests of these packages are affected"
        yield FoundCheck(_words("go", *(["-C", folder] if folder else []), "test", *packages), why)

    def _make(self, path: str) -> FoundCheck | None:
        if not self._has("make"):
            return None
        for folder in _above(path):
            for name in _MAKEFILES:
                file = _join(folder, name)
                target = _MAKE_TARGET.search(self._text(file)) if file in self._files else None
                if target is not None:
                    place = ["-C", folder] if folder else []
                    return FoundCheck(_words("make", *place, target[1]), f"{file} has the target {target[1]}")
        return None

    def _has(self, program: str) -> bool:
        return program in self._facts.programs

    def _text(self, path: str) -> str:
        return self._texts.get(path, "")


def _language(path: str) -> str | None:
    """Which project looks after the file; None for what any of them could use."""
    pure = PurePosixPath(path)
    return _NAMES.get(pure.name) or _LANGUAGES.get(pure.suffix.lower())


def _is_test_module(path: str) -> bool:
    """As pytest finds them."""
    name = PurePosixPath(path).name
    return name.endswith("_test.py") or (name.startswith("test_") and name.endswith(".py"))


def _folders(paths: Iterable[str]) -> set[str]:
    return {folder for path in paths for folder in _above(path)} | {""}


def _above(path: str) -> Iterator[str]:
    """The folders `path` lies in, nearest first; the workspace itself is `""`."""
    while path:
        path = path.rpartition("/")[0]
        yield path


def _join(folder: str, name: str) -> str:
    return f"{folder}/{name}" if folder else name


def _relative(path: str, folder: str) -> str:
    if path in (".", folder):
        return ""
    return path.removeprefix(f"{folder}/") if folder else path


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _words(*words: str) -> str:
    return shlex.join(words)
