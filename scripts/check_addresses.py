"""Fails when a committed file says where packages come from, or names a place of one machine.

Whoever sets up a clone brings the package index with their own configuration, so an address in a lock file
would be wrong for most and is never needed: hashes decide what is installed. Paths of a home directory or a
build machine in a committed file mean that something was generated with them in it.
"""

import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

# Written in pieces, so that this file passes its own check.
_REGISTRIES = (
    ("pypi", "org"),
    ("pythonhosted", "org"),
    ("npmjs", "org"),
    ("npmjs", "com"),
    ("yarnpkg", "com"),
    ("npmmirror", "com"),
    ("jfrog", "io"),
    ("proxy", "golang", "org"),
)
_REGISTRY = re.compile(
    "|".join(r"\.".join(part for part in host if part) for host in _REGISTRIES), re.IGNORECASE
)
# The home directories of these stand for anybody's in examples.
_MACHINE_PATH = re.compile(
    r"(?<![\w.$~/-])/(?:root|work|builds|(?:home|Users)/(?!(?:you|user|alice|ann|bob)\b)\w[\w.-]*)/[\w.]"
)
_LOCK_NAMES = re.compile(
    r"(^|/)(requirements/.*|[^/]*lock[^/]*\.(json|ya?ml|toml)|[^/]*\.lock|npm-shrinkwrap\.json)$"
)
_SETTING_NAMES = re.compile(
    r"(^|/)(\.npmrc|\.yarnrc.*|pip\.(conf|ini)|pyproject\.toml|setup\.cfg|uv\.toml|\.env.*)$"
)
_ADDRESS = re.compile(r"\b(https?|ftp|git\+\w+|file)://|^\s*\"?resolved\"?\s*[:=]", re.IGNORECASE)
_INDEX_OPTION = re.compile(
    r"(^|\s)(--)?(extra-)?index-url\b|--find-links|^\s*-[if]\s|^\s*\"?(find[-_]links|index|registry)\"?\s*=|tool\.uv\.index",
    re.IGNORECASE,
)


class Finding(NamedTuple):
    path: str
    line: int
    what: str
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.what}: {self.text.strip()[:120]}"


def findings(path: str, content: bytes) -> Iterator[Finding]:
    """What is wrong with one file. `path` is relative to the repository and decides which rules hold."""
    if b"\0" in content:
        return
    is_lock = bool(_LOCK_NAMES.search(path))
    rules = [("the host of a package registry", _REGISTRY), ("a path of one machine", _MACHINE_PATH)]
    if is_lock:
        rules.append(("a download address", _ADDRESS))
    if is_lock or _SETTING_NAMES.search(path):
        rules.append(("a setting of where packages come from", _INDEX_OPTION))
    for number, line in enumerate(content.decode(errors="replace").splitlines(), start=1):
        for what, pattern in rules:
            if pattern.search(line):
                yield Finding(path, number, what, line)


def committed_files(root: Path) -> list[str]:
    """What is in git, and what would be after `git add`."""
    # A checkout in a container often belongs to another user; listing its files is harmless.
    listed = subprocess.run(
        ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        capture_output=True,
        check=True,
    ).stdout
    names = sorted({name.decode(errors="surrogateescape") for name in listed.split(b"\0") if name})
    return [name for name in names if (root / name).is_file() and not (root / name).is_symlink()]


def main(arguments: Sequence[str]) -> int:
    root = Path(arguments[0]) if arguments else Path(__file__).resolve().parent.parent
    files = committed_files(root)
    found = [finding for name in files for finding in findings(name, (root / name).read_bytes())]
    for finding in found:
        sys.stderr.write(f"{finding}\n")
    sys.stdout.write(f"{len(files)} files, {len(found)} with an address or a path of one machine\n")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
