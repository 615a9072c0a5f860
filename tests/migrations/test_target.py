"""Which database a path or URL means."""

from pathlib import Path

import pytest

from executor.errors import InvalidSettings
from executor.migrations import DatabaseTarget


@pytest.mark.parametrize(
    ("given", "path"),
    [
        ("executor.db", "{cwd}/executor.db"),
        (Path("a b/ü?#.db"), "{cwd}/a b/ü?#.db"),
        ("/srv/x.db", "/srv/x.db"),
        ("sqlite:///rel/x.db", "{cwd}/rel/x.db"),
        ("sqlite:////srv/x.db", "/srv/x.db"),
        ("SQLite:////srv/a%20b%3F.db", "/srv/a b?.db"),
        ("C:like/x.db", "{cwd}/C:like/x.db"),
    ],
)
def test_a_path_or_url_names_one_absolute_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str | Path, path: str
) -> None:
    """The file is fixed when the name is read: a later change of directory does not matter."""
    monkeypatch.chdir(tmp_path)

    assert Path(path.format(cwd=tmp_path)) == DatabaseTarget.parse(given).path


@pytest.mark.parametrize("given", [":memory:", "sqlite://", "sqlite:///:memory:"])
def test_a_database_in_memory_has_no_file(given: str) -> None:
    """In memory, in SQLAlchemy's spellings too."""
    assert DatabaseTarget.parse(given).path is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("postgresql://ann:hunter2@host/db", "postgresql://"),
        ("mysql+pymysql://ann:hunter2@host/db", r"mysql\+pymysql://"),
        ("sqlite://host/x.db", "three|///"),
        ("sqlite:///x.db?mode=ro", "%3F"),
        ("", "path"),
        ("a\0b", "path"),
    ],
)
def test_other_names_are_refused_with_what_is_supported(given: str, said: str) -> None:
    """The message tells what would do, and never a password."""
    with pytest.raises(InvalidSettings, match=said) as refusal:
        DatabaseTarget.parse(given)

    assert "sqlite:///" in str(refusal.value) or "%3F" in str(refusal.value)
    assert "hunter2" not in str(refusal.value)
