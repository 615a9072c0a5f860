"""Runs the commands that documents show and keeps the output shown there true.

    python scripts/examples.py --check|--write [DOCUMENT…]

All blocks of one document run in order, in one shell, in an empty directory with an empty HOME:

* a fenced `sh` block is run and has to succeed; after `<!-- not run -->` it is left alone,
* in a fenced `console` block each line that begins with `$ ` is run, and the lines below it are its output; after a
  backslash at its end the command goes on in the next line, behind `> `,
* a comment that begins with `<!-- run` is run too, unseen by the reader, and has to succeed.

Ids, times and durations differ from run to run: they are masked before the comparison, with the same id
masked the same way everywhere. `--write` touches a block only when it differs beyond that.
"""

import argparse
import difflib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
DOCUMENTS: Final = (ROOT / "README.md", ROOT / "docs" / "quickstart.md")
# Where the directory of a run seems to be in what it prints.
SHOWN_HOME: Final = "/home/you"

_BLOCK = re.compile(
    r"^<!-- run\n(?P<hidden>.*?)^-->$|(?P<kept><!-- not run -->\n+)?^```(?P<kind>sh|console)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_GIT_CONFIG = "[user]\n\tname = You\n\temail = you@example.invalid\n[init]\n\tdefaultBranch = main\n"
# Exit codes that mean the command line itself is wrong: usage, not executable, not found.
_BROKEN = (2, 126, 127)


class ExampleFailed(Exception):
    """A command of a document could not be run as it is written there."""


@dataclass(frozen=True, slots=True)
class Command:
    """One command of a document and, where the reader sees output, the part of the text that shows it."""

    text: str
    must_succeed: bool
    shown: tuple[int, int] | None = None


def commands(document: str) -> Iterator[Command]:
    for block in _BLOCK.finditer(document):
        if block["hidden"] is not None:
            yield Command(block["hidden"], must_succeed=True)
        elif block["kind"] == "console":
            yield from _console(block["body"], block.start("body"))
        elif block["kept"] is None:
            yield Command(block["body"], must_succeed=True)


def _console(body: str, position: int) -> Iterator[Command]:
    current: Command | None = None
    for line in body.splitlines(keepends=True):
        end = position + len(line)
        if line.startswith("$ "):
            if current:
                yield current
            current = Command(line[2:], must_succeed=False, shown=(end, end))
        elif current and current.text.endswith("\\\n") and line.startswith("> "):
            current = replace(current, text=current.text + line[2:], shown=(end, end))
        elif current and current.shown:
            current = replace(current, shown=(current.shown[0], end))
        position = end
    if current:
        yield current


def run(wanted: Sequence[Command]) -> list[str]:
    """What each command printed, both streams together, in one shell. Raises ExampleFailed."""
    with tempfile.TemporaryDirectory(prefix="examples-") as name:
        home = Path(name).resolve()
        (home / ".gitconfig").write_text(_GIT_CONFIG)
        mark = f"=== end of command {os.urandom(8).hex()}"
        script = "".join(f"{{ {command.text}\n}} 2>&1\nprintf '\\n{mark} %d\\n' $?\n" for command in wanted)
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-c", script],
            cwd=home,
            env=_environment(home),
            stdin=subprocess.DEVNULL,
            capture_output=True,
        )
        printed = done.stdout.decode(errors="replace").replace(str(home), SHOWN_HOME)
    parts = re.split(rf"\n{mark} (\d+)\n", printed)
    outputs, codes = parts[0:-1:2], [int(code) for code in parts[1::2]]
    for command, output, code in zip(wanted, outputs, codes, strict=False):
        if (code and command.must_succeed) or code in _BROKEN:
            raise ExampleFailed(f"{command.text.strip()}\nended with {code}\n{output}")
    if len(codes) < len(wanted):
        raise ExampleFailed(
            f"{wanted[len(codes)].text.strip()}\ncannot be run\n{done.stderr.decode(errors='replace')}"
        )
    return ["".join(f"{line.rstrip()}\n" for line in output.strip("\n").splitlines()) for output in outputs]


def _environment(home: Path) -> dict[str, str]:
    """The same on every machine; `executor` and `python` are those of the environment this runs in."""
    (home / "tmp").mkdir()
    return {
        "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', os.defpath)}",
        "HOME": str(home),
        "TMPDIR": str(home / "tmp"),
        "USER": "you",
        "LOGNAME": "you",
        "LANG": "C.UTF-8",
        "GIT_CONFIG_NOSYSTEM": "1",
    }


def mask(text: str) -> str:
    """The same for two runs that differ only in ids, times, durations and the widths these cause."""
    ids: list[str] = []

    def numbered(found: re.Match[str]) -> str:
        known = next((i for i, seen in enumerate(ids) if seen.endswith(found["hex"][-8:])), None)
        if known is None:
            known = len(ids)
            ids.append(found["hex"])
        return f"{found['kind'] or ''}<id {known}>"

    text = re.sub(
        r"\b(?P<kind>[a-z]+_)?(?P<hex>[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9a-f]{8})\b", numbered, text
    )
    # Python 3.13 underlines the culprit in more places than Python 3.11.
    text = re.sub(r"^[ ~^]*[~^][ ~^]*\n", "", text, flags=re.MULTILINE)
    text = re.sub(r"\b\d{4}-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?", "<time>", text)
    text = re.sub(r"\b\d\d:\d\d:\d\d(\.\d+)?\b", "<time>", text)
    text = re.sub(r"\b(\d+ (seconds?|minutes?|s|min) ago|just now|now)\b", "<ago>", text)
    text = re.sub(r"\b\d+(\.\d+)? ?(ms|s|seconds?)\b", "<duration>", text)
    return "".join(f"{re.sub(' +', ' ', line).rstrip()}\n" for line in text.splitlines())


def renewed(document: str) -> str:
    """The document with the output of its commands as it is now. Raises ExampleFailed."""
    wanted = list(commands(document))
    for command, output in reversed(list(zip(wanted, run(wanted), strict=True))):
        if command.shown:
            start, end = command.shown
            document = document[:start] + output + document[end:]
    return document


def difference(path: Path, old: str, new: str) -> str:
    """What a reader would find untrue, as a diff; empty when only ids and times differ."""
    lines = (mask(old).splitlines(), mask(new).splitlines())
    return "\n".join(
        difflib.unified_diff(*lines, f"{path.name} as written", f"{path.name} as it is", lineterm="")
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep the output shown in documents true.")
    choice = parser.add_mutually_exclusive_group(required=True)
    choice.add_argument("--check", action="store_true", help="only say what differs")
    choice.add_argument("--write", action="store_true", help="write what differs")
    parser.add_argument("documents", nargs="*", type=Path, default=DOCUMENTS)
    arguments = parser.parse_args()
    stale = False
    for path in arguments.documents:
        old = path.read_text()
        try:
            new = renewed(old)
        except ExampleFailed as failure:
            sys.stderr.write(f"{path.name}: {failure}\n")
            return 1
        if found := difference(path, old, new):
            sys.stdout.write(f"{found}\n")
            stale = True
            if arguments.write:
                path.write_text(new)
    return int(stale and not arguments.write)


if __name__ == "__main__":
    sys.exit(main())
