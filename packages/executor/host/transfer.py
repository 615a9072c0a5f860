"""A correlation out of one database and state directory as one file, and into others.

What is exported is redacted once more, by the secrets of whoever exports; contents of files travel only when
asked for, and then exactly as they are. An import is all or nothing: the file is checked to its last byte
first, and whatever contradicts what is recorded refuses all of it.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, unquote

import msgspec

from executor.errors import (
    ArtifactNotFound,
    CorrelationNotFound,
    ImportConflict,
    InvalidInput,
    InvalidSettings,
)
from executor.events.recorder import redact_value
from executor.host import files
from executor.host.archive import Archive, ArchiveWriter, open_archive
from executor.host.artifacts import CHANGESET, KEPT, RESCUED, STEP_LOGS, ArtifactFolder
from executor.host.presence import safe_name
from executor.migrations import MIGRATIONS
from executor.models.change import sha256
from executor.models.execution import TERMINAL_STATUSES
from executor.models.times import format_time
from executor.schema import approvals, changesets, executions, step_logs
from executor.storage.bulk import Database, opened
from executor.storage.transfer import (
    TABLES,
    AnyTable,
    CorrelationRows,
    Merge,
    Merging,
    Values,
    checked_rows,
    columns_of,
    dropped_executions,
    hashes_of,
    is_text,
    with_output,
)

if TYPE_CHECKING:
    from datetime import datetime

    from executor.events.redaction import Redactor
    from executor.migrations.target import DatabaseTarget

_TABLES: Final = "tables"
_CONTENTS: Final = "contents"
_ARTIFACTS: Final = "artifacts"
_BY_NAME: Final = {table.name: table for table in TABLES}
_SHA256_LENGTH: Final = 64

# Called with what is done, the members done and those there are.
Progress = Callable[[str, int, int], None]


@dataclass(frozen=True, slots=True)
class Place:
    """A database and the state directory beside it; `workspace_id` is the workspace they belong to."""

    database: DatabaseTarget
    state: Path
    workspace_id: str
    redactor: Redactor

    def rewrite(self, table: AnyTable, row: Values) -> Values:
        """A row as it may leave: prose, documents and logs redacted."""
        if table is step_logs:
            row = with_output(row, self.redactor.redact(row["content"]))
        return {
            name: self._redacted(value) if isinstance(value, str) and is_text(table, name) else value
            for name, value in row.items()
        }

    def _redacted(self, text: str) -> str:
        """A document is redacted text by text, so that it stays one."""
        if text[:1] in ("{", "["):
            with suppress(msgspec.DecodeError, UnicodeEncodeError):
                value = msgspec.json.decode(text)
                redacted = redact_value(value, self.redactor)
                return text if redacted == value else msgspec.json.encode(redacted).decode()
        return self.redactor.redact(text)


@dataclass(frozen=True, slots=True)
class Export:
    file: Path
    correlation_id: str
    executions: int
    content: bool
    members: int
    bytes: int


@dataclass(frozen=True, slots=True)
class Import:
    """`rows` and `written` by table, contents included; `artifacts` files were there already or were written."""

    correlation_id: str
    executions: int
    content: bool
    rows: Mapping[str, int]
    written: Mapping[str, int]
    artifacts: int
    artifacts_written: int

    @property
    def changed(self) -> bool:
        return bool(self.artifacts_written or sum(self.written.values()))


def export_correlation(
    place: Place, correlation_id: str, file: Path, *, content: bool = False, progress: Progress | None = None
) -> Export:
    """Writes everything there is of a correlation to `file`, which must not exist; whole or not at all.

    With `content` also the exact bytes of files before and after. The same content gives the same bytes.

    Raises CorrelationNotFound, InvalidSettings for a file that exists or cannot be written, and what opening a
    database raises.
    """
    tell = progress or (lambda *_: None)
    if file.exists() or file.is_symlink():
        raise InvalidSettings(f"{file} exists already; name another file with --out")
    try:
        with tempfile.TemporaryDirectory(prefix=".executor-export-", dir=file.parent) as folder:
            writer = ArchiveWriter(Path(folder))
            with opened(place.database) as database, database.moment():
                rows = CorrelationRows(database, correlation_id, place.workspace_id)
                if not rows.execution_ids:
                    raise CorrelationNotFound(correlation_id)
                _write_rows(place, rows, writer, content, tell)
            _write_artifacts(place, rows.execution_ids, writer, content, tell)
            finished = Path(folder) / "finished"
            with finished.open("xb") as target:
                manifest = writer.write(
                    target,
                    correlation_id=correlation_id,
                    schema_version=MIGRATIONS[-1].version,
                    executions=len(rows.execution_ids),
                    content=content,
                )
                target.flush()
                os.fsync(target.fileno())
            finished.chmod(0o600)
            size = finished.stat().st_size
            _publish(finished, file)
    except FileExistsError as cause:
        raise InvalidSettings(f"{file} exists already; name another file with --out") from cause
    except OSError as cause:
        raise InvalidSettings(f"{file} cannot be written: {cause.strerror or cause}") from cause
    return Export(file, correlation_id, len(rows.execution_ids), content, len(manifest.members), size)


def _publish(finished: Path, file: Path) -> None:
    """Gives the file its name unless somebody else has taken it meanwhile."""
    try:
        file.hardlink_to(finished)
    except FileExistsError:
        raise
    except OSError:
        # No hard links here.
        finished.rename(file)


def _write_rows(
    place: Place, rows: CorrelationRows, writer: ArchiveWriter, content: bool, tell: Progress
) -> None:
    for number, table in enumerate(TABLES):
        tell(table.name, number, len(TABLES))
        with writer.member(f"{_TABLES}/{table.name}.jsonl") as write:
            for row in rows.rows(table):
                write(_line(table, place.rewrite(table, row)))
    if content:
        tell(_CONTENTS, 0, 1)
        for name, data in rows.contents():
            writer.add(f"{_CONTENTS}/{name}", data)


def _line(table: AnyTable, row: Values) -> bytes:
    told = {name: row[name] for name in columns_of(table) if row[name] is not None}
    return msgspec.json.encode(told) + b"\n"


def _write_artifacts(
    place: Place, execution_ids: list[str], writer: ArchiveWriter, content: bool, tell: Progress
) -> None:
    for number, execution_id in enumerate(execution_ids):
        tell(_ARTIFACTS, number, len(execution_ids))
        folder = ArtifactFolder(place.state, execution_id)
        for name in folder.names() if folder.exists() else ():
            exact = name == CHANGESET or name.startswith(f"{RESCUED}/")
            if exact and not content:
                continue
            try:
                with os.fdopen(folder.open(name), "rb") as file:
                    data = file.read()
            except ArtifactNotFound:
                # It went since it was listed.
                continue
            if not exact:
                text = data.decode("utf-8", "surrogateescape")
                data = place.redactor.redact(text).encode("utf-8", "surrogateescape")
            parts = "/".join(quote(os.fsencode(part), safe="") for part in name.split("/"))
            writer.add(f"{_ARTIFACTS}/{safe_name(execution_id)}/{parts}", data)


def import_archive(
    place: Place,
    file: Path,
    *,
    now: datetime,
    dry_run: bool = False,
    progress: Progress | None = None,
) -> Import:
    """Brings an exported correlation into a database, and its artifacts into the state directory.

    What is there already and equal stays; a second import does nothing. Killed anywhere, nothing of it is in
    the database, and importing again does the rest. Executions of other workspaces can be read then, as those
    of a shared database can. With `dry_run` only says what would be written.

    Raises InvalidArchive, also for executions of this workspace that have not ended, or approvals for it that
    still hold: work is not imported; ImportConflict, WorkspaceUnwritable, and what opening a database raises.
    """
    tell = progress or (lambda *_: None)
    with open_archive(file) as archive, opened(place.database) as database:
        source = _Source(archive, place, now)
        tell("checking", 0, 3)
        source.check()
        with database.moment():
            report = source.merge(database, write=False)
        source.refuse_conflicts(report)
        artifacts = list(source.wanted_artifacts())
        missing = [(folder, name, member) for folder, name, member in artifacts if not folder.has(name)]
        if not dry_run:
            tell("writing", 1, 3)
            made = _Made()
            try:
                for folder, name, member in missing:
                    made.write(folder, name, archive.read(member))
                with database.transaction():
                    database.hold()
                    report = source.merge(database, write=True)
                    source.refuse_conflicts(report)
            except BaseException:
                made.undo()
                raise
    return Import(
        archive.manifest.correlation_id,
        archive.manifest.executions,
        archive.manifest.content,
        report.rows,
        report.written,
        len(artifacts),
        len(missing),
    )


class _Source:
    """What an archive says, checked row by row. Raises InvalidArchive."""

    def __init__(self, archive: Archive, place: Place, now: datetime) -> None:
        self._archive, self._place = archive, place
        self._now = format_time(now)
        self._correlation_id = archive.manifest.correlation_id
        self._ids: set[str] = set()
        self._own: set[str] = set()
        # What gc dropped from this database stays dropped.
        self._dropped: set[str] = set()

    def check(self) -> None:
        """Everything, to the last byte."""
        newest = MIGRATIONS[-1].version
        if self._archive.manifest.schema_version > newest:
            raise self._archive.refuse(
                f"it has schema version {self._archive.manifest.schema_version}, this executor knows up to "
                f"{newest}; install a newer executor-graph (pip install -U executor-graph)"
            )
        self._check_names()
        for row in self.rows(executions):
            self._check_execution(row)
        if len(self._ids) != self._archive.manifest.executions or not self._ids:
            raise self._archive.refuse("it has not as many executions as it says")
        for table in TABLES:
            if table is not executions:
                for _ in self.rows(table):
                    pass
        for _ in self.contents():
            pass
        for _, _, member in self.artifacts():
            for _ in self._archive.chunks(member):
                pass

    def _check_names(self) -> None:
        for name in self._archive.names:
            kind, _, rest = name.partition("/")
            known = (
                (kind == _TABLES and rest.removesuffix(".jsonl") in _BY_NAME and rest.endswith(".jsonl"))
                or (kind == _CONTENTS and len(rest) == _SHA256_LENGTH and self._archive.manifest.content)
                or (kind == _ARTIFACTS and rest.count("/") in (1, 2))
            )
            if not known:
                raise self._archive.refuse(f"the member {name!r} is none of an export")

    def _check_execution(self, row: Values) -> None:
        execution_id = row["execution_id"]
        self._ids.add(execution_id)
        if row["workspace_id"] == self._place.workspace_id:
            self._own.add(execution_id)

    def _accept(self, table: AnyTable, row: Values) -> None:
        """Into this workspace nothing comes that could still be run, or lets something run."""
        if row.get("execution_id") not in self._own:
            return
        if table is executions and row["status"] not in TERMINAL_STATUSES:
            raise self._archive.refuse(
                f"execution {row['execution_id']!r} of this workspace has not ended; "
                "export it again when it has"
            )
        if table is approvals and row["expires_at"] > self._now:
            raise self._archive.refuse(
                f"the approval of execution {row['execution_id']!r} still holds in this workspace; "
                "approvals are given, not imported"
            )

    def rows(self, table: AnyTable) -> Iterator[Values]:
        name = f"{_TABLES}/{table.name}.jsonl"
        lines = self._archive.lines(name)
        try:
            found = (msgspec.json.decode(line, type=dict[str, Any]) for line in lines)
            yield from checked_rows(table, found, self._correlation_id, self._ids)
        except (msgspec.DecodeError, InvalidInput) as cause:
            raise self._archive.refuse(f"{name}: {cause}") from cause

    def contents(self) -> Iterator[tuple[str, bytes]]:
        for member in self._archive.names:
            kind, _, name = member.partition("/")
            if kind == _CONTENTS:
                data = self._archive.read(member)
                if sha256(data) != name:
                    raise self._archive.refuse(f"{member} holds something else than its name says")
                yield name, data

    def artifacts(self) -> Iterator[tuple[ArtifactFolder, str, str]]:
        """Folder, name in it and name of the member."""
        by_name = {safe_name(execution_id): execution_id for execution_id in self._ids}
        for member in self._archive.names:
            kind, _, rest = member.partition("/")
            if kind != _ARTIFACTS:
                continue
            owner, *parts = rest.split("/")
            names = [unquote(part, errors="surrogateescape") for part in parts]
            plain = all(name and not name.startswith(".") and not {"/", "\0"} & set(name) for name in names)
            placed = len(names) == 1 or names[0] in (STEP_LOGS, RESCUED)
            if owner not in by_name or not plain or not placed:
                raise self._archive.refuse(f"the artifact {member!r} belongs to no execution of it")
            yield ArtifactFolder(self._place.state, by_name[owner]), "/".join(names), member

    def merge(self, database: Database, *, write: bool) -> Merge:
        merging = Merging(
            database,
            workspace_id=self._place.workspace_id,
            rewrite=self._place.rewrite,
            accept=self._accept,
            write=write,
        )
        self._dropped = dropped_executions(database, sorted(self._ids))
        for table in TABLES:
            rows = self.rows(table)
            if table is step_logs:
                rows = (row for row in rows if row["execution_id"] not in self._dropped)
            merging.merge(table, rows)
        merging.merge_contents(self._correlation_id, self._wanted_contents())
        return merging.report

    def _wanted_contents(self) -> Iterator[tuple[str, bytes]]:
        if not self._dropped:
            yield from self.contents()
            return
        kept = {
            row["changeset_id"] for row in self.rows(executions) if row["execution_id"] not in self._dropped
        }
        wanted = hashes_of(row["document"] for row in self.rows(changesets) if row["changeset_id"] in kept)
        yield from ((name, data) for name, data in self.contents() if name in wanted)

    def wanted_artifacts(self) -> Iterator[tuple[ArtifactFolder, str, str]]:
        for folder, name, member in self.artifacts():
            if folder.execution_id not in self._dropped or name in KEPT:
                yield folder, name, member

    def refuse_conflicts(self, report: Merge) -> None:
        if report.conflicts:
            raise ImportConflict(str(self._archive.path), report.conflicts)


class _Made:
    """Artifact files that an import wrote, to be removed again when the rows do not follow."""

    def __init__(self) -> None:
        self._files: list[Path] = []
        self._folders: list[Path] = []
        self._seen: set[Path] = set()

    def write(self, folder: ArtifactFolder, name: str, data: bytes) -> None:
        if folder.path not in self._seen:
            self._seen.add(folder.path)
            if not folder.exists():
                self._folders.append(folder.path)
            # An import that was killed may have made half of it.
            folder.create()
        if name.startswith(f"{RESCUED}/"):
            folder.rescued()
        folder.write(name, data)
        self._files.append(folder.path / name)

    def undo(self) -> None:
        for file in self._files:
            with suppress(OSError):
                files.remove_file(file)
        for folder in self._folders:
            for inner in (folder / STEP_LOGS, folder / RESCUED, folder):
                with suppress(OSError), files.closing(files.open_root(inner.parent)) as above:
                    files.remove_directory(inner.name, dir_fd=above)
