"""What the documents show is what happens."""

import ast
import re
from pathlib import Path

import pytest

import examples

README = (examples.ROOT / "README.md").read_text()


@pytest.mark.parametrize("path", examples.DOCUMENTS, ids=lambda path: path.name)
def test_commands_print_what_the_document_shows(path: Path) -> None:
    """Every command of the document runs, and its output is the one in the document, ids and times aside."""
    written = path.read_text()

    assert "" == examples.difference(path, written, examples.renewed(written))


def test_the_python_usage_gives_what_its_comments_say(tmp_path: Path) -> None:
    """The example of the README runs as it stands there, and each commented expression has that value."""
    (code,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    names: dict[str, object] = {"workspace": tmp_path}
    shown = []
    for line in code.splitlines():
        expression, separator, value = line.partition("  # ")
        if separator:
            shown.append((ast.literal_eval(value), eval(expression.strip(), names)))
        else:
            exec(line, names)

    names["store"].close()  # type: ignore[attr-defined]

    assert 3 == len(shown)
    assert [expected for expected, _ in shown] == [actual for _, actual in shown]


def test_the_first_screen_has_install_commands_and_a_lineage() -> None:
    """Within the first screen a reader sees how to install it and three commands with their output."""
    first = README.split("\n## ")[0]
    visible = re.sub(r"<!--.*?-->", "", first, flags=re.DOTALL)

    assert "pip install executor-graph" in visible
    assert 3 == len(re.findall(r"^\$ executor ", visible, re.MULTILINE))
    assert len(visible.splitlines()) < 80


class TestExamples:
    """The runner behind the documents sees what it has to see."""

    def test_only_ids_and_times_are_masked(self) -> None:
        """Another id, time or duration is no difference; another word, order or relation is one."""
        one = "completed exec_0190a1b2c3d47e8f9a0b1c2d3e4f5a6b in 0.3 s\n└── 3e4f5a6b 2026-01-31T12:00:00Z\n"
        two = "completed exec_0290a1b2c3d47e8f9a0b1c2d3e4f5a77 in 12 s\n└── 3e4f5a77 2026-02-01T09:30:01Z\n"

        assert examples.mask(one) == examples.mask(two)
        assert examples.mask(one) != examples.mask(two.replace("── 3e4f5a77", "── 99999999"))
        assert examples.mask(one) != examples.mask(two.replace("completed", "failed"))

    def test_output_is_renewed_where_it_is_shown(self) -> None:
        """Shell state lasts from block to block; what is not to run does not."""
        document = (
            "<!-- run\nmkdir here && cd here\n-->\n```sh\nname=world\n```\n"
            "```console\n$ echo hello $name\nold\n$ basename $PWD\n```\n"
            "<!-- not run -->\n```sh\nfalse\n```\n"
        )
        wanted = document.replace("old\n", "hello world\n").replace("$PWD\n", "$PWD\nhere\n")

        assert wanted == examples.renewed(document)

    @pytest.mark.parametrize(
        "document",
        [
            "```sh\nfalse\n```\n",
            "<!-- run\nfalse\n-->\n",
            "```console\n$ no-such-command\n```\n",
            "```console\n$ executor run --no-such-option\n```\n",
            "```console\n$ exit 0\n```\n",
        ],
    )
    def test_a_command_that_does_not_work_is_an_error(self, document: str) -> None:
        """A document cannot show a command that is not there, or go on after a step that failed."""
        with pytest.raises(examples.ExampleFailed):
            examples.renewed(document)

    def test_a_failing_command_may_be_shown(self) -> None:
        """Output of a command that says no is worth showing."""
        assert "```console\n$ (echo no; exit 1)\nno\n```\n" == examples.renewed(
            "```console\n$ (echo no; exit 1)\n```\n"
        )
