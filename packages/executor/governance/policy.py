"""The policy: which paths and sizes are forbidden, need a person, or need a check."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

from executor.models.decision import RuleOutcome
from executor.models.execution import TriggerKind
from executor.models.plan import DriftRule

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec


class PathRules(msgspec.Struct, frozen=True, kw_only=True, dict=True):
    """Patterns in the manner of gitignore, in order; a later `!pattern` takes back an earlier one."""

    patterns: tuple[str, ...] = ()

    @cached_property
    def _spec(self) -> GitIgnoreSpec:
        from pathspec import GitIgnoreSpec

        # Letter case must not be a way around a rule, so patterns and paths are compared in lower case.
        return GitIgnoreSpec.from_lines([pattern.lower() for pattern in self.patterns])

    def match(self, path: str) -> str | None:
        """The pattern that decides about `path`, None when it is not meant."""
        found = self.decide(path)
        return found[1] if found is not None and found[0] else None

    def decide(self, path: str) -> tuple[bool, str] | None:
        """Whether `path` is meant and the pattern that says so, `!pattern` for one that takes it back.

        None when no pattern says anything.
        """
        if not self.patterns:
            return None
        found = self._spec.check_file(path.lower())
        if found.include is None or found.index is None:
            return None
        return found.include, self.patterns[found.index]


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Beyond these a person decides. None is no limit."""

    files: int | None = 100
    lines: int | None = 5_000
    bytes: int | None = 5_000_000


NO_LIMITS: Final = Limits(files=None, lines=None, bytes=None)


class RequiredChecks(msgspec.Struct, frozen=True, kw_only=True):
    """Checks, by their command lines, that belong to every change of these paths."""

    paths: PathRules
    checks: tuple[str, ...]


class SecretRules(msgspec.Struct, frozen=True, kw_only=True):
    """What must not stand in added lines. `patterns` are names and regular expressions."""

    built_in: bool = True
    patterns: tuple[tuple[str, str], ...] = ()
    ignore: PathRules = PathRules()
    outcome: RuleOutcome = RuleOutcome.NEED_APPROVAL


class TriggerRules(msgspec.Struct, frozen=True, kw_only=True):
    """What holds in addition for one trigger kind. `outcome` is that of every such change."""

    outcome: RuleOutcome = RuleOutcome.PASS
    forbid: PathRules = PathRules()
    require_approval: PathRules = PathRules()
    limits: Limits = NO_LIMITS


class ApprovalRules(msgspec.Struct, frozen=True, kw_only=True):
    """`own` are the trigger kinds whose changes the account that proposed them may approve."""

    own: tuple[TriggerKind, ...] = (TriggerKind.MANUAL, TriggerKind.AGENT)
    hours: float = 24.0


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is `built-in` or the path of the file; `digest` identifies the exact rules.

    `triggers` holds each trigger kind once, in alphabetical order.
    """

    name: str
    forbid: PathRules = PathRules()
    require_approval: PathRules = PathRules()
    require_checks: tuple[RequiredChecks, ...] = ()
    limits: Limits = Limits()
    require_verification: bool = True
    secrets: SecretRules = SecretRules()
    triggers: tuple[tuple[TriggerKind, TriggerRules], ...] = ()
    drift: DriftRule = DriftRule.FAIL
    approvals: ApprovalRules = ApprovalRules()

    @property
    def digest(self) -> str:
        """SHA-256 over the rules (the name aside)."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, name=""))).hexdigest()

    def checks_for(self, paths: Iterable[str]) -> tuple[str, ...]:
        """The command lines of the checks required for any of these paths, each once."""
        paths = list(paths)
        wanted = (
            command
            for rule in self.require_checks
            if any(rule.paths.match(path) is not None for path in paths)
            for command in rule.checks
        )
        return tuple(dict.fromkeys(wanted))

    def rules_for(self, kinds: Iterable[TriggerKind]) -> list[tuple[TriggerKind, TriggerRules]]:
        """The additional rules of these trigger kinds."""
        asked = set(kinds)
        return [(kind, rules) for kind, rules in self.triggers if kind in asked]


# Files that decide what runs, here or elsewhere: changing one is more than changing code.
DECIDES_WHAT_RUNS: Final = (
    # continuous integration
    "/.github/",
    "/.gitlab-ci.yml",
    ".gitlab-ci.yml",
    "/.gitlab/",
    "/.circleci/",
    "/.buildkite/",
    "/.ci/",
    "Jenkinsfile",
    "Jenkinsfile.*",
    "azure-pipelines*.yml",
    "bitbucket-pipelines.yml",
    ".travis.yml",
    ".drone.yml",
    "appveyor.yml",
    # git itself
    ".gitattributes",
    ".gitmodules",
    ".githooks/",
    ".husky/",
    ".pre-commit-config.yaml",
    "lefthook.yml",
    # loaded by interpreters and test runners by name
    "conftest.py",
    "sitecustomize.py",
    "usercustomize.py",
    "*.pth",
    "pytest.ini",
    "tox.ini",
    "noxfile.py",
    "setup.py",
    "setup.cfg",
    "pyproject.toml",
    # build and packages
    "Makefile",
    "GNUmakefile",
    "*.mk",
    "CMakeLists.txt",
    "*.cmake",
    "meson.build",
    "BUILD",
    "BUILD.bazel",
    "WORKSPACE",
    "build.gradle*",
    "settings.gradle*",
    "pom.xml",
    "build.rs",
    "package.json",
    ".npmrc",
    ".yarnrc*",
    "Rakefile",
    "justfile",
    "Taskfile.y*ml",
    # containers and deployment
    "Dockerfile",
    "Dockerfile.*",
    "*.dockerfile",
    "Containerfile",
    "Containerfile.*",
    "docker-compose*.y*ml",
    "compose.y*ml",
    ".dockerignore",
    "Procfile",
    # environments and editors
    ".env*",
    ".envrc",
    ".vscode/",
    ".idea/",
    ".devcontainer/",
    # instructions that agents act on
    "AGENTS.md",
    "CLAUDE.md",
    ".cursorrules",
    ".cursor/",
    ".claude/",
    ".mcp.json",
    "copilot-instructions.md",
)

BUILT_IN: Final = Policy(name="built-in", require_approval=PathRules(patterns=DECIDES_WHAT_RUNS))
