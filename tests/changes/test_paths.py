"""Which paths are canonical, protected, or in each other's way. The hostile corpus has the refusals."""

import pytest

from executor.changes.paths import canonical_path, check_collisions, is_protected
from executor.changes.quoting import quote, unquote
from executor.errors import InvalidChange, UnsafePath


@pytest.mark.parametrize(
    "path",
    [
        "a",
        "src/a b.py",
        ".github/workflows/ci.yml",
        ".gitignore",
        ".gitattributes",
        ".gitmodules",
        "..a",
        "a..b/c",
        "~/x",
        "-rf",
        " leading",
        "größe/日本語/😀",
        "ab:c",
        "console/nullable.c",
        "com10",
        "x" * 255,
        "x/" * 2047 + "x",
        "git~x",
        "*?<>|",
    ],
)
def test_ordinary_names_are_canonical_and_not_protected(path: str) -> None:
    assert path == canonical_path(path) == canonical_path(path.encode())
    assert is_protected(path) is None


@pytest.mark.parametrize(
    "path",
    [
        ".git",
        ".git/config",
        "a/.GIT/x",
        ".git /x",
        ".git./x",
        ".git...",
        ".git::$INDEX_ALLOCATION/x",
        ".g\u200cit/x",
        "\ufeff.git/x",
        ".\u202egit",
        "GIT~1",
        "git~12/x",
        "a\\.git\\x",
        ".\uff47\uff49\uff54/x",
        ".executor/executor.db",
        "sub/.EXECUTOR/x",
        "EXECUT~1",
    ],
)
def test_git_and_state_directories_are_protected_in_every_spelling(path: str) -> None:
    assert is_protected(path) is not None


def test_a_lone_surrogate_is_refused() -> None:
    with pytest.raises(UnsafePath, match="U\\+D800"):
        canonical_path("\ud800")


def test_errors_carry_the_path_the_reason_and_the_line() -> None:
    with pytest.raises(UnsafePath) as refused:
        canonical_path("a/../b", line=7)

    assert ("a/../b", "it climbs with '..'", 7) == (
        refused.value.path,
        refused.value.reason,
        refused.value.line,
    )


def test_paths_that_do_not_meet_are_no_collision() -> None:
    check_collisions(["a", "b/c", "b/d", "bb"], removed=["c"], existing=["c", "b/e", "d"])


def test_what_is_removed_is_not_in_the_way() -> None:
    check_collisions(["a/b", "readme"], removed=["a", "README"], existing=["a", "README"])


@pytest.mark.parametrize(
    ("written", "existing", "says"),
    [
        (["README", "readme"], [], "only in case"),
        (["readme"], ["README"], "only in case"),
        (["é"], ["e\u0301"], "only in case or normalisation"),
        (["a", "a/b"], [], "both a file and a directory"),
        (["A", "a/b"], [], "both a file and a directory"),
        (["a/b/c"], ["a"], "both a file and a directory"),
        (["a"], ["a/b/c"], "both a file and a directory"),
    ],
)
def test_collisions_are_refused(written: list[str], existing: list[str], says: str) -> None:
    with pytest.raises(UnsafePath, match=says):
        check_collisions(written, existing=existing)


def test_a_path_written_twice_is_a_mistake_of_the_input() -> None:
    with pytest.raises(InvalidChange, match="changed twice"):
        check_collisions(["a", "a"])


def test_files_that_exist_side_by_side_are_left_alone() -> None:
    """The workspace may already hold what could not be created."""
    check_collisions(["c"], existing=["a", "a/b"])


@pytest.mark.parametrize(
    "name", [b"a", b"a b", b'q"', b"\\", b"\t\n\r\a\b\v\f", b"\x01\x7f\x80\xff", "é".encode()]
)
def test_a_quoted_name_is_read_back(name: bytes) -> None:
    quoted = quote(name)

    assert quoted == name or (name, len(quoted)) == unquote(quoted, 0)
