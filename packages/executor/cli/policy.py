"""The policy of a workspace: `policy check`, `policy explain`, `policy test`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.exit_codes import ExitCode
from executor.cli.text import one_line, plural, safe, utc_now
from executor.errors import InvalidSettings, UnsafePath

if TYPE_CHECKING:
    from executor.governance.cases import CaseResult
    from executor.governance.explain import Explanation
    from executor.governance.policy import Policy

_STYLES = {"allow": "green", "need_approval": "magenta", "deny": "red"}


@click.group()
def policy() -> None:
    """What is asked of every change: read .executor/policy.yaml, explain it, test it.

    Without that file the built-in policy holds; executor init writes one that says the same.

    \b
    Example: executor policy explain Makefile src/app.py
    """


@policy.command()
@click.argument("file", required=False, type=click.Path(path_type=Path))
@json_option
@pass_application
def check(app: Application, file: Path | None, as_json: bool) -> None:
    """Read a policy for mistakes; the workspace's own when no FILE is named.

    A mistake is named with its line, and the exit code is 2. A policy with a mistake lets nothing pass.

    \b
    Example: executor policy check
             executor policy check proposed-policy.yaml
    """
    found = _policy(app, file)
    if as_json:
        import msgspec

        app.print_json({"policy": msgspec.to_builtins(found), "policy_hash": found.digest})
        return
    app.print(f"{safe(found.name)} is in order")
    for line in _summary(found):
        app.print(f"  {line}")
    app.print(f"  hash {found.digest}")


@policy.command()
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--policy", "file", type=click.Path(path_type=Path), help="Ask this policy file instead.")
@json_option
@pass_application
def explain(app: Application, paths: tuple[str, ...], file: Path | None, as_json: bool) -> None:
    """Which rule says what about a path, whether there is such a file or not.

    PATH is relative to the workspace, and a file. The first word is what a small, verified manual change of it gets.

    \b
    Example: executor policy explain Makefile .github/workflows/ci.yml src/app.py
    """
    from executor.governance.explain import explain_path

    rules = _policy(app, file)
    found = [explain_path(rules, _within(app, path)) for path in paths]
    if as_json:
        import msgspec

        app.print_json({"policy": rules.name, "paths": msgspec.to_builtins(found)})
        return
    for explanation in found:
        _print_explanation(app, explanation)


@policy.command()
@click.argument("fixtures", type=click.Path(path_type=Path))
@click.option("--policy", "file", type=click.Path(path_type=Path), help="Test this policy file instead.")
@json_option
@pass_application
def test(app: Application, fixtures: Path, file: Path | None, as_json: bool) -> int:
    """Try a policy on cases: changes as they could come, and the verdict each should get.

    FIXTURES is a YAML file; executor schema policy-cases describes it. Exit code 1 when a case fails.

    \b
    Example: executor policy test policy-cases.yaml
    where policy-cases.yaml holds:
      cases:
        - paths: [src/app.py]
          expect: allow
        - name: agents do not touch the pipeline
          trigger: agent
          paths: [.github/workflows/ci.yml]
          expect: need_approval
        - changes:
            - path: src/app.py
              added: ["TOKEN = 'ghp_0123456789abcdefghij0123'"]
          expect: need_approval
          rules: [secrets]
    """
    from executor.governance.cases import read_cases, try_cases

    rules = _policy(app, file)
    results = list(try_cases(rules, read_cases(_read(fixtures), str(fixtures)), now=utc_now()))
    failed = [result for result in results if not result.passed]
    if as_json:
        app.print_json(
            {"policy": rules.name, "failed": len(failed), "cases": [_case(result) for result in results]}
        )
    else:
        for result in results:
            _print_case(app, result)
        app.print(f"{plural(len(results), 'case')}, {len(failed)} failed")
    return ExitCode.FAILED if failed else ExitCode.DONE


def _within(app: Application, path: str) -> str:
    """A path as changes name it: relative to the workspace, in its one spelling. Raises UnsafePath."""
    from executor.changes.paths import canonical_path

    relative = path.removeprefix(f"{app.root}/").removeprefix("./")
    found = canonical_path(relative.removesuffix("/"))
    # Of a path that is too long for this system, it is enough to know that it is no directory here.
    if relative.endswith("/") or os.path.isdir(app.root / found):  # noqa: PTH112
        raise UnsafePath(path, "it is a directory; name a file in it")
    return found


def _policy(app: Application, file: Path | None) -> Policy:
    if file is None:
        from executor.host.settings import load_policy

        return load_policy(app.root)
    from executor.governance.policy_file import read_policy

    return read_policy(_read(file), str(file))


def _read(file: Path) -> bytes:
    try:
        return file.read_bytes()
    except OSError as cause:
        raise InvalidSettings(f"{file} cannot be read: {cause.strerror}") from cause


def _summary(rules: Policy) -> list[str]:
    limits = rules.limits
    bounds = [
        f"{value:,} {name}"
        for name, value in (("files", limits.files), ("lines", limits.lines), ("bytes", limits.bytes))
        if value is not None
    ]
    own = ", ".join(kind.value for kind in rules.approvals.own) or "nobody's"
    lines = [
        f"forbids {plural(len(rules.forbid.patterns), 'pattern')}, "
        f"asks a person for {plural(len(rules.require_approval.patterns), 'pattern')}",
        f"asks a person beyond {', '.join(bounds)}" if bounds else "has no limits",
        "code needs a check" if rules.require_verification else "code needs no check",
        f"secrets in added lines: {rules.secrets.outcome.value.replace('_', ' ')}",
        f"a check that changes files: {rules.drift.value}",
        f"own changes that may be approved: {own}, for {rules.approvals.hours:g} hours",
    ]
    if rules.require_checks:
        lines.append(f"requires {plural(sum(len(r.checks) for r in rules.require_checks), 'check')} by path")
    if rules.triggers:
        lines.append(f"has more rules for {', '.join(kind.value for kind, _ in rules.triggers)}")
    return lines


def _print_explanation(app: Application, explanation: Explanation) -> None:
    from rich.text import Text

    verdict = explanation.verdict.value
    app.print(
        Text.assemble(
            (one_line(explanation.path), "bold"), ": ", (verdict.replace("_", " "), _STYLES[verdict])
        )
    )
    for rule in explanation.rules:
        kind = f"{rule.trigger_kind.value}: " if rule.trigger_kind is not None else ""
        pattern = f"  ({one_line(rule.pattern)})" if rule.pattern is not None else ""
        app.print(f"  {rule.rule:<16} {kind}{one_line(rule.sentence)}{pattern}")


def _case(result: CaseResult) -> dict[str, Any]:
    return {
        "name": result.title,
        "passed": result.passed,
        "expected": result.case.expect.value,
        "verdict": result.decision.verdict.value,
        "rules": list(result.objecting),
    }


def _print_case(app: Application, result: CaseResult) -> None:
    verdict = result.decision.verdict.value.replace("_", " ")
    if result.passed:
        app.print(f"✓ {one_line(result.title)}: {verdict}", style="green")
        return
    expected = result.case.expect.value.replace("_", " ")
    if result.case.rules is not None:
        expected += f" by {', '.join(result.case.rules) or 'no rule'}"
    by = f" by {', '.join(result.objecting)}" if result.objecting else ""
    app.print(f"✗ {one_line(result.title)}: expected {expected}, got {verdict}{by}", style="red")
    for rule in result.decision.rules:
        if rule.reason:
            app.print(f"    {rule.rule}: {rule.reason} ({one_line('; '.join(rule.evidence))})")
