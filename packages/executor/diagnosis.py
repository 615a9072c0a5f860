"""Is this installation in order: what there is, which settings hold, what is wrong, and what to do about it.

Looking changes nothing: no workspace is made, no database upgraded, nothing recovered.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import StrEnum
from pathlib import Path
from typing import Final

from executor import __version__
from executor.errors import ExecutorError, InvalidPolicy, SchemaOutdated
from executor.host.artifacts import payload_bytes
from executor.host.git import find_workspace
from executor.host.journal import find_journals
from executor.host.outbox import Outbox
from executor.host.presence import abandoned
from executor.host.settings import (
    CONFIG_FILE,
    load_checks,
    load_health_checks,
    load_notify,
    load_policy,
    load_retention,
)
from executor.migrations.facts import DatabaseFacts, facts
from executor.migrations.inspection import Status, check, status
from executor.migrations.target import DIRECT_URL_VARIABLE, URL_VARIABLE, DatabaseTarget
from executor.storage.location import (
    DATABASE_FILE,
    STATE_DIRECTORY,
    read_workspace_id,
    resolve_workspace,
    state_directory,
)
from executor.storage.pool_settings import (
    LOCK_TIMEOUT,
    POOL_SIZE,
    POOL_TIMEOUT,
    PREPARE_THRESHOLD,
    RETRY_TIMEOUT,
    PoolSettings,
)

# With less room a change of the largest size allowed could not be backed up.
_ROOM_NEEDED: Final = 128 * 2**20
# From here on it is worth a word that payloads can be dropped.
_PAYLOAD_LARGE: Final = 2**30
# A log of writes this long has not been folded into the file for a long time.
_LONG_LOG: Final = 2**30
_GIT_SECONDS: Final = 10.0

_VARIABLES: Final = (
    *(URL_VARIABLE, DIRECT_URL_VARIABLE, "EXECUTOR_STATE_DIR", "EXECUTOR_WORKSPACE_ID"),
    *(POOL_SIZE, POOL_TIMEOUT, LOCK_TIMEOUT, RETRY_TIMEOUT, PREPARE_THRESHOLD),
)
# Set by Executor for what it runs, by agents, or by tests.
_OTHER_VARIABLES: Final = (
    *("EXECUTOR_WORKSPACE", "EXECUTOR_PARENT_EXECUTION_ID", "EXECUTOR_CORRELATION_ID", "EXECUTOR_INSIDE"),
    *("EXECUTOR_CHECK_RUN", "EXECUTOR_AGENT", "EXECUTOR_SESSION", "EXECUTOR_MODEL"),
    *("EXECUTOR_TEST_POSTGRES_URL", "EXECUTOR_TEST_POSTGRES_BIN"),
)


class Level(StrEnum):
    WRONG = "wrong"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """`code` is stable and safe to match on; `remedy` says what to do, where that is known."""

    level: Level
    code: str
    message: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """`source` is `environment`, `default` or the file it comes from. Passwords are left out of the value."""

    name: str
    value: str
    source: str


@dataclass(slots=True)
class Diagnosis:
    """What could not be found out is None, and a finding says why."""

    versions: dict[str, str] = field(default_factory=dict)
    workspace: str | None = None
    state: str | None = None
    workspace_id: str | None = None
    policy: str | None = None
    policy_hash: str | None = None
    free_bytes: int | None = None
    # Of the artifact folders, what `executor gc` may drop.
    payload_bytes: int | None = None
    schema: Status | None = None
    database: DatabaseFacts | None = None
    settings: list[Setting] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        return all(finding.level is not Level.WRONG for finding in self.findings)

    def wrong(self, code: str, message: str, remedy: str = "") -> None:
        self.findings.append(Finding(Level.WRONG, code, message, remedy))

    def note(self, code: str, message: str, remedy: str = "") -> None:
        self.findings.append(Finding(Level.NOTE, code, message, remedy))


def diagnose(
    start: Path | None = None, *, environ: Mapping[str, str] = os.environ, thorough: bool = True
) -> Diagnosis:
    """Looks at everything it can reach; what it cannot is a finding and no exception.

    `thorough` lets SQLite read the whole file, which takes seconds for each gigabyte.
    """
    found = Diagnosis()
    _look_at_programs(found)
    _look_at_variables(found, environ)
    root = _look_at_workspace(found, start, environ)
    if thorough and found.state is not None:
        _look_at_payloads(found, Path(found.state))
    target = _target(found, root, environ)
    if target is not None:
        _look_at_database(found, target, environ, thorough)
    return found


def _look_at_programs(found: Diagnosis) -> None:
    found.versions.update(executor=__version__, python=platform.python_version(), system=platform.platform())
    git = shutil.which("git")
    if git is None:
        found.wrong(
            "no_git", "git is not on PATH", "install git; without it nothing is known of repositories"
        )
        return
    try:
        done = subprocess.run(
            [git, "--version"], capture_output=True, text=True, timeout=_GIT_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as cause:
        found.wrong("no_git", f"{git} cannot be run: {cause}", "repair git")
        return
    found.versions["git"] = done.stdout.strip().removeprefix("git version ")


def _look_at_variables(found: Diagnosis, environ: Mapping[str, str]) -> None:
    known = (*_VARIABLES, *_OTHER_VARIABLES)
    for name in sorted(environ):
        if name.startswith("EXECUTOR_") and name not in known:
            close = get_close_matches(name, known, n=1)
            remedy = f"did you mean {close[0]}?" if close else "remove it, or see `executor --help`"
            found.note("unknown_variable", f"{name} is set and means nothing to Executor", remedy)
    for name in _VARIABLES:
        value = environ.get(name)
        if value:
            found.settings.append(Setting(name, _shown(name, value), "environment"))


def _shown(name: str, value: str) -> str:
    if name not in (URL_VARIABLE, DIRECT_URL_VARIABLE):
        return value
    try:
        return str(DatabaseTarget.parse(value, {}))
    except ExecutorError:
        return "(unreadable)"


def _look_at_workspace(found: Diagnosis, start: Path | None, environ: Mapping[str, str]) -> Path | None:
    try:
        root = find_workspace(resolve_workspace(start))
    except ExecutorError as error:
        found.wrong(error.code, str(error), "go to a directory that exists, or name one with -C")
        return None
    state = state_directory(root, environ)
    found.workspace, found.state = str(root), str(state)
    try:
        found.workspace_id = read_workspace_id(state, environ)
    except ExecutorError as error:
        found.wrong(error.code, str(error))
    try:
        policy = load_policy(root)
        found.policy, found.policy_hash = policy.name, policy.digest
    except InvalidPolicy as error:
        found.wrong(
            error.code, str(error), "every change is refused until it is mended: executor policy check"
        )
    _look_at_config(found, root)
    if not state.is_dir():
        found.note(
            "no_state",
            f"nothing is recorded in {root} yet",
            "the first `executor run` or `executor init` begins",
        )
        return root
    _look_at_state(found, state)
    return root


def _look_at_config(found: Diagnosis, root: Path) -> None:
    """Names only: command lines and addresses may hold what is nobody's business."""
    source = f"{STATE_DIRECTORY}/{CONFIG_FILE}"
    try:
        notify = load_notify(root)
        limits = dict(zip(("keep_days", "keep_count"), load_retention(root), strict=True))
        names: dict[str, list[str]] = {
            "checks": list(load_checks(root)),
            "health": [check.name for check in load_health_checks(root)],
            "notify": [*notify.on] if notify is not None else [],
            "retention": [f"{name} = {value}" for name, value in limits.items() if value is not None],
        }
    except ExecutorError as error:
        found.wrong(error.code, str(error), f"mend {source}; without it there are no settings but defaults")
        return
    found.settings += [Setting(table, ", ".join(named), source) for table, named in names.items() if named]


def _look_at_state(found: Diagnosis, state: Path) -> None:
    found.free_bytes = shutil.disk_usage(state).free
    if found.free_bytes < _ROOM_NEEDED:
        found.wrong("disk_full", f"{found.free_bytes / 2**20:.0f} MB are free beside {state}", "make room")
    if not os.access(state, os.W_OK | os.X_OK):
        found.wrong("state_unwritable", f"{state} cannot be written", "give this user leave to write there")
        return
    try:
        with abandoned(state) as left:
            dead = sorted(presence.execution_id for presence in left)
        journals = [journal.execution_id for journal in find_journals(state)]
    except (OSError, ExecutorError) as error:
        found.wrong("state_unreadable", f"{state}: {error}", "give this user leave to read there")
        return
    if dead:
        found.wrong(
            "abandoned",
            f"{len(dead)} execution{'s' * (len(dead) > 1)} ended with the process: {', '.join(dead[:5])}",
            "executor recover",
        )
    _look_at_outbox(found, Outbox(state))
    unowned = sorted(set(journals) - set(dead))
    if unowned:
        found.note(
            "journal", f"changes in progress: {', '.join(unowned[:5])}", "executor list --status applying"
        )


def _look_at_payloads(found: Diagnosis, state: Path) -> None:
    try:
        found.payload_bytes = payload_bytes(state)
    except OSError as error:
        found.wrong("state_unreadable", f"{state}: {error}", "give this user leave to read there")
        return
    if found.payload_bytes >= _PAYLOAD_LARGE:
        found.note(
            "payload_large",
            f"logs and contents of executions take {found.payload_bytes / 2**30:.1f} GB in {state}",
            "executor gc --keep-days 90 --dry-run says what could go; [retention] in "
            f"{STATE_DIRECTORY}/{CONFIG_FILE} holds defaults",
        )


def _look_at_outbox(found: Diagnosis, outbox: Outbox) -> None:
    source = f"{STATE_DIRECTORY}/{CONFIG_FILE}"
    tried = [letter for letter in outbox.pending() if letter.tries]
    if tried:
        last = tried[-1]
        found.note(
            "undelivered",
            f"{len(tried)} notification{'s' * (len(tried) > 1)} could not be delivered yet; {last.delivery_id}: "
            f"{last.error}",
            f"mend [notify] in {source}, or who it names; every start of Executor tries again, for a day",
        )
    dropped = outbox.dropped()
    if dropped:
        found.note(
            "notifications_dropped",
            f"{len(dropped)} notification{'s' * (len(dropped) > 1)} of the last week could not be delivered for a "
            f"day and will not be: {', '.join(dropped[:5])}",
            f"mend [notify] in {source}; the executions themselves are recorded: executor list",
        )


def _target(found: Diagnosis, root: Path | None, environ: Mapping[str, str]) -> DatabaseTarget | None:
    """The database in force; None when there is none yet."""
    url = environ.get(URL_VARIABLE)
    try:
        if url:
            return DatabaseTarget.parse(url, environ)
    except ExecutorError as error:
        found.wrong(error.code, str(error))
        return None
    if root is None:
        return None
    file = state_directory(root, environ) / DATABASE_FILE
    return DatabaseTarget.parse(file) if file.exists() else None


def _look_at_database(
    found: Diagnosis, target: DatabaseTarget, environ: Mapping[str, str], thorough: bool
) -> None:
    try:
        if target.is_server:
            _look_at_pool(found, environ)
        found.schema = status(target)
        found.database = facts(target)
        # An empty database has nothing that could be missing.
        differences = check(target) if thorough and found.database.tables else []
    except ExecutorError as error:
        found.wrong(error.code, str(error))
        return
    if not found.database.tables:
        _judge_empty(found, found.database)
    elif found.schema.pending:
        found.note(
            SchemaOutdated.code,
            f"the schema has version {found.schema.current} of {found.schema.newest}",
            "executor db upgrade; commands in a workspace do it by themselves",
        )
    for difference in differences:
        if difference.harmful:
            remedy = "executor db upgrade adds what is missing; else restore a backup"
            found.wrong(difference.kind, difference.message, remedy)
        else:
            found.note(difference.kind, difference.message)
    _judge(found, found.database)


def _look_at_pool(found: Diagnosis, environ: Mapping[str, str]) -> None:
    """Raises InvalidSettings."""
    pool = PoolSettings.from_environment(environ)
    threshold = "never" if pool.prepare_threshold is None else str(pool.prepare_threshold)
    values = {
        POOL_SIZE: str(pool.pool_size),
        POOL_TIMEOUT: f"{pool.pool_timeout:g}",
        LOCK_TIMEOUT: f"{pool.lock_timeout:g}",
        RETRY_TIMEOUT: f"{pool.retry_timeout:g}",
        PREPARE_THRESHOLD: threshold,
    }
    found.settings += [
        Setting(name, value, "default") for name, value in values.items() if not environ.get(name)
    ]


def _judge_empty(found: Diagnosis, database: DatabaseFacts) -> None:
    if database.engine == "postgresql" and database.home is None:
        found.wrong(
            "no_schema",
            f"no schema of the search path ({database.settings['search_path']}) exists, or may be used",
            "make it and grant USAGE and CREATE on it, or correct search_path",
        )
        return
    found.note(
        "empty_database",
        "the database is empty",
        "executor db upgrade makes the tables; so does the first command that records something",
    )


def _judge(found: Diagnosis, database: DatabaseFacts) -> None:
    if database.log_bytes > _LONG_LOG:
        found.note(
            "long_log",
            f"the log of writes beside the database has {database.log_bytes / 2**30:.1f} GB",
            "end what keeps the database open for reading",
        )
    if database.pooled:
        found.note(
            "pooled",
            "a pooler stands between here and the server; upgrades cannot go through it",
            f"name the server itself in {DIRECT_URL_VARIABLE}",
        )
    if database.settings.get("transaction_read_only") == "on":
        found.wrong(
            "read_only", "the server takes no writes", "name the primary server, or end its read-only mode"
        )
    elif not database.may_write:
        found.wrong(
            "may_not_write",
            "the user may read, and not record",
            "GRANT INSERT, UPDATE, DELETE on the tables, and USAGE on the sequences, or name another user",
        )
    if database.settings.get("server_encoding", "UTF8") != "UTF8":
        found.wrong(
            "encoding",
            f"the database is encoded in {database.settings['server_encoding']}",
            "make one with the encoding UTF8 and move to it with executor db copy",
        )
