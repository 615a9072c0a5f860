"""A captured change that waits for a person goes on after the step that captured it."""

from __future__ import annotations

from pathlib import Path

from support.command import VERIFY, Repository
from support.terminal import Terminal


def test_a_captured_change_that_a_person_approves_keeps_its_first_step(tmp_path: Path) -> None:
    repository = Repository.calculator(tmp_path / "repository")
    result = repository.run("run", "--verify", VERIFY, "--", "sh", "-c", "printf 'all:\\n' > Makefile")
    assert result.code == 3, result.err
    assert not (repository.root / "Makefile").exists()

    approved = Terminal(repository).run("approve", "@last")

    assert approved.code == 0, approved.err
    assert (repository.root / "Makefile").read_text() == "all:\n"
    shown = repository.run("show", "@last", "--json").json
    assert [(step["step_num"], step["step_name"]) for step in shown["steps"]] == [
        *((1, "capture"), (2, "validate"), (3, "backup"), (4, "apply"), (5, "verify"))
    ]
