"""Questions about executions: `list`, `show`, `diff`, `logs`, `events`, `stats`, and `dismiss`."""

from __future__ import annotations

import re
import sys
from collections.abc import Container
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final, Literal

import click

from executor.cli.application import (
    Application,
    all_workspaces_option,
    json_option,
    pass_application,
    with_options,
)
from executor.cli.exit_codes import ExitCode
from executor.cli.text import (
    UNDONE_ICON,
    ago,
    duration,
    local_time,
    one_line,
    ordinal,
    plural,
    safe,
    short_id,
    status_icon,
    status_style,
    status_word,
    utc_now,
)
from executor.errors import ArtifactNotFound, InvalidFilter, PayloadDropped
from executor.host.artifacts import TRANSCRIPT
from executor.models.execution import (
    EventRecord,
    EventType,
    ExecutionFilter,
    ExecutionRecord,
    ExecutionStatus,
    LinkKind,
    LinkRecord,
    RiskLevel,
    StepName,
    StepRecord,
    StepStatus,
    TestOutcome,
    TestResult,
    TriggerKind,
    Verdict,
)
from executor.models.times import format_time, parse_time

if TYPE_CHECKING:
    from rich.console import RenderableType

    from executor.models.decision import GovernanceDecision

_FULL_ID: Final = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


def _time(text: str | None) -> str | None:
    """A time as stored, from ISO-8601 or an age such as `90m`, `24h`, `7d`."""
    if text is None:
        return None
    if text[:-1].isdigit() and text[-1:] in _UNITS:
        return format_time(datetime.now(UTC) - timedelta(**{_UNITS[text[-1]]: int(text[:-1])}))
    return format_time(parse_time(text))


def _values(
    kind: type[ExecutionStatus | Verdict | RiskLevel | TriggerKind], given: tuple[str, ...]
) -> tuple[str, ...]:
    known = [member.value for member in kind]
    for value in given:
        if value.removeprefix("!") not in known:
            raise InvalidFilter(f"{value!r} is none of {', '.join(known)} (with ! in front: all but it)")
    return given


def _commits(app: Application, given: tuple[str, ...]) -> tuple[str, ...]:
    """Full ids of what git knows; a full id it does not know stays as it is."""
    found = []
    for text in given:
        mark, revision = text[: len(text) - len(text.removeprefix("!"))], text.removeprefix("!")
        known = app.runtime.host.commit_named(revision)
        if known is None and not _FULL_ID.fullmatch(revision):
            raise InvalidFilter(f"git knows no commit {revision!r} here; give one, or a full id")
        found.append(mark + (known or revision))
    return tuple(found)


filter_options = with_options(
    click.option("--status", multiple=True, help="Only this status (repeatable; !STATUS leaves it out)."),
    click.option("--verdict", multiple=True, help="Only this verdict of the gate."),
    click.option("--risk", multiple=True, help="Only this risk level."),
    click.option("--trigger", multiple=True, help="Only this trigger kind."),
    click.option("--actor", multiple=True, help="Only what this person, agent or CI proposed."),
    click.option("--correlation", multiple=True, help="Only this correlation."),
    click.option("--run-id", multiple=True, help="Only this run."),
    click.option("--parent", multiple=True, help="Only children of this execution (full id)."),
    click.option(
        "--commit",
        multiple=True,
        help="Only what became this git commit: an id, its beginning, HEAD or any other revision.",
    ),
    click.option(
        "--path", multiple=True, help="Only executions that touched such a path (gitignore pattern)."
    ),
    click.option("--error-step", multiple=True, help="Only what failed in this step, such as verify."),
    click.option("-q", "--query", help="Text in id, title, path or error."),
    click.option("--since", help="Started at or after: a time, or an age such as 24h or 7d."),
    click.option("--until", help="Started before."),
    click.option("--unresolved", is_flag=True, help="Only failures nothing has made up for yet."),
    click.option("--awaiting", is_flag=True, help="Only what waits for approval."),
    all_workspaces_option,
)


def _filter(app: Application, options: dict[str, Any]) -> ExecutionFilter:
    return ExecutionFilter(
        correlation_id=options["correlation"],
        run_id=options["run_id"],
        parent_execution_id=options["parent"],
        workspace=() if options["all_workspaces"] else (app.runtime.workspace_id,),
        status=_values(ExecutionStatus, options["status"]),
        verdict=_values(Verdict, options["verdict"]),
        risk_level=_values(RiskLevel, options["risk"]),
        trigger_kind=_values(TriggerKind, options["trigger"]),
        actor=options["actor"],
        commit=_commits(app, options["commit"]),
        path=options["path"],
        error_step=options["error_step"],
        q=options["query"],
        since=_time(options["since"]),
        until=_time(options["until"]),
        unresolved=True if options["unresolved"] else None,
        awaiting=True if options["awaiting"] else None,
    )


@click.command("list")
@filter_options
@click.option("--limit", type=int, default=20, show_default=True, help="How many.")
@click.option("--cursor", help="Go on where an earlier page ended.")
@json_option
@pass_application
def list_(app: Application, /, limit: int, cursor: str | None, as_json: bool, **options: Any) -> None:
    """Executions of this workspace, newest first.

    \b
    Example: executor list --unresolved
             executor list --status failed --status rolled_back --since 7d
    """
    page = app.store.list_executions(_filter(app, options), limit=limit, cursor=cursor, with_total=True)
    if as_json:
        app.print_json(
            {
                "executions": [record.to_dict() for record in page],
                "total": page.total,
                "total_at_least": page.total_at_least,
                "next_cursor": page.next_cursor,
            }
        )
        return
    if not page.items:
        if options["unresolved"] or options["awaiting"]:
            app.note("nothing needs attention" if options["unresolved"] else "nothing waits for approval")
        elif not _asks_nothing(options):
            app.note("no execution passes this filter")
        else:
            app.note("no executions here")
            app.note(
                'begin with: executor run --patch fix.diff --verify "pytest -q"   (or see: executor demo)'
            )
        return
    undone = app.store.list_reverted([record.execution_id for record in page])
    app.print(_table(page.items, undone, app.out.width))
    if page.next_cursor:
        total = f"{page.total:,}" if page.total is not None else f"more than {page.total_at_least:,}"
        app.note(f"{len(page)} of {total}; go on with --cursor {page.next_cursor}")


def _asks_nothing(options: dict[str, Any]) -> bool:
    return not any(value for name, value in options.items() if name != "all_workspaces")


# Columns that go first when the terminal is narrow, and the width from which they are shown.
_WIDE_ONLY: Final = {"TRIGGER": 90, "TOOK": 100, "STARTED": 70, "ERROR": 60}


def _table(records: list[ExecutionRecord], undone: Container[str], width: int) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    now = datetime.now(UTC)
    rows = [_row(record, now, undone=record.execution_id in undone) for record in records]
    shown = [name for name in rows[0] if width >= _WIDE_ONLY.get(name, 0)]
    widths = {name: max(len(name), *(len(row[name][0]) for row in rows)) for name in shown}
    _fit(widths, width - 2 * (len(shown) - 1))
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in shown:
        justify: Literal["left", "right"] = "right" if name == "TOOK" else "left"
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=widths[name], justify=justify)
    for row in rows:
        table.add_row(*(Text(*row[name]) for name in shown))
    return table


def _fit(widths: dict[str, int], room: int) -> None:
    """Shortens the two columns of prose, the error first, until all fit into `room`."""
    for name, least in (("ERROR", 24), ("TITLE", 16)):
        if name in widths:
            over = sum(widths.values()) - room
            widths[name] = max(min(least, widths[name]), widths[name] - max(over, 0))


def _row(record: ExecutionRecord, now: datetime, *, undone: bool) -> dict[str, tuple[str, str]]:
    """Column → text and style."""
    style = "dim" if undone else status_style(record)
    status = f"{UNDONE_ICON} reverted" if undone else f"{status_icon(record)} {status_word(record)}"
    trigger = record.trigger_kind or "manual"
    if record.attempt and record.attempt > 1:
        trigger = f"{trigger} ({ordinal(record.attempt)})"
    return {
        "ID": (safe(short_id(record.execution_id)), "cyan"),
        "STATUS": (status, style),
        "TRIGGER": (safe(trigger), ""),
        "STARTED": (ago(record.started_at, now), "dim"),
        "TOOK": (duration(record.duration_seconds), ""),
        "TITLE": (one_line(record.title or ", ".join(record.affected_paths), 60), ""),
        "ERROR": (one_line(record.error_message or "", 80), style),
    }


@click.command()
@click.argument("execution", metavar="ID")
@click.option(
    "--replay",
    is_flag=True,
    help="Tell the story from the artifacts of this workspace alone; no database is opened.",
)
@all_workspaces_option
@json_option
@pass_application
def show(app: Application, execution: str, replay: bool, all_workspaces: bool, as_json: bool) -> None:
    """One execution: what ran, why, what the gate said, every step, and what came of it.

    ID is an id, its unique beginning or end, @last or @last-failed.

    \b
    Example: executor show @last
             executor show --replay @last-failed
    """
    if replay:
        if all_workspaces:
            raise click.UsageError("--replay reads the artifacts of this workspace; others have their own")
        from executor.cli.replay import show_replay

        show_replay(app, execution, as_json=as_json)
        return
    store = app.store
    execution_id = app.runtime.resolve(execution, all_workspaces=all_workspaces)
    found = store.get_execution_detail(execution_id)
    record, unresolved, steps, links = found.execution, found.unresolved, found.steps, found.links
    plan, decision, approval, dropped = found.plan, found.decision, found.approval, found.payload_dropped
    artifacts = app.runtime.kept_artifacts(execution_id)
    tests = store.list_test_results(execution_id)
    # What is on another host is not missing.
    missing = artifacts.missing(record) if record.workspace_id == app.runtime.workspace_id else []
    reverted_by = found.reverted_by
    folder = app.runtime.artifacts(execution_id)
    transcript = TRANSCRIPT if folder.has_transcript else plan.transcript_url if plan else None
    if as_json:
        import msgspec

        app.print_json(
            {
                "execution": record.to_dict(),
                "unresolved": unresolved,
                "steps": [step.to_dict() for step in steps],
                "plan": msgspec.to_builtins(plan),
                "decision": msgspec.to_builtins(decision),
                "approval": msgspec.to_builtins(approval),
                "links": [
                    {"source_id": k.source_id, "kind": k.kind, "target_id": k.target_id} for k in links
                ],
                "reverted_by": reverted_by,
                "tests": [test.to_dict() for test in tests],
                "artifacts": artifacts.names(),
                "artifacts_missing": missing,
                "transcript": transcript,
                "payload_dropped": dropped.to_dict() if dropped else None,
            }
        )
        return
    shown = str(folder.transcript) if transcript == TRANSCRIPT else transcript
    commits = [link.target_id[:12] for link in links if link.kind == LinkKind.COMMIT]
    also = [
        *_undoing(app, record, links),
        ("commit", ", ".join(commits)),
        ("model", plan.model if plan else None),
        ("transcript", shown),
    ]
    _print_record(app, record, plan.why if plan else None, unresolved, also)
    if dropped is not None:
        app.print(f"files and contents were dropped by gc on {local_time(dropped.timestamp)}", style="yellow")
    if missing and folder.exists():
        app.note(f"artifacts are incomplete: {safe(', '.join(missing))}", style="yellow")
    _print_tests(app, tests)
    if decision is not None:
        _print_decision(app, decision)
    if approval is not None:
        because = f": {one_line(approval.reason)}" if approval.reason else ""
        app.print(
            f"approved by {safe(approval.approved_by)} on {local_time(approval.approved_at)}, "
            f"good until {local_time(approval.expires_at)}{because}"
        )
    if steps:
        _print_steps(app, steps)
        _print_remarks(app, store.list_events(execution_id, tail=_REMARK_EVENTS))
    for link in links:
        if link.kind == LinkKind.EVIDENCE:
            app.print(f"{short_id(link.source_id)} {link.kind} {safe(short_id(link.target_id))}")
    _print_next(
        app, record, kept=dropped is None, undone=reverted_by is not None, approved=approval is not None
    )


def _undoing(
    app: Application, record: ExecutionRecord, links: list[LinkRecord]
) -> list[tuple[str, str | None]]:
    """Rows that say what the execution undoes, and what undid it or was to."""
    store, own = app.store, record.execution_id
    reverting = [link for link in links if link.kind == LinkKind.REVERTS]
    others = [link.source_id for link in reverting if link.target_id == own]
    standing = store.list_reverted([own, *others])
    rows: list[tuple[str, str | None]] = []
    for link in reverting:
        other = store.get_execution(link.target_id if link.source_id == own else link.source_id)
        if other is None:
            continue
        title = f": {other.title}" if other.title else ""
        if link.source_id == own:
            rows.append(("reverts", f"{short_id(link.target_id)}{title}"))
        elif standing.get(own) == link.source_id:
            rows.append(("reverted", f"by {short_id(link.source_id)}, {ago(other.started_at, utc_now())}"))
        elif other.status == ExecutionStatus.COMPLETED:
            undone = standing.get(link.source_id)
            since = f", which {short_id(undone)} reverted" if undone else ""
            rows.append(("", f"reverted by {short_id(link.source_id)} before{since}"))
        else:
            rows.append(("", f"{short_id(link.source_id)} was to revert it: {status_word(other)}"))
    return rows


# Failing tests that are shown; `--json` has all.
_TESTS_SHOWN: Final = 20


def _print_tests(app: Application, tests: list[TestResult]) -> None:
    """How many tests came out how, and those that failed."""
    if not tests:
        return
    counts = ", ".join(
        f"{sum(test.outcome == outcome for test in tests)} {outcome.value}"
        for outcome in TestOutcome
        if any(test.outcome == outcome for test in tests)
    )
    app.print(f"\ntests: {counts}")
    _print_failing(app, [test for test in tests if test.failing])


def _print_failing(app: Application, failing: list[TestResult]) -> None:
    from rich.text import Text

    for test in failing[:_TESTS_SHOWN]:
        place = f"{test.file}:{test.line}" if test.file and test.line else test.file or ""
        said = test.message or test.exception_type or ""
        line = Text.assemble(("✗ ", "red"), one_line(test.test_id, 120), (f"  {one_line(said, 120)}", "red"))
        line.append(f"  {one_line(place, 80)}", style="dim")
        app.print(line)
    if len(failing) > _TESTS_SHOWN:
        app.note(f"and {len(failing) - _TESTS_SHOWN} more; --json shows all")


_VERDICT_WORDS: Final = {"allow": "allowed", "need_approval": "needs approval", "deny": "denied"}


def _print_record(
    app: Application,
    record: ExecutionRecord,
    why: str | None,
    unresolved: bool,
    also: list[tuple[str, str | None]],
) -> None:
    from rich.table import Table
    from rich.text import Text

    status = f"{status_icon(record)} {status_word(record)}"
    headline = Text.assemble(
        (status, status_style(record)), "  ", (one_line(record.title or "", 100), "bold")
    )
    app.print(headline)
    rows = [
        ("id", record.execution_id),
        ("why", why),
        ("error", ": ".join(filter(None, (record.error_step, record.error_message)))),
        ("attention", "unresolved: no later attempt has completed" if unresolved else None),
        *also,
        ("trigger", _trigger(record)),
        ("actor", " · ".join(filter(None, (record.actor, record.session)))),
        ("chain", record.correlation_id if record.correlation_id != record.execution_id else None),
        ("run", record.run_id),
        ("risk", f"{record.risk_level}, {_VERDICT_WORDS.get(record.verdict, record.verdict)}"),
        ("paths", _paths(record.affected_paths)),
        ("base", " on ".join(filter(None, ((record.base_commit or "")[:12], record.branch)))),
        ("started", local_time(record.started_at)),
        ("took", duration(record.duration_seconds)),
    ]
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows:
        if value:
            table.add_row(name, Text(one_line(value, 300)))
    app.print(table)


def _trigger(record: ExecutionRecord) -> str:
    if record.parent_execution_id is None:
        return record.trigger_kind or "manual"
    attempt = f", {ordinal(record.attempt)} attempt" if record.attempt and record.attempt > 1 else ""
    return f"{record.trigger_kind} of {short_id(record.parent_execution_id)}{attempt}"


def _paths(paths: list[str]) -> str:
    return ", ".join(paths[:8]) + (f" and {len(paths) - 8} more" if len(paths) > 8 else "")


def _print_decision(app: Application, decision: GovernanceDecision) -> None:
    from rich.text import Text

    app.print(f"\ngate: {decision.verdict.value} by the policy {safe(decision.policy_name)}")
    for rule in decision.rules:
        if rule.reason:
            evidence = f" ({one_line('; '.join(rule.evidence), 160)})" if rule.evidence else ""
            app.print(Text(f"  {rule.rule}: {one_line(rule.reason)}{evidence}"))


def _print_steps(app: Application, steps: list[StepRecord]) -> None:
    from rich.table import Table
    from rich.text import Text

    styles = {"completed": "green", "failed": "red", "running": "cyan"}
    icons = {"completed": "✓", "failed": "✗", "running": "●", "skipped": "○"}
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column()
    table.add_column()
    table.add_column(justify="right")
    table.add_column()
    for step in steps:
        table.add_row(
            Text(icons.get(step.status, "●"), style=styles.get(step.status, "dim")),
            Text(safe(step.step_name) + (" in a scratch copy" if step.in_scratch else "")),
            Text(duration(step.duration_seconds), style="dim"),
            Text(one_line(step.error_message or "", 160), style="red"),
        )
    app.print("")
    app.print(table)


# What checks left to say is among the last events; those of the files changed come before.
_REMARK_EVENTS: Final = 500


def _print_remarks(app: Application, events: list[EventRecord]) -> None:
    """What did not fail the execution and has to be known all the same."""
    for event in events:
        if event.event == EventType.HEALTH_WARNING:
            app.print(f"warning: {one_line(str(event.data.get('message')), 200)}", style="yellow")
        elif event.event == EventType.COMMAND_OUTPUT and event.data.get("report_error"):
            app.print(f"no report: {one_line(str(event.data['report_error']), 200)}", style="yellow")


def _print_next(
    app: Application, record: ExecutionRecord, *, kept: bool, undone: bool, approved: bool
) -> None:
    end = short_id(record.execution_id)
    if not kept:
        app.note(f"\nnext: executor events {end}   executor lineage {end}")
    elif record.verdict == Verdict.DENY:
        app.note(f"\nnext: executor diff {end}   executor dismiss {end} --reason WHY")
    elif record.error_step == StepName.CAPTURE:
        app.note(f"\nnext: executor logs {end}   executor retry {end} --rerun")
    elif record.status in (ExecutionStatus.FAILED, ExecutionStatus.ROLLED_BACK):
        app.note(f"\nnext: executor logs {end}   executor diff {end}   executor retry {end}")
    elif record.awaiting_approval and approved:
        app.note(
            f"\nnext: executor diff {end}   executor wait {end} --run   executor deny {end} --reason TEXT"
        )
    elif record.awaiting_approval:
        app.note(f"\nnext: executor diff {end}   executor approve {end}   executor deny {end} --reason TEXT")
    elif record.status == ExecutionStatus.COMPLETED and record.affected_paths and not undone:
        app.note(f"\nnext: executor diff {end}   executor lineage {end}   executor revert {end}")
    else:
        app.note(f"\nnext: executor diff {end}   executor lineage {end}")


def _refuse_dropped(app: Application, execution_id: str) -> None:
    """Raises PayloadDropped."""
    dropped = app.store.get_payload_dropped(execution_id)
    if dropped is not None:
        raise PayloadDropped(execution_id, dropped.timestamp)


@click.command()
@click.argument("execution", metavar="ID")
@all_workspaces_option
@json_option
@pass_application
def diff(app: Application, execution: str, all_workspaces: bool, as_json: bool) -> None:
    """What an execution changed or meant to change, as a git patch.

    \b
    Example: executor diff @last | git apply -R --check
    """
    from executor.changes.render import render_diff

    store = app.store
    execution_id = app.runtime.resolve(execution, all_workspaces=all_workspaces)
    changeset = store.get_changeset(execution_id)
    _refuse_dropped(app, execution_id)
    if changeset is None:
        raise ArtifactNotFound(execution_id, "changeset")
    patch = render_diff(
        changeset.changes,
        lambda digest: store.get_content(execution_id, digest),
        # What a program reads has to apply; nobody reads binary literals.
        binary=not as_json and not app.out.is_terminal,
    )
    if as_json:
        app.print_json(
            {
                "execution_id": execution_id,
                "changeset_id": changeset.changeset_id,
                "checksum": changeset.checksum,
                "files": [
                    {
                        "operation": change.operation.value,
                        "path": change.path,
                        "old_sha256": change.old_sha256,
                        "new_sha256": change.new_sha256,
                        "lines_added": change.lines_added,
                        "lines_removed": change.lines_removed,
                    }
                    for change in changeset.changes
                ],
                "diff": patch.decode("utf-8", "replace"),
            }
        )
        return
    if app.out.is_terminal:
        from rich.syntax import Syntax

        text = safe(patch.decode("utf-8", "replace"), keep="\n\t")
        app.print(Syntax(text, "diff", background_color="default", word_wrap=False))
    else:
        sys.stdout.buffer.write(patch)


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--step", type=int, help="Only the log of the step with this number.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last so many lines of each log.")
@click.option(
    "--follow", "-f", is_flag=True, help="Go on with what comes, until the execution has ended or waits."
)
@all_workspaces_option
@json_option
@pass_application
def logs(
    app: Application,
    execution: str,
    step: int | None,
    tail: int | None,
    follow: bool,
    all_workspaces: bool,
    as_json: bool,
) -> int:
    """What the checks of an execution printed.

    \b
    Example: executor logs @last-failed --tail 40
             executor logs @last --follow
    """
    if follow and as_json:
        raise click.UsageError("--follow prints text as it comes; --json is one object at the end")
    execution_id = app.runtime.resolve(execution, all_workspaces=all_workspaces)
    _refuse_dropped(app, execution_id)
    if follow:
        return _follow(app, execution_id, step, tail)
    artifacts = app.runtime.kept_artifacts(execution_id)
    steps = [
        s for s in app.store.get_execution_steps(execution_id) if s.log_ref and step in (None, s.step_num)
    ]
    texts: list[tuple[StepRecord, str | None]] = []
    for found in steps:
        try:
            text = artifacts.read(str(found.log_ref)).decode("utf-8", "replace")
        except ArtifactNotFound:
            texts.append((found, None))
            continue
        lines = text.splitlines()
        texts.append((found, "\n".join(lines[-tail:]) if tail else text.rstrip("\n")))
    failing = [
        test
        for test in app.store.list_test_results(execution_id)
        if test.failing and step in (None, test.step_num)
    ]
    if as_json:
        app.print_json(
            {
                "execution_id": execution_id,
                "logs": [
                    {"step_num": s.step_num, "step_name": s.step_name, "status": s.status, "text": text}
                    for s, text in texts
                ],
                "failing_tests": [test.to_dict() for test in failing],
            }
        )
        return ExitCode.DONE
    _print_failing(app, failing)
    if not texts:
        app.note("no check has printed anything" if step is None else f"step {step} has no log")
    for found, kept in texts:
        if len(texts) > 1:
            app.note(f"── step {found.step_num} {found.step_name}: {found.status}")
        if kept is None:
            app.note(
                f"the log of step {found.step_num} {found.step_name} is neither here nor in the database"
            )
        else:
            click.echo(safe(kept, keep="\n\t"))
            if found.status == StepStatus.FAILED:
                _note_withheld(app, found, kept)
    return ExitCode.DONE


# Names of variables that are shown; the event `command_output` has all.
_NAMES_SHOWN: Final = 12


def _note_withheld(app: Application, step: StepRecord, log: str) -> None:
    """Names variables that the check did not get, those first that its log speaks of."""
    events = app.store.list_events(step.execution_id, tail=_REMARK_EVENTS)
    told = [e for e in events if e.event == EventType.COMMAND_OUTPUT and e.data.get("log") == step.log_ref]
    names = told[-1].data.get("withheld") if told else None
    if not isinstance(names, list) or not names:
        return
    words = {*re.findall(r"\w+", log), *re.findall(r"\w+", str(told[-1].data.get("command")))}
    names = sorted(map(str, names), key=lambda name: name not in words)
    more = f" and {len(names) - _NAMES_SHOWN} more" if len(names) > _NAMES_SHOWN else ""
    app.note(
        f"the check did not see {safe(', '.join(names[:_NAMES_SHOWN]))}{more}; --env NAME lets it see one"
    )


def _follow(app: Application, execution_id: str, step: int | None, tail: int | None) -> int:
    from executor.cli.follow import follow

    try:
        record = follow(app, execution_id, step=step, tail=tail)
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
    app.note(f"{status_icon(record)} {status_word(record)}  {record.execution_id}")
    return ExitCode.DONE


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--after", type=click.IntRange(min=0), default=0, help="Only events with a higher seq.")
@click.option("--tail", type=click.IntRange(min=1), help="Only the last so many.")
@all_workspaces_option
@json_option
@pass_application
def events(
    app: Application, execution: str, after: int, tail: int | None, all_workspaces: bool, as_json: bool
) -> None:
    """What happened to an execution, event by event.

    \b
    Example: executor events @last --json
    """
    execution_id = app.runtime.resolve(execution, all_workspaces=all_workspaces)
    found = app.store.list_events(execution_id, after=after, tail=tail, limit=10_000)
    if as_json:
        app.print_json({"execution_id": execution_id, "events": [event.to_dict() for event in found]})
        return
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    room = max(20, app.out.width - 5 - 21 - 21)
    for name, width in (("SEQ", 3), ("TIME", 19), ("EVENT", 19), ("", room)):
        table.add_column(name, no_wrap=True, overflow="ellipsis", width=width)
    for event in found:
        details = ", ".join(f"{k}={v}" for k, v in event.data.items() if v not in (None, "", [], {}))
        table.add_row(
            str(event.seq),
            Text(local_time(event.timestamp), style="dim"),
            event.event,
            Text(one_line(details)),
        )
    app.print(table)


@click.command()
@filter_options
@json_option
@pass_application
def stats(app: Application, /, as_json: bool, **options: Any) -> None:
    """How many executions, how often they succeed, where they fail, how long they take.

    \b
    Example: executor stats --since 7d
    """
    found = app.store.get_statistics(_filter(app, options))
    if as_json:
        app.print_json(found.to_dict())
        return
    if not found.total:
        app.note("no executions to count")
        return
    rate = f", {found.success_rate:.0%} of the ended ones completed" if found.success_rate is not None else ""
    app.print(f"{plural(found.total, 'execution')}{rate}")
    for name, counts in (
        ("status", found.by_status),
        ("verdict", found.by_verdict),
        ("risk", found.by_risk_level),
        ("trigger", found.by_trigger_kind),
        ("failing step", found.failing_steps),
    ):
        if counts:
            ordered = sorted(counts.items(), key=lambda item: -item[1])
            shown = ", ".join(f"{safe(str(k).replace('_', ' '))} {v:,}" for k, v in ordered)
            app.print(f"  {name:<13}{shown}")
    if found.median_duration_seconds is not None:
        app.print(
            f"  {'duration':<13}median {duration(found.median_duration_seconds)}, "
            f"95th percentile {duration(found.p95_duration_seconds)}"
        )


@click.command()
@click.argument("execution", metavar="ID")
@click.option("--reason", help="Why this needs no attention any more.")
@click.option("--undo", is_flag=True, help="Put it back on the list.")
@pass_application
def dismiss(app: Application, execution: str, reason: str | None, undo: bool) -> None:
    """Take a failure off the list of what needs attention.

    \b
    Example: executor dismiss @last-failed --reason "the test server was down"
    """
    execution_id = app.runtime.resolve(execution)
    actor = app.runtime.actor
    if undo:
        app.store.undismiss(execution_id, reason, actor)
        app.note(f"{short_id(execution_id)} counts again as it did before")
        return
    if not reason:
        raise click.UsageError("say why: --reason TEXT")
    app.store.dismiss(execution_id, reason, actor)
    app.note(
        f"{short_id(execution_id)} is dismissed; executor dismiss --undo {short_id(execution_id)} takes it back"
    )
