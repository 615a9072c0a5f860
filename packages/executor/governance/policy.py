"""The policy: which paths and sizes are forbidden, need a person, or need a check."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

import msgspec

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
        if not self.patterns:
            return None
        found = self._spec.check_file(path.lower())
        return self.patterns[found.index] if found.include and found.index is not None else None


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """Beyond these a person decides."""

    files: int = 100
    lines: int = 5_000
    bytes: int = 5_000_000


class Policy(msgspec.Struct, frozen=True, kw_only=True):
    """`name` is `built-in` or the path of the file; `digest` identifies the exact rules."""

    name: str
    forbid: PathRules = PathRules()
    require_approval: PathRules = PathRules()
    limits: Limits = Limits()
    require_verification: bool = True

    @property
    def digest(self) -> str:
        """SHA-256 over the rules (the name aside)."""
        return hashlib.sha256(msgspec.json.encode(msgspec.structs.replace(self, name=""))).hexdigest()


# Files that decide what runs, here or elsewhere: changing one is more than changing code.
_DECIDES_WHAT_RUNS: Final = (
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

BUILT_IN: Final = Policy(name="built-in", require_approval=PathRules(patterns=_DECIDES_WHAT_RUNS))
