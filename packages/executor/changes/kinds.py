"""What kind of file a path names, as far as its name tells."""

from pathlib import PurePosixPath
from typing import Final

PROSE_SUFFIXES: Final = frozenset({".md", ".rst", ".txt", ".adoc", ".org"})

# Names that tools act on, some of them in spite of a suffix of prose.
DEPENDENCY_FILES: Final = frozenset(
    {
        "cargo.lock",
        "cargo.toml",
        "constraints.txt",
        "gemfile",
        "gemfile.lock",
        "go.mod",
        "go.sum",
        "package-lock.json",
        "package.json",
        "pnpm-lock.yaml",
        "poetry.lock",
        "pyproject.toml",
        "requirements.txt",
        "setup.cfg",
        "setup.py",
        "uv.lock",
        "yarn.lock",
    }
)
_ACTED_ON: Final = frozenset({"cmakelists.txt", "robots.txt", "agents.md", "claude.md"})
_TEST_FOLDERS: Final = frozenset({"test", "tests", "testing", "spec", "specs", "__tests__"})


def is_dependency_file(path: str) -> bool:
    pure = PurePosixPath(path.lower())
    return pure.name in DEPENDENCY_FILES or (pure.suffix == ".txt" and pure.name.startswith("requirements"))


def is_prose(path: str) -> bool:
    """Whether only people read the file."""
    pure = PurePosixPath(path.lower())
    return pure.suffix in PROSE_SUFFIXES and not is_dependency_file(path) and pure.name not in _ACTED_ON


def is_test(path: str) -> bool:
    pure = PurePosixPath(path.lower())
    return (
        any(part in _TEST_FOLDERS for part in pure.parts[:-1])
        or pure.name.startswith("test_")
        or pure.stem.endswith(("_test", ".test", ".spec"))
    )
