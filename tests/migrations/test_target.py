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
        ("postgresql+psycopg://ann:hunter2@host/db", r"postgresql\+psycopg:// names a driver"),
        ("sqlite+pysqlite:///x.db", r"sqlite\+pysqlite:// names a driver"),
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


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("postgresql://ann:hunter2@db.example:5433/work", "postgresql://ann@db.example:5433/work"),
        ("postgres://ann:hunter2@db.example/work?sslmode=require", "postgresql://ann@db.example/work"),
        ("PostgreSQL:///work?host=/run/pg&password=hunter2", "postgresql:///work"),
        ("postgresql://", "postgresql://"),
        ("postgresql://?password=hunter2&service=team&sslmode=require", "postgresql://?service=team"),
        ("postgresql://ann@[::1]:5432,second:5433/work", "postgresql://ann@[::1]:5432,second:5433/work"),
        ("postgresql://a%40b:hunter%2F2@%2Frun%2Fpg/w%20k", "postgresql://a%40b@%2Frun%2Fpg/w%20k"),
    ],
)
def test_a_server_is_shown_without_password_and_options(given: str, shown: str) -> None:
    """Neither text nor repr of a target holds what may be secret; the driver still gets everything."""
    target = DatabaseTarget.parse(given)

    assert shown == str(target)
    assert "hunter" not in repr(target)
    assert (True, None) == (target.is_server, target.path)
    # libpq knows its scheme in lower case only.
    assert given.replace("PostgreSQL://", "postgresql://") == target.url


@pytest.mark.parametrize(
    "given",
    [
        "postgresql://ann:hunter2@more@host/db",
        "postgresql://ann:hunter2/x@host/db",
        "postgresql://ann:hunter2?x@host/db",
        "postgresql://ann:hunter2#x@host/db",
        "postgresql://ann:hun ter2@host/db",
        "postgresql://ann:hunter2",
    ],
)
def test_a_password_that_is_not_encoded_is_refused_and_not_shown(given: str) -> None:
    """A character that cuts the password in two would put half of it into host or database, and into messages."""
    with pytest.raises(InvalidSettings, match="%40") as refusal:
        DatabaseTarget.parse(given)

    assert "hun" not in str(refusal.value)


def test_a_direct_url_counts_for_the_database_of_the_environment_only() -> None:
    """Another database, named by its own URL, is not reached through the direct URL of the first."""
    environ = {
        "EXECUTOR_DATABASE_URL": "postgresql://ann@pooler/work",
        "EXECUTOR_DATABASE_DIRECT_URL": "postgresql://ann:hunter2@server/work",
    }

    named = DatabaseTarget.parse("postgresql://ann@pooler/work", environ)
    other = DatabaseTarget.parse("postgresql://ann@pooler/play", environ)

    assert (environ["EXECUTOR_DATABASE_DIRECT_URL"], None) == (named.direct_url, other.direct_url)
    assert "hunter2" not in f"{named} {named!r}"


@pytest.mark.parametrize("direct", ["postgresql://ann:hunter2@a@server/work", "sqlite:///x.db", "server"])
def test_a_direct_url_that_cannot_be_read_is_refused_by_name(direct: str) -> None:
    """The message names the variable, and not what is in it."""
    url = "postgresql://ann@pooler/work"

    with pytest.raises(InvalidSettings, match="EXECUTOR_DATABASE_DIRECT_URL") as refusal:
        DatabaseTarget.parse(url, {"EXECUTOR_DATABASE_URL": url, "EXECUTOR_DATABASE_DIRECT_URL": direct})

    assert "hunter2" not in str(refusal.value)
