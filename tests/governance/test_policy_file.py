"""`policy.yaml`: what it can say, and what it refuses with the line of the mistake."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from executor.errors import InvalidPolicy
from executor.governance.cases import cases_schema
from executor.governance.policy import BUILT_IN, DECIDES_WHAT_RUNS, Policy
from executor.governance.policy_file import PolicyFile, default_policy_text, policy_schema, read_policy
from executor.host.settings import load_policy, write_defaults
from executor.models.decision import RuleOutcome
from executor.models.execution import TriggerKind
from executor.models.plan import DriftRule


def read(text: str) -> Policy:
    return read_policy(text.encode(), "policy.yaml")


def test_the_default_file_says_what_the_built_in_policy_says() -> None:
    assert BUILT_IN.digest == read(default_policy_text()).digest


def test_every_key_that_is_left_out_keeps_its_default() -> None:
    assert BUILT_IN.digest == read("version: 1\n").digest


def test_the_default_file_names_every_key() -> None:
    commented = default_policy_text()

    assert [name for name in PolicyFile.__struct_fields__ if f"\n{name}:" not in commented] == []
    assert [kind.value for kind in TriggerKind if kind.value not in commented] == []


def test_everything_a_policy_can_say_is_read() -> None:
    policy = read("""
version: 1
forbid: ["/vendor/"]
require_approval: ["/deploy/", "!Makefile"]
require_checks:
  - paths: ["/migrations/"]
    checks: ["pytest -q tests/migrations"]
require_verification: false
limits: {files: 7, lines: null}
secrets:
  built_in: false
  patterns: {internal: 'int_[0-9]{4}'}
  ignore: ["/fixtures/"]
  outcome: deny
triggers:
  agent: {outcome: need_approval, forbid: ["/legal/"], require_approval: ["/billing/"], limits: {files: 2}}
drift: warn
approvals: {own: [], hours: 1.5}
""")

    assert policy.name == "policy.yaml"
    assert policy.forbid.patterns == ("/vendor/",)
    assert policy.require_approval.match("deploy/a.py") == "/deploy/"
    assert policy.require_approval.match("sub/Makefile") is None
    assert policy.require_approval.match("conftest.py") == "conftest.py"
    assert policy.checks_for(["a.py", "migrations/1.py"]) == ("pytest -q tests/migrations",)
    assert policy.require_verification is False
    assert (policy.limits.files, policy.limits.lines, policy.limits.bytes) == (7, None, 5_000_000)
    assert policy.secrets.patterns == (("internal", "int_[0-9]{4}"),)
    assert (policy.secrets.built_in, policy.secrets.outcome) == (False, RuleOutcome.DENY)
    ((kind, rules),) = policy.triggers
    assert (kind, rules.outcome) == (TriggerKind.AGENT, RuleOutcome.NEED_APPROVAL)
    assert (rules.limits.files, rules.limits.lines) == (2, None)
    assert policy.drift is DriftRule.WARN
    assert (policy.approvals.own, policy.approvals.hours) == ((), 1.5)


@pytest.mark.parametrize(
    ("said", "asking", "forbidding"),
    [("need_approval", True, False), ("deny", False, True), ("allow", False, False)],
)
def test_the_built_in_list_stays_unless_it_is_switched_off(said: str, asking: bool, forbidding: bool) -> None:
    policy = read(f"version: 1\nrequire_approval: [/mine]\ndecides_what_runs: {said}\n")

    assert (policy.require_approval.match("conftest.py") is not None) is asking
    assert (policy.forbid.match("conftest.py") is not None) is forbidding
    assert policy.require_approval.match("mine") == "/mine"


@pytest.mark.parametrize(
    ("text", "line", "reason"),
    [
        ("", None, "empty"),
        ("# only a comment\n", None, "empty"),
        ("forbid: []", 1, "missing key version"),
        ("version: 2", 1, "version"),
        ("[]", 1, "expected keys with values, got a list"),
        ("version: 1\nfrobid: []", 2, "unknown key 'frobid'"),
        ("version: 1\nlimits:\n  files: 1\n  fiels: 2", 4, "unknown key 'fiels'"),
        ("version: 1\nforbid: /vendor/", 2, "expected a list, got text"),
        ("version: 1\nforbid:\n", 2, "expected a list, got nothing"),
        ("version: 1\nforbid:\n  - 'a'\n  - ''", 4, "not empty"),
        ("version: 1\nforbid:\n  - 'a'\n  - 7", 4, "expected text, got a whole number"),
        ("version: 1\nforbid:\n  - '['", 3, "matches nothing"),
        ("version: 1\nforbid: ['#x']", 2, "is a comment"),
        ("version: 1\nforbid: ['../x']", 2, "inside the workspace"),
        ("version: 1\nforbid: ['!']", 2, "names no path"),
        ("version: 1\nforbid: ['a ']", 2, "space"),
        ("version: 1\nforbid:\n  - *.pem", 3, "put the pattern in quotes"),
        ("version: 1\nforbid:\n  - !keep", 3, "put a pattern in quotes"),
        ("version: 1\nforbid: &a ['x']\nrequire_approval: *a", 2, "anchor"),
        ("version: 1\nlimits:\n  files: -1", 3, ">= 0"),
        ("version: 1\nrequire_verification: yes", 2, "expected true or false"),
        ("version: 1\ntriggers:\n  robot: {}", 3, "unknown key 'robot'"),
        ("version: 1\ntriggers:\n  agent:\n    outcome: allow", 4, "'allow'"),
        ("version: 1\napprovals:\n  own: [manual,\n    robot]", 4, "'robot'"),
        ("version: 1\napprovals: {hours: 0}", 2, "> 0"),
        ("version: 1\ndrift: maybe", 2, "'maybe'"),
        ("version: 1\nsecrets:\n  patterns:\n    x: '('", 4, "regular expression"),
        ("version: 1\nsecrets:\n  patterns:\n    x: 'a*'", 4, "every line"),
        ("version: 1\nrequire_checks:\n  - paths: [a]\n    checks: ['a | b']", 4, "shell operator"),
        ("version: 1\nrequire_checks:\n  - paths: [a]", 3, "missing key checks"),
        ("version: 1\nversion: 1", 2, "given twice"),
        ("version: 1\n---\nversion: 1", 2, "second document"),
        ("version: 1\nforbid: [a", 2, "expected"),
        ("version: 1\nforbid: \x01", 2, "U+0001"),
        ("[" * 100_000, 1, "nested deeper"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_its_line(text: str, line: int | None, reason: str) -> None:
    with pytest.raises(InvalidPolicy) as caught:
        read(text)

    assert (line, True) == (caught.value.line, reason in caught.value.reason), str(caught.value)


def test_bytes_that_are_no_text_are_refused_with_their_line() -> None:
    with pytest.raises(InvalidPolicy, match=r"policy\.yaml:2: .*UTF-8"):
        read_policy(b"version: 1\n\xff", "policy.yaml")


# Pieces of policies, so that some of what comes out nearly is one.
pieces = st.sampled_from(
    ["version: 1\n", "forbid:", " [", "]", "- ", "'a'", "limits:\n  files: ", "3", "!", "*", "&x ", "\n", "  ", "{",
     "}", ": ", "null", "triggers:\n  agent: ", "outcome: deny", "---\n", "'", '"', "é", "\t", "#", "|\n", ","]
)  # fmt: skip


@given(st.lists(pieces, max_size=20).map("".join) | st.text(max_size=60))
def test_whatever_stands_in_a_file_it_is_a_policy_or_refused(text: str) -> None:
    line: int | None = 1
    try:
        policy = read_policy(text.encode("utf-8", "surrogatepass"), "p")
    except InvalidPolicy as refused:
        line = refused.line
    else:
        assert set(DECIDES_WHAT_RUNS) <= {*policy.require_approval.patterns}

    assert line is None or 1 <= line <= max(1, len(text.splitlines()))


def test_the_schemas_are_json_and_name_every_key() -> None:
    schema = json.loads(json.dumps(policy_schema()))

    assert set(PolicyFile.__struct_fields__) == set(schema["$defs"]["PolicyFile"]["properties"])
    assert schema["$defs"]["PolicyFile"]["additionalProperties"] is False
    assert json.dumps(cases_schema())


def test_a_workspace_without_a_file_has_the_built_in_policy(tmp_path: Path) -> None:
    assert load_policy(tmp_path) is BUILT_IN


def test_defaults_are_written_where_they_are_missing_and_never_over_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / ".executor"
    folder.mkdir()
    (folder / "config.toml").write_text("mine")

    assert write_defaults(tmp_path) == [folder / "policy.yaml"]
    assert write_defaults(tmp_path) == []
    assert (folder / "config.toml").read_text() == "mine"
    assert load_policy(tmp_path).name == ".executor/policy.yaml"
    assert sorted(path.name for path in folder.iterdir()) == [".gitignore", "config.toml", "policy.yaml"]


def test_a_file_that_cannot_be_read_is_not_taken_for_none(tmp_path: Path) -> None:
    file = tmp_path / ".executor" / "policy.yaml"
    file.mkdir(parents=True)

    with pytest.raises(InvalidPolicy, match="cannot be read"):
        load_policy(tmp_path)
    file.rmdir()
    file.symlink_to("nowhere")
    with pytest.raises(InvalidPolicy, match="nowhere"):
        load_policy(tmp_path)


def test_the_examples_in_the_comments_can_be_put_in_place() -> None:
    """Each commented block replaces the line above it, each commented value the one before it."""
    text = default_policy_text()
    blocks = re.sub(r"^(\w+): (?:\[\]|\{\})\n((?:# .*\n)+)", r"\2", text, flags=re.MULTILINE)
    blocks = re.sub(r"^# (\w+:| +\S.*)$", r"\1", blocks, flags=re.MULTILINE)
    values = re.sub(r"(?:\[\]|\{\})( +# (?:.*: )?)([\[{].*[\]}])$", r"\2", blocks, flags=re.MULTILINE)

    policy = read(values)

    assert policy.forbid.match("vendor/a")
    assert policy.forbid.match("a.min.js")
    assert policy.require_approval.match("deploy/a")
    assert policy.require_approval.match("a.sql")
    assert policy.checks_for(["migrations/1"]) == ("pytest -q tests/migrations",)
    assert [name for name, _ in policy.secrets.patterns] == ["internal-token"]
    assert policy.secrets.ignore.match("tests/fixtures/a")
    assert [kind for kind, _ in policy.triggers] == [TriggerKind.AGENT, TriggerKind.SCHEDULED]
