"""Makes docs/commands.md from the help texts; `--check` only says whether it is current."""

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import click

from executor.cli import COMMANDS, cli

PAGE = Path(__file__).resolve().parent.parent / "docs" / "commands.md"
WIDTH = 100

HEAD = """\
# Commands

Made from the help texts by `make generate`. Every reading command takes `--json` and then prints one object
with a `version`. An id may be shortened to any unique beginning or end; `@last` and `@last-failed` stand for
the newest execution and the newest that failed or was rolled back, in this workspace.

| Exit code | Meaning |
|---|---|
| 0 | done |
| 1 | failed, and rolled back cleanly |
| 2 | usage: an option, a patch, an id that cannot be used |
| 3 | needs approval |
| 4 | denied by the gate |
| 5 | failed, and the rollback is incomplete: the record names each path |
| 6 | not found |
| 7 | conflict: the workspace is in use, or no longer what the change was made for |
| 69 | the database is unavailable |
| 75 | busy: try again |
| 130 | interrupted, and rolled back |

"""


def page() -> str:
    context = click.Context(cli, info_name="executor", terminal_width=WIDTH, max_content_width=WIDTH)
    sections = [_section(cli, context)]
    for name in COMMANDS:
        command = cli.get_command(context, name)
        assert command is not None
        sections += _sections(command, name, context)
    return HEAD + "\n".join(sections)


def _sections(command: click.Command, name: str, parent: click.Context) -> Iterator[str]:
    context = click.Context(
        command, info_name=name, parent=parent, terminal_width=WIDTH, max_content_width=WIDTH
    )
    yield _section(command, context)
    if isinstance(command, click.Group):
        for inner in command.list_commands(context):
            found = command.get_command(context, inner)
            assert found is not None
            yield from _sections(found, inner, context)


def _section(command: click.Command, context: click.Context) -> str:
    return f"## {context.command_path}\n\n```\n{command.get_help(context)}\n```\n"


def main(arguments: Sequence[str]) -> int:
    current = page()
    if arguments == ["--write"]:
        PAGE.write_text(current)
        return 0
    if arguments == ["--check"]:
        return 0 if PAGE.exists() and PAGE.read_text() == current else 1
    sys.stderr.write("usage: command_reference.py --write | --check\n")
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
