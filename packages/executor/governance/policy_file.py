"""`policy.yaml`: from text to a policy, or to an error that names the line."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from executor.errors import InvalidPolicy, InvalidSettings
from executor.governance.document import Document, Place
from executor.governance.policy import (
    BUILT_IN,
    DECIDES_WHAT_RUNS,
    NO_LIMITS,
    ApprovalRules,
    Limits,
    PathRules,
    Policy,
    RequiredChecks,
    SecretRules,
    TriggerRules,
)
from executor.models.command_line import split_command
from executor.models.decision import RuleOutcome
from executor.models.execution import TriggerKind
from executor.models.plan import DriftRule

_HOURS_MAX: Final = 24 * 365

_Patterns = Annotated[
    tuple[Annotated[str, Meta(min_length=1)], ...],
    Meta(description="Patterns in the manner of .gitignore; a later !pattern takes back an earlier one."),
]
_Limit = Annotated[int, Meta(ge=0)]
_Tightening = Annotated[
    Literal["need_approval", "deny"],
    Meta(description="What the gate says: a person decides, or it is refused."),
]


class _Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    pass


class LimitsSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Beyond these a person decides; null is no limit."""

    files: Annotated[_Limit | UnsetType | None, Meta(description="Changed files.")] = UNSET
    lines: Annotated[_Limit | UnsetType | None, Meta(description="Lines added and removed.")] = UNSET
    bytes: Annotated[_Limit | UnsetType | None, Meta(description="Bytes of the files as they will be.")] = (
        UNSET
    )


class RequiredChecksSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Checks that belong to every change of these paths."""

    paths: Annotated[_Patterns, Meta(min_length=1)]
    checks: Annotated[
        tuple[str, ...], Meta(min_length=1, description="Command lines as for --verify; no shell runs them.")
    ]


class SecretsSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Secrets in added lines."""

    built_in: Annotated[bool, Meta(description="Look for tokens and keys of well-known kinds.")] = True
    patterns: Annotated[
        dict[str, str], Meta(description="A name and a regular expression for each; matched line by line.")
    ] = {}
    ignore: _Patterns = ()
    outcome: _Tightening = "need_approval"


class TriggerSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What holds in addition for changes of one trigger kind."""

    outcome: _Tightening | UnsetType = UNSET
    forbid: _Patterns = ()
    require_approval: _Patterns = ()
    limits: LimitsSection = LimitsSection()


class TriggersSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Additional rules by trigger kind."""

    manual: TriggerSection | UnsetType = UNSET
    agent: TriggerSection | UnsetType = UNSET
    retry: TriggerSection | UnsetType = UNSET
    repair: TriggerSection | UnsetType = UNSET
    child: TriggerSection | UnsetType = UNSET
    scheduled: TriggerSection | UnsetType = UNSET


class ApprovalsSection(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Who may approve, and for how long."""

    own: Annotated[
        tuple[TriggerKind, ...],
        Meta(description="Trigger kinds whose changes the account that proposed them may approve."),
    ] = BUILT_IN.approvals.own
    hours: Annotated[
        float, Meta(gt=0, le=_HOURS_MAX, description="How long an approval holds for attempts of its change.")
    ] = BUILT_IN.approvals.hours


class PolicyFile(_Section, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What Executor asks of every change to a workspace."""

    version: Annotated[Literal[1], Meta(description="The version of this format.")]
    forbid: Annotated[_Patterns, Meta(description="Paths that are never changed.")] = ()
    require_approval: Annotated[
        _Patterns, Meta(description="Paths that are changed when a person approves.")
    ] = ()
    decides_what_runs: Annotated[
        Literal["need_approval", "deny", "allow"],
        Meta(
            description="What the built-in list of files that decide what runs means; allow switches it off."
        ),
    ] = "need_approval"
    require_checks: tuple[RequiredChecksSection, ...] = ()
    require_verification: Annotated[bool, Meta(description="Code that nothing verifies needs a person.")] = (
        True
    )
    limits: LimitsSection = LimitsSection()
    secrets: SecretsSection = SecretsSection()
    triggers: TriggersSection = TriggersSection()
    drift: Annotated[
        DriftRule, Meta(description="When a check changes files that were there before it: fail, or warn.")
    ] = DriftRule.FAIL
    approvals: ApprovalsSection = ApprovalsSection()


def default_policy_text() -> str:
    """What `executor init` writes: the built-in policy, with a comment for everything it could say."""
    return Path(__file__).with_name("default_policy.yaml").read_text("utf-8")


def policy_schema() -> dict[str, Any]:
    """The JSON Schema of a policy file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Executor policy",
        **msgspec.json.schema(PolicyFile),
    }


def read_policy(data: bytes, source: str) -> Policy:
    """The policy that `data` spells out; `source` becomes its name. Raises InvalidPolicy naming the line."""
    document = Document(data, source)
    file = document.convert(PolicyFile)
    listed = {"need_approval": DECIDES_WHAT_RUNS, "deny": (), "allow": ()}[file.decides_what_runs]
    forbidden = DECIDES_WHAT_RUNS if file.decides_what_runs == "deny" else ()
    _check_regular_expressions(document, file.secrets)
    return Policy(
        name=source,
        forbid=_paths(document, ("forbid",), file.forbid, before=forbidden),
        require_approval=_paths(document, ("require_approval",), file.require_approval, before=listed),
        require_checks=tuple(
            _required(document, ("require_checks", index), section)
            for index, section in enumerate(file.require_checks)
        ),
        limits=_limits(file.limits, BUILT_IN.limits),
        require_verification=file.require_verification,
        secrets=SecretRules(
            built_in=file.secrets.built_in,
            patterns=tuple(file.secrets.patterns.items()),
            ignore=_paths(document, ("secrets", "ignore"), file.secrets.ignore),
            outcome=RuleOutcome(file.secrets.outcome),
        ),
        triggers=tuple(_triggers(document, file.triggers)),
        drift=file.drift,
        approvals=ApprovalRules(own=file.approvals.own, hours=file.approvals.hours),
    )


def _triggers(document: Document, sections: TriggersSection) -> list[tuple[TriggerKind, TriggerRules]]:
    found = []
    for kind in sorted(TriggerKind):
        section = getattr(sections, kind.value)
        if section is UNSET:
            continue
        place = ("triggers", kind.value)
        rules = TriggerRules(
            outcome=RuleOutcome.PASS if section.outcome is UNSET else RuleOutcome(section.outcome),
            forbid=_paths(document, (*place, "forbid"), section.forbid),
            require_approval=_paths(document, (*place, "require_approval"), section.require_approval),
            limits=_limits(section.limits, NO_LIMITS),
        )
        found.append((kind, rules))
    return found


def _required(document: Document, place: Place, section: RequiredChecksSection) -> RequiredChecks:
    for index, command in enumerate(section.checks):
        try:
            split_command(command)
        except InvalidSettings as cause:
            raise document.error(str(cause), (*place, "checks", index)) from cause
    return RequiredChecks(paths=_paths(document, (*place, "paths"), section.paths), checks=section.checks)


def _limits(section: LimitsSection, default: Limits) -> Limits:
    return Limits(
        files=default.files if section.files is UNSET else section.files,
        lines=default.lines if section.lines is UNSET else section.lines,
        bytes=default.bytes if section.bytes is UNSET else section.bytes,
    )


def _paths(
    document: Document, place: Place, patterns: tuple[str, ...], *, before: tuple[str, ...] = ()
) -> PathRules:
    for index, pattern in enumerate(patterns):
        fault = _fault(pattern)
        if fault is not None:
            raise document.error(f"the pattern {pattern!r} {fault}", (*place, index))
    return PathRules(patterns=(*before, *patterns))


def _fault(pattern: str) -> str | None:
    """Why a pattern cannot be meant: each of these would silently match nothing, or not what it says."""
    from pathspec import GitIgnoreSpec

    if not pattern.strip() or pattern.strip() in ("!", "/", "!/"):
        return "names no path"
    if pattern != pattern.strip():
        return "begins or ends with a space"
    if pattern.startswith("#"):
        return "is a comment; write \\# for a name that begins with #"
    if not pattern.isprintable():
        return "holds a control character"
    if pattern.removeprefix("!").startswith(("./", "../")) or "/../" in pattern:
        return "is no path inside the workspace; begin with / for its root"
    try:
        spec = GitIgnoreSpec.from_lines([pattern.lower()])
    except ValueError as cause:
        return f"cannot be read: {cause}"
    return None if len(spec) == 1 and spec.patterns[0].include is not None else "matches nothing"


def _check_regular_expressions(document: Document, section: SecretsSection) -> None:
    for name, text in section.patterns.items():
        place = ("secrets", "patterns", name)
        if not name.strip() or not name.isprintable():
            raise document.error(f"{name!r} is no name for a pattern", place)
        try:
            pattern = re.compile(text)
        except (re.error, RecursionError, OverflowError) as cause:
            raise document.error(f"{name}: the regular expression cannot be read: {cause}", place) from cause
        if pattern.search("") is not None:
            raise document.error(f"{name}: the regular expression matches every line", place)


__all__ = ["InvalidPolicy", "default_policy_text", "policy_schema", "read_policy"]
