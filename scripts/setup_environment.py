"""Makes `.venv` in the clone, or brings it up to date; `scripts/setup` picks the Python that runs this.

`runtime` installs what an installed executor needs, `dev` also what tests and checks need. Packages come
from the hashed lists in `requirements/` and from wherever the user's pip is configured to look. pip brings
`uv`, which does the rest; where uv cannot be had or fails, pip does it alone. Only the clone, the caches
of pip and uv, and temporary directories are written. Needs nothing but the standard library.
"""

import argparse
import ast
import contextlib
import fcntl
import hashlib
import importlib.util
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
VENV_PYTHON = VENV / "bin" / "python"
STAMP = VENV / "setup.json"
# There while `.venv` is being made or filled; found later, it means that an earlier set-up was killed.
UNFINISHED = VENV / "setup.unfinished"
LEVELS = ("runtime", "dev")

# What pip calls it, and the names uv knows for the same thing (the first is set if none is).
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", "UV_INDEX_URL"),
    "extra-index-url": ("UV_INDEX", "UV_EXTRA_INDEX_URL"),
    "find-links": ("UV_FIND_LINKS",),
    "trusted-host": ("UV_INSECURE_HOST",),
    "no-index": ("UV_NO_INDEX",),
    "cert": ("SSL_CERT_FILE",),
    "client-cert": ("SSL_CLIENT_CERT",),
    "proxy": ("ALL_PROXY",),
}


class SetupFailed(Exception):
    """Set-up cannot go on; the message says what to do."""


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def run(command: Sequence[str | Path], env: dict[str, str]) -> None:
    """Runs quietly; what the command printed is shown only when it fails."""
    done = subprocess.run(
        command, cwd=ROOT, env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    if done.returncode != 0:
        output = done.stdout.decode(errors="replace").strip()
        raise SetupFailed(f"{output}\n`{' '.join(map(str, command))}` ended with {done.returncode}")


@contextlib.contextmanager
def only_one() -> Iterator[None]:
    """Two `make` at once: the second waits, then finds everything done."""
    clone = os.open(ROOT, os.O_RDONLY)
    try:
        try:
            fcntl.flock(clone, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("waiting for another set-up of this clone")
            fcntl.flock(clone, fcntl.LOCK_EX)
        yield
    finally:
        os.close(clone)


def digest(level: str) -> str:
    """Changes when anything that decides the content of `.venv` changes."""
    sources = (
        ROOT / "requirements" / f"{level}.txt",
        ROOT / "requirements" / "uv.txt",
        ROOT / "pyproject.toml",
        Path(__file__),
    )
    return hashlib.sha256(b"\0".join(source.read_bytes() for source in sources)).hexdigest()


def read_stamp() -> dict[str, str]:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_current(level: str) -> bool:
    """A `dev` environment also serves for `runtime`."""
    stamp = read_stamp()
    return any(stamp.get(name) == digest(name) for name in LEVELS[LEVELS.index(level) :])


def is_usable(chosen: bool) -> bool:
    """Whether `.venv` can be kept: whole, of this clone, and of the Python that was asked for.

    An environment somebody made by hand has no stamp and is kept.
    """
    if not VENV_PYTHON.exists() or UNFINISHED.exists():
        return False
    stamp, interpreter = read_stamp(), os.path.realpath(VENV_PYTHON)
    if stamp.get("root", str(ROOT)) != str(ROOT) or stamp.get("interpreter", interpreter) != interpreter:
        return False
    return not chosen or interpreter == os.path.realpath(sys.executable)


def has_module(name: str) -> bool:
    spec = importlib.util.find_spec(name)
    return spec is not None and spec.origin is not None


def create() -> None:
    if not has_module("venv"):
        raise SetupFailed(
            f"{sys.executable} cannot make virtual environments: it has no `venv` module. "
            "On Debian and Ubuntu the package python3-venv brings it; "
            "or name another Python: make PYTHON=/path/to/python3"
        )
    options = []
    if not has_module("ensurepip"):
        # Debian and Ubuntu split ensurepip out. The pip outside can fill the environment as well.
        if not has_module("pip"):
            raise SetupFailed(
                f"{sys.executable} has neither ensurepip nor pip, so nothing can be installed. "
                "On Debian and Ubuntu the package python3-venv brings what is missing; "
                "or name another Python: make PYTHON=/path/to/python3"
            )
        options = ["--without-pip"]
    if VENV.exists():
        shutil.rmtree(VENV)
    VENV.mkdir()
    UNFINISHED.touch()
    base = getattr(sys, "_base_executable", sys.executable)
    run([base, "-I", "-m", "venv", *options, VENV], base_environment())


def base_environment() -> dict[str, str]:
    """The user's environment without what would lead pip or uv away from `.venv`."""
    misleading = (
        "PYTHONHOME",
        "PYTHONPATH",
        "PIP_PREFIX",
        "PIP_TARGET",
        "PIP_ROOT",
        "PIP_USER",
        "UV_SYSTEM_PYTHON",
    )
    env = {name: value for name, value in os.environ.items() if name not in misleading}
    return env | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0", "PIP_NO_INPUT": "1"}


def pip_command() -> list[str | Path]:
    if any(VENV.glob("lib/python*/site-packages/pip")):
        return [VENV_PYTHON, "-I", "-m", "pip"]
    return [sys.executable, "-I", "-m", "pip", "--python", VENV_PYTHON]


def pip_settings(listing: str) -> dict[str, str]:
    """The settings in the output of `pip config list`, as pip weighs them: section, command, environment."""
    found: dict[str, tuple[int, str]] = {}
    for line in listing.splitlines():
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        rank = {"global": 0, "install": 1, ":env:": 2}.get(section)
        if rank is not None and rank >= found.get(name, (-1, ""))[0]:
            found[name] = (rank, ast.literal_eval(value))
    return {name: value for name, (_, value) in found.items()}


def uv_environment(listing: str, env: dict[str, str]) -> dict[str, str]:
    """uv does not read pip's configuration: says the same in its words, where the user has not."""
    translated = {
        names[0]: " ".join(value.split()) if name != "find-links" else ",".join(value.split())
        for name, value in pip_settings(listing).items()
        if (names := UV_NAMES.get(name)) and not any(known in env for known in names)
    }
    # The hashes decide what is installed; which index it comes from does not matter.
    defaults = {
        "UV_INDEX_STRATEGY": "unsafe-best-match",
        "UV_SYSTEM_CERTS": "1",
        "UV_LINK_MODE": "copy",
        "UV_PYTHON_DOWNLOADS": "never",
        "UV_NO_PROGRESS": "1",
    }
    if not cache_is_writable(env):
        defaults["UV_NO_CACHE"] = "1"
    return defaults | translated | env


def cache_is_writable(env: dict[str, str]) -> bool:
    caches = env.get("XDG_CACHE_HOME") or Path(env.get("HOME") or "~").expanduser() / ".cache"
    folder = Path(env.get("UV_CACHE_DIR") or Path(caches) / "uv")
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)


def install(level: str) -> None:
    env, pip = base_environment(), pip_command()
    hashed = ["--require-hashes", "--only-binary", ":all:", "-r"]
    requirements = f"requirements/{level}.txt"
    itself = ["--no-build-isolation", "--no-deps", "--no-index", "-e", "."]
    try:
        run([*pip, "install", *hashed, "requirements/uv.txt"], env)
        listing = subprocess.run([*pip, "config", "list"], env=env, capture_output=True, text=True).stdout
        uv: list[str | Path] = [VENV / "bin" / "uv", "pip", "install", "--python", VENV_PYTHON]
        uv_env = uv_environment(listing, env)
        run([*uv, *hashed, requirements], uv_env)
        run([*uv, *itself], uv_env)
    except SetupFailed as failure:
        say(f"{failure}\nuv did not do it; trying pip alone, which takes longer")
        run([*pip, "install", *hashed, requirements], env)
        run([*pip, "install", *itself], env)


def set_up(level: str, chosen: bool) -> None:
    if is_usable(chosen) and is_current(level):
        return
    started = time.monotonic()
    if not is_usable(chosen):
        say(f"making .venv with {sys.executable} ({sys.version.split()[0]})")
        create()
    say(f"installing requirements/{level}.txt")
    stamp = read_stamp()
    UNFINISHED.touch()
    install(level)
    stamp |= {"root": str(ROOT), "interpreter": os.path.realpath(VENV_PYTHON), level: digest(level)}
    written = STAMP.with_suffix(".new")
    written.write_text(json.dumps(stamp, indent=2) + "\n")
    written.replace(STAMP)
    UNFINISHED.unlink()
    say(f"set up in {time.monotonic() - started:.0f} s")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make .venv or bring it up to date.")
    parser.add_argument("level", choices=LEVELS)
    parser.add_argument(
        "--chosen", action="store_true", help="remake a .venv that has another Python than this"
    )
    arguments = parser.parse_args()
    try:
        if is_usable(arguments.chosen) and is_current(arguments.level):
            return 0
        with only_one():
            set_up(arguments.level, arguments.chosen)
    except SetupFailed as failure:
        sys.stderr.write(f"set-up failed: {failure}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
