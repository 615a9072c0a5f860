"""The two files of a work tree that belong in git: `.executor/policy.yaml` and `config.toml`.

They are always the work tree's own, also where the state is kept elsewhere or shared with another worktree.
"""

from __future__ import annotations

import os
import tomllib
from pathlib import Path
from typing import Final

from executor.errors import InvalidPolicy, InvalidSettings
from executor.governance.policy import BUILT_IN, Policy
from executor.host.files import reporting
from executor.storage.location import STATE_DIRECTORY, create_state_directory

POLICY_FILE: Final = "policy.yaml"
CONFIG_FILE: Final = "config.toml"

_CONFIG: Final = """\
# Settings of Executor for this workspace. This file belongs in git, like policy.yaml beside it.
# Every setting has a default; left as it is, this file changes nothing.

# The checks that requests over HTTP may name. A request that names none gets all of them.
# [checks]
# tests = "pytest -q"
"""


def policy_file(root: Path) -> Path:
    return root / STATE_DIRECTORY / POLICY_FILE


def load_policy(root: Path) -> Policy:
    """The policy of the work tree as it stands now; the built-in one where there is no file.

    Raises InvalidPolicy, also for a file that is there and cannot be read.
    """
    file = policy_file(root)
    name = f"{STATE_DIRECTORY}/{POLICY_FILE}"
    try:
        data = file.read_bytes()
    except (FileNotFoundError, NotADirectoryError) as cause:
        if file.is_symlink():
            raise InvalidPolicy(name, "it is a link that leads nowhere") from cause
        return BUILT_IN
    except OSError as cause:
        raise InvalidPolicy(name, f"it cannot be read: {cause.strerror}") from cause
    # Here, because most commands never ask for the policy, and reading YAML costs its import.
    from executor.governance.policy_file import read_policy

    return read_policy(data, name)


def load_checks(root: Path) -> dict[str, str]:
    """The command lines of `[checks]` in `config.toml`, by name. Raises InvalidSettings."""
    file = root / STATE_DIRECTORY / CONFIG_FILE
    name = f"{STATE_DIRECTORY}/{CONFIG_FILE}"
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as cause:
        raise InvalidSettings(f"{name} cannot be read: {cause.strerror}") from cause
    except ValueError as cause:
        raise InvalidSettings(f"{name}: {cause}") from cause
    unknown = sorted(settings.keys() - {"checks"})
    if unknown:
        raise InvalidSettings(f"{name}: there is no setting {unknown[0]!r}; it knows [checks]")
    checks = settings.get("checks", {})
    if not isinstance(checks, dict) or not all(isinstance(text, str) and text for text in checks.values()):
        raise InvalidSettings(f'{name}: [checks] holds names and command lines, such as tests = "pytest -q"')
    return checks


def write_defaults(root: Path) -> list[Path]:
    """Writes the files that are missing, commented and equal in effect to none; returns which.

    Never touches one that is there. Raises WorkspaceUnwritable.
    """
    from executor.governance.policy_file import default_policy_text

    folder = root / STATE_DIRECTORY
    create_state_directory(folder)
    texts = {POLICY_FILE: default_policy_text(), CONFIG_FILE: _CONFIG}
    return [folder / name for name, text in texts.items() if _create(folder / name, text)]


def _create(file: Path, text: str) -> bool:
    """Whole or not at all: somebody who reads meanwhile would take half a policy for a broken one."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}")
    with reporting("create", str(file)):
        try:
            temporary.write_text(text, "utf-8")
            file.hardlink_to(temporary)
        except FileExistsError:
            return False
        finally:
            temporary.unlink(missing_ok=True)
    return True
