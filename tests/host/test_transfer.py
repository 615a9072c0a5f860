"""A correlation as one file: it comes back equal, all of it or nothing, and nothing else comes in."""

from __future__ import annotations

import hashlib
import io
import json
import os
import sqlite3
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from executor.errors import CorrelationNotFound, ImportConflict, InvalidArchive, InvalidSettings
from executor.events.redaction import Redactor
from executor.host import transfer
from executor.host.archive import FORMAT, FORMAT_VERSION
from executor.host.artifacts import ArtifactFolder
from executor.host.transfer import Place, export_correlation, import_archive
from executor.migrations import MIGRATIONS
from executor.models.execution import StepOutput, TestResult
from executor.schema import contents, metadata, tokens
from executor.storage import bulk
from executor.storage.store import ExecutionStore
from executor.storage.transfer import TABLES
from executor.testing.contract.approvals import approval
from executor.testing.contract.documents import CHANGESET, DECISION, IDS, NEW, OLD, PLAN
from executor.testing.factories import finish, row, start
from executor.testing.strategies import rows as any_rows
from support.postgres import PostgresDatabases
from support.stores import query, write_rows

NOW = datetime(2026, 2, 1, tzinfo=UTC)
SECRET = "hunter2hunter2"
LIMITED = settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

Make = Callable[..., Place]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    """Makes an empty place: a workspace with a database of an engine."""
    made: list[tuple[PostgresDatabases, str]] = []
    stores: list[ExecutionStore] = []

    def place(engine: str = "sqlite", environ: dict[str, str] | None = None) -> Place:
        (workspace := tmp_path / f"workspace{len(stores)}").mkdir()
        url = None
        if engine == "postgresql":
            postgres: PostgresDatabases = request.getfixturevalue("postgres")
            url = postgres.empty()
            made.append((postgres, url))
        store = ExecutionStore(workspace, url=url)
        stores.append(store)
        return Place(store.target, workspace / ".executor", store.workspace_id, Redactor(environ or {}))

    yield place
    for store in stores:
        store.close()
    for postgres, url in made:
        postgres.drop(url)


def store_of(place: Place) -> ExecutionStore:
    target = place.database
    return ExecutionStore(place.state.parent, url=target.url or f"sqlite:///{target.path}")


def fill(place: Place, correlation_id: str = "c/1 ä") -> None:
    """A little of everything, and a stranger beside it."""
    with store_of(place) as store:
        store.register_workspace(store.workspace_id, "host", "/there")
        base = {"correlation_id": correlation_id}
        start(
            store,
            "e",
            plan=PLAN,
            changeset=CHANGESET,
            decision=DECISION,
            base_contents={OLD_SHA: OLD},
            title="ä\0🙂",
            why='so "it" is',
            **IDS,
            **base,
        )
        for number in range(3):
            step = store.record_step_start("e", number, "verify", f"steps/{number}.log")
            printed = StepOutput(f"steps/{number}.log", "said ä\0\n".encode() * number)
            store.record_step_end(step, "failed", 0.1 + number / 3, "E", "boom\n", output=printed)
        store.record_test_results(
            [TestResult("e", 1, "t::ä", "failed", 0.25, "ValueError", "no\u2028", "t.py", 3)]
        )
        store.record_execution_end("e", "failed", 2.5, error_step="verify", error_message="x" * 5000)
        start(store, "f", "e", verdict="need_approval")
        store.record_approval(approval("f"))
        assert store.begin_approved("f")
        store.record_execution_end("f", "completed", 1 / 3)
        for number in range(230):
            finish(store, f"n{number}", "f", trigger_kind="child")
        store.add_link("f", "reverts", "e")
        store.dismiss("e", "known")
        finish(store, "stranger", changeset_id=CHANGESET.changeset_id, changeset=CHANGESET)
    for name, data in (
        ("plan.json", b"{}\n"),
        ("changeset.json", b"exact"),
        ("steps/04-verify.log", b"\xff\n"),
    ):
        folder = ArtifactFolder(place.state, "e")
        folder.create()
        folder.write(name, data)
    (folder.rescued() / "a b ü.py").write_bytes(b"\0mine")


OLD_SHA = hashlib.sha256(OLD).hexdigest()
NEW_SHA = hashlib.sha256(NEW).hexdigest()


def exported(place: Place, correlation_id: str = "c/1 ä", *, content: bool = True, name: str = "out") -> Path:
    file = place.state.parent / f"{name}.zip"
    file.unlink(missing_ok=True)
    return export_correlation(place, correlation_id, file, content=content).file


def brought(place: Place, file: Path, **options: Any) -> transfer.Import:
    return import_archive(place, file, now=NOW, **options)


def answers(place: Place) -> dict[str, Any]:
    with store_of(place) as store:
        chain = store.list_executions_by_correlation("c/1 ä", 1000)
        return {
            "chain": chain,
            "lineage": store.get_execution_lineage("e"),
            "events": [
                [(e.seq, e.event, e.timestamp, e.data) for e in store.list_events(r.execution_id)]
                for r in chain
            ],
            "documents": [store.get_plan("e"), store.get_changeset("e"), store.get_decision("e")],
            "contents": [store.get_content("e", digest) for digest in (OLD_SHA, NEW_SHA)],
            "approval": store.get_approval("f"),
            "tests": store.list_test_results("e"),
            "links": store.list_links("e"),
            "steps": [
                (s.step_num, s.status, s.duration_seconds, s.error_message)
                for s in store.get_execution_steps("e")
            ],
            "logs": [(log, store.get_step_log("e", log.name)) for log in store.list_step_logs("e")],
            "unresolved": store.is_unresolved("e"),
        }


@pytest.mark.parametrize(
    ("origin", "goal"),
    [
        ("sqlite", "sqlite"),
        pytest.param("sqlite", "postgresql", marks=pytest.mark.postgres),
        pytest.param("postgresql", "sqlite", marks=pytest.mark.postgres),
        pytest.param("postgresql", "postgresql", marks=pytest.mark.postgres),
    ],
)
def test_it_comes_back_equal(make: Make, origin: str, goal: str) -> None:
    """Into another engine, too, beside what is there; exported again it is the same file."""
    source, target = make(origin), make(goal)
    fill(source)
    with store_of(target) as store:
        finish(store, "here")
        store.record_step_start(start(store, "here-too").execution_id, 1, "apply")
    file = exported(source)
    planned = brought(target, file, dry_run=True)
    assert planned.changed
    with store_of(target) as store:
        assert store.get_execution("e") is None

    done = brought(target, file)

    assert planned == done
    assert (232, 4, 4) == (done.executions, done.artifacts, done.artifacts_written)
    assert done.rows == done.written
    assert answers(source) == answers(target)
    assert file.read_bytes() == exported(target).read_bytes()
    with store_of(target) as store:
        assert store.get_execution("stranger") is None
        positions = [event.position for event in store.read_events_after(0, 10_000)]
        assert sorted(set(positions)) == positions
        assert store.record_step_start("here-too", 2, "verify")
    again = brought(target, file)
    assert not again.changed
    assert done.rows == again.rows
    assert brought(source, file).changed is False


@LIMITED
@given(graph=any_rows(tame=True), text=st.text(max_size=20), number=st.floats(allow_nan=True))
def test_whatever_is_recorded_comes_back_equal(
    tmp_path_factory: pytest.TempPathFactory, graph: list[dict[str, Any]], text: str, number: float
) -> None:
    folder = tmp_path_factory.mktemp("any")
    places = []
    for name in ("a", "b"):
        (workspace := folder / name).mkdir()
        with ExecutionStore(workspace) as store:
            places.append(
                Place(
                    store.target, workspace / ".executor", store.workspace_id, Redactor({"API_KEY": SECRET})
                )
            )
    source, target = places
    graph = [graph_row for graph_row in graph if graph_row["execution_id"]]
    values = {"title": text.encode("utf-8", "surrogatepass").decode("utf-8", "replace").replace("\0", "")}
    with store_of(source) as store:
        store.record_many(
            {
                **graph_row,
                "correlation_id": "c",
                "parent_execution_id": None,
                "trigger_kind": "manual",
                **values,
            }
            for graph_row in graph
        )
    with bulk.opened(source.database) as database:
        database.query(
            "UPDATE executions SET duration_seconds = ?, error_message = ?", (number, text + SECRET)
        )
    if not graph:
        with pytest.raises(CorrelationNotFound):
            exported(source, "c")
        return
    file = exported(source, "c")

    brought(target, file)

    assert file.read_bytes() == exported(target, "c").read_bytes()
    assert SECRET.encode() not in b"".join(member for member in _members(file).values())
    assert not brought(target, file).changed
    assert not brought(source, file).changed


def test_rows_of_before_the_graph_come_as_what_they_mean(make: Make) -> None:
    """Without correlation, parent, workspace: the chain of the own id."""
    source, target = make(), make()
    assert source.database.path is not None
    with closing(sqlite3.connect(source.database.path, isolation_level=None)) as connection:
        write_rows(connection, [row("old", correlation_id=None), row("child", correlation_id="old")])
    file = exported(source, "old")

    brought(target, file)

    with store_of(target) as store:
        assert ["child", "old"] == sorted(r.execution_id for r in store.list_executions_by_correlation("old"))
        record = store.get_execution("old")
        assert record is not None
        assert source.workspace_id == record.workspace_id
    assert file.read_bytes() == exported(target, "old").read_bytes()


def test_without_content_no_bytes_of_files_travel(make: Make) -> None:
    source, target = make(), make()
    fill(source)
    file = exported(source, content=False)

    brought(target, file)

    names = _members(file)
    assert not any("contents/" in name or "changeset.json" in name or "rescued" in name for name in names)
    assert [None, None] == answers(target)["contents"]
    assert file.read_bytes() == exported(target, content=False).read_bytes()
    whole = exported(source, name="whole")
    assert {"contents": 3} == {name: n for name, n in brought(target, whole).written.items() if n}
    assert answers(source) == answers(target)


def test_what_is_a_secret_here_does_not_leave(make: Make) -> None:
    """In records, events, documents and logs; contents are exact."""
    source, target = make(environ={"DB_PASSWORD": SECRET}), make()
    fill(source)
    with store_of(source) as store:
        start(store, "s", "e", title=f"use {SECRET}", why=f'"{SECRET}"')
        step, printed = store.record_step_start("s", 1, "apply"), StepOutput("l", f"a {SECRET}\n".encode())
        store.record_step_end(step, "failed", 1.0, "E", f"no {SECRET}", output=printed)
        store.record_execution_end("s", "failed", error_message=f"{SECRET}!")
    ArtifactFolder(source.state, "e").write("steps/05-health.log", f"got {SECRET}\n".encode())
    (ArtifactFolder(source.state, "e").path / "rescued" / "s.env").write_text(SECRET)
    file = exported(source)

    holding = [name for name, data in _members(file).items() if SECRET.encode() in data]

    assert ["artifacts/e/rescued/s.env"] == holding
    brought(target, file)
    assert file.read_bytes() == exported(target).read_bytes()
    # Where it came from, what was masked is no contradiction.
    assert not brought(source, file).changed


def test_a_contradiction_is_named_and_nothing_comes_in(make: Make) -> None:
    source, target = make(), make()
    fill(source)
    file = exported(source)
    with store_of(target) as store:
        start(store, "n7", title="mine")
    before = _dump(target)

    with pytest.raises(ImportConflict, match="executions n7") as refused:
        brought(target, file)

    assert refused.value.conflicts
    assert before == _dump(target)
    assert not ArtifactFolder(target.state, "e").exists()


def test_later_facts_are_added_to_what_came_before(make: Make) -> None:
    source, target = make(), make()
    fill(source)
    brought(target, exported(source))
    with store_of(source) as store:
        store.undismiss("e", "not known")
        finish(store, "g", "f")

    done = brought(target, exported(source))

    assert {"executions": 1, "execution_events": 3} == {name: n for name, n in done.written.items() if n}
    assert answers(source) == answers(target)
    # An older file says nothing against what is known by now.
    with store_of(target) as store:
        store.dismiss("e", "known after all")
    assert not brought(target, exported(source)).changed


def test_what_gc_dropped_here_stays_dropped(make: Make) -> None:
    source, target = make(), make()
    fill(source)
    file = exported(source)
    brought(target, file)
    with store_of(target) as store:
        store.drop_payloads([("e", {"artifact_count": 1})])
    assert [None, None] == answers(target)["contents"]

    again = brought(target, file)

    assert not any(again.written.values())
    assert [None, None] == answers(target)["contents"]
    assert [] == answers(target)["logs"]


@pytest.mark.parametrize("fails", ["executions", "execution_events", "test_results", "contents"])
def test_an_import_that_fails_leaves_nothing(make: Make, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    source, target = make(), make()
    fill(source)
    file = exported(source)
    before = _dump(target)
    insert = bulk._FileDatabase.insert

    def failing(database: Any, table: Any, rows: Any, columns: Any = ()) -> None:
        insert(database, table, rows, columns)
        if table.name == fails:
            raise KeyboardInterrupt

    monkeypatch.setattr(bulk._FileDatabase, "insert", failing)
    with pytest.raises(KeyboardInterrupt):
        brought(target, file)

    assert before == _dump(target)
    assert not ArtifactFolder(target.state, "e").exists()
    monkeypatch.undo()
    brought(target, file)
    assert answers(source) == answers(target)


def test_no_work_and_no_approval_comes_into_the_workspace_it_is_of(make: Make) -> None:
    """A file cannot make something run, or let it run; what happened elsewhere can be read."""
    source, own, other = make(), make(), make()
    with store_of(source) as store:
        start(store, "waits", correlation_id="c", workspace_id=own.workspace_id, verdict="need_approval")
        start(store, "ran", correlation_id="d", workspace_id=own.workspace_id, verdict="need_approval")
        given_now = approval("ran")
        store.record_approval(given_now)
        store.record_execution_end("ran", "failed")

    for correlation_id, said in (("c", "has not ended"), ("d", "still holds")):
        file = exported(source, correlation_id, name=correlation_id)
        with pytest.raises(InvalidArchive, match=said):
            import_archive(own, file, now=datetime(2026, 1, 1, tzinfo=UTC))
        assert import_archive(other, file, now=datetime(2026, 1, 1, tzinfo=UTC)).changed
    assert import_archive(own, file, now=datetime(2026, 1, 1, tzinfo=UTC) + timedelta(days=2)).changed


def test_an_export_takes_no_name_that_is_taken(make: Make, tmp_path: Path) -> None:
    source = make()
    fill(source)
    (tmp_path / "there").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "nowhere")

    for name in ("there", "link", "missing/out"):
        with pytest.raises(InvalidSettings):
            export_correlation(source, "c/1 ä", tmp_path / name)
    with pytest.raises(CorrelationNotFound):
        export_correlation(source, "unknown", tmp_path / "new")

    assert "mine" == (tmp_path / "there").read_text()
    assert not (tmp_path / "new").exists()
    assert not (tmp_path / "nowhere").exists()
    assert [] == list(tmp_path.glob(".executor-export-*"))


def test_every_table_travels_or_is_known_to_stay() -> None:
    """A new table is exported as soon as it is there: by its execution, unless it says otherwise."""
    assert set(metadata.tables.values()) == {*TABLES, contents, tokens}
    for table in TABLES:
        by_execution = "execution_id" in table.c
        named = table.name in ("execution_links", "plans", "changesets", "decisions", "workspaces")
        assert by_execution != named, table.name


# Hostile archives.


def _members(file: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(file) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def _packed(members: dict[str, bytes], manifest: dict[str, Any]) -> bytes:
    """An archive of these members, with a manifest that lists them as they are unless it says otherwise."""
    listed = [
        {"name": name, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in sorted(members.items())
    ]
    whole = {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "schema_version": MIGRATIONS[-1].version,
        "correlation_id": "c",
        "executions": 1,
        "content": True,
        "members": listed,
        **manifest,
    }
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("manifest.json", json.dumps(whole))
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def _lines(*rows: dict[str, Any]) -> bytes:
    return b"".join(json.dumps(values).encode() + b"\n" for values in rows)


def _execution(**values: Any) -> dict[str, Any]:
    return {**row("e", correlation_id="c", workspace_id="ws"), **values}


def _event(**values: Any) -> dict[str, Any]:
    given = {
        "execution_id": "e",
        "correlation_id": "c",
        "seq": 1,
        "event": "drift",
        "timestamp": "t",
        "data": "{}",
    }
    return given | values


GOOD = {"tables/executions.jsonl": _lines(_execution())}


def _table(name: str, *rows: dict[str, Any]) -> dict[str, bytes]:
    return {**GOOD, f"tables/{name}.jsonl": _lines(*rows)}


BAD_MEMBERS: dict[str, dict[str, bytes]] = {
    "no executions": {},
    "another table": {**GOOD, "tables/tokens.jsonl": b""},
    "contents as a table": {**GOOD, "tables/contents.jsonl": b""},
    "a folder above": {**GOOD, "artifacts/e/../../evil": b"x"},
    "a name from the root": {**GOOD, "/etc/evil": b"x"},
    "a name above, escaped": {**GOOD, "artifacts/e/%2E%2E%2Fevil": b"x"},
    "a name with a slash, escaped": {**GOOD, "artifacts/e/a%2Fb": b"x"},
    "a name that is only dots, escaped": {**GOOD, "artifacts/e/%2E%2E": b"x"},
    "a hidden name": {**GOOD, "artifacts/e/.hidden": b"x"},
    "a folder nobody has": {**GOOD, "artifacts/e/journal/x": b"x"},
    "somebody else's artifact": {**GOOD, "artifacts/f/plan.json": b"x"},
    "an artifact without a name": {**GOOD, "artifacts/e": b"x"},
    "the database": {**GOOD, "executor.db": b"x"},
    "a backslash": {**GOOD, "artifacts/e/a\\b": b"x"},
    "content of another name": {**GOOD, f"contents/{'0' * 64}": b"x"},
    "no json": {"tables/executions.jsonl": b"{\n"},
    "no object": {"tables/executions.jsonl": b"[]\n"},
    "half a line": {"tables/executions.jsonl": GOOD["tables/executions.jsonl"][:-1]},
    "an execution twice": {"tables/executions.jsonl": GOOD["tables/executions.jsonl"] * 2},
    "another correlation": {"tables/executions.jsonl": _lines(_execution(correlation_id="d"))},
    "no correlation": {"tables/executions.jsonl": _lines(_execution(correlation_id=None))},
    "an unknown column": {"tables/executions.jsonl": _lines(_execution(owner="me"))},
    "a missing column": {"tables/executions.jsonl": _lines(_execution(status=None))},
    "a number that is text": {"tables/executions.jsonl": _lines(_execution(files_changed="1"))},
    "a number that is true": {"tables/executions.jsonl": _lines(_execution(files_changed=True))},
    "a number too large": {"tables/executions.jsonl": _lines(_execution(files_changed=2**63))},
    "a text that is a number": {"tables/executions.jsonl": _lines(_execution(title=1))},
    "a text with NUL": {"tables/executions.jsonl": _lines(_execution(title="\0"))},
    "an empty id": {"tables/executions.jsonl": _lines(_execution(execution_id=""))},
    "an event of nobody": _table("execution_events", _event(execution_id="f")),
    "an event of elsewhere": _table("execution_events", _event(correlation_id="d")),
    "events out of order": _table("execution_events", _event(seq=2), _event(seq=1)),
    "an event before the first": _table("execution_events", _event(seq=0)),
    "a position": _table("execution_events", _event(position=9)),
    "a link of nobody": _table(
        "execution_links", {"source_id": "f", "kind": "reverts", "target_id": "e", "correlation_id": "c"}
    ),
}
BAD_MANIFESTS: dict[str, dict[str, Any]] = {
    "another format": {"format": "backup"},
    "a newer format": {"format_version": FORMAT_VERSION + 1},
    "a newer schema": {"schema_version": MIGRATIONS[-1].version + 1},
    "another number of executions": {"executions": 2},
    "a member too many": {"members": []},
    "a member that is missing": {"members": [{"name": "tables/plans.jsonl", "size": 0, "sha256": "0" * 64}]},
    "an unknown field": {"owner": "me"},
    "a correlation that is a number": {"correlation_id": 1},
    "a hash of something else": {
        "members": [{"name": n, "size": len(d), "sha256": "0" * 64} for n, d in GOOD.items()]
    },
    "a size that is not so": {
        "members": [
            {"name": n, "size": len(d) + 1, "sha256": hashlib.sha256(d).hexdigest()} for n, d in GOOD.items()
        ]
    },
}


@pytest.fixture(scope="module")
def victim(tmp_path_factory: pytest.TempPathFactory) -> Place:
    workspace = tmp_path_factory.mktemp("victim")
    with ExecutionStore(workspace) as store:
        finish(store, "mine")
        return Place(store.target, workspace / ".executor", store.workspace_id, Redactor({}))


def refused(victim: Place, data: bytes) -> str:
    """Why; afterwards everything is as before."""
    file = victim.state.parent / "bad.zip"
    file.write_bytes(data)
    before = _dump(victim), sorted(victim.state.parent.parent.rglob("*"))
    with pytest.raises(InvalidArchive) as error:
        brought(victim, file)
    assert before == (_dump(victim), sorted(victim.state.parent.parent.rglob("*")))
    return str(error.value)


def _dump(place: Place) -> dict[str, list[Any]]:
    assert place.database.path is not None
    return {
        name: query(place.database.path, f"SELECT * FROM {name} ORDER BY 1, 2") for name in metadata.tables
    }


def test_the_smallest_good_archive_comes_in(make: Make) -> None:
    target = make()
    file = target.state.parent / "good.zip"
    file.write_bytes(_packed(_table("execution_events", _event()), {}))

    assert 2 == sum(brought(target, file).written.values())


@pytest.mark.parametrize("name", BAD_MEMBERS)
def test_members_that_no_export_has_are_refused(victim: Place, name: str) -> None:
    refused(victim, _packed(BAD_MEMBERS[name], {}))


@pytest.mark.parametrize("name", BAD_MANIFESTS)
def test_a_manifest_that_does_not_fit_is_refused(victim: Place, name: str) -> None:
    refused(victim, _packed(GOOD, BAD_MANIFESTS[name]))


def test_what_is_no_archive_is_refused(victim: Place, tmp_path: Path) -> None:
    for data in (b"", b"PK", b"hello" * 1000, _packed({}, {})[:-30], b"\x1f\x8b" + b"\0" * 100):
        refused(victim, data)
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "missing", Path("/dev/zero")):
        with pytest.raises(InvalidArchive):
            brought(victim, path)
    other = io.BytesIO()
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("evil.txt", "x")
    assert "no export" in refused(victim, other.getvalue())


def test_a_byte_that_changed_is_noticed_or_means_nothing(make: Make, victim: Place) -> None:
    """At every place of the file: refused, or imported as it was."""
    source = make()
    with store_of(source) as store:
        finish(store, "e", correlation_id="c", title="t" * 40)
    data = exported(source, "c").read_bytes()
    for place in range(0, len(data), max(1, len(data) // 60)):
        harmed = bytearray(data)
        harmed[place] ^= 0x55
        file = victim.state.parent / "harmed.zip"
        file.write_bytes(harmed)
        try:
            brought(victim, file, dry_run=True)
        except InvalidArchive:
            continue
        assert _members(exported(source, "c")) == _members(file), place
    for end in range(0, len(data), max(1, len(data) // 40)):
        refused(victim, data[:end])


def test_a_bomb_is_refused_before_it_unpacks(victim: Place) -> None:
    zeros = b"\0" * (8 << 20)
    listed = [
        {"name": f"artifacts/e/{n}", "size": 1 << 30, "sha256": hashlib.sha256(zeros).hexdigest()}
        for n in range(3)
    ]
    assert "size" in refused(
        victim,
        _packed(
            {**GOOD, **{f"artifacts/e/{n}": zeros for n in range(3)}},
            {
                "members": [
                    *(
                        {"name": n, "size": len(d), "sha256": hashlib.sha256(d).hexdigest()}
                        for n, d in GOOD.items()
                    ),
                    *listed,
                ]
            },
        ),
    )


def test_sizes_are_bounded(victim: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    from executor.host import archive

    good = _packed({**GOOD, "artifacts/e/a": b"\0" * 100_000}, {})
    for name, value, said in (
        ("_UNPACKED_BYTES", 1000, "would unpack to"),
        ("_MEMBER_BYTES", 99_999, "too large"),
        ("_MEMBERS", 2, "more than 2 members"),
        ("_MANIFEST_BYTES", 100, "too long"),
    ):
        with monkeypatch.context() as patch:
            patch.setattr(archive, name, value)
            patch.setattr(archive, "_UNPACKED_RATIO", 1)
            assert said in refused(victim, good), name


def test_a_member_twice_is_refused(victim: Place) -> None:
    file = io.BytesIO(_packed(GOOD, {}))
    with zipfile.ZipFile(file, "a") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        archive.writestr("tables/executions.jsonl", GOOD["tables/executions.jsonl"])
    assert "not those it lists" in refused(victim, file.getvalue())
