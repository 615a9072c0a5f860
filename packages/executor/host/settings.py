"""The two files of a work tree that belong in git: `.executor/policy.yaml` and `config.toml`.

They are always the work tree's own, also where the state is kept elsewhere or shared with another worktree.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from executor.errors import InvalidPolicy
from executor.governance.policy import BUILT_IN, Policy
from executor.host import files
from executor.storage.location import STATE_DIRECTORY, create_state_directory

if TYPE_CHECKING:
    from executor.host.config import NotifySettings
    from executor.models.plan import HealthCheck

POLICY_FILE: Final = "policy.yaml"
CONFIG_FILE: Final = "config.toml"
_CONFIG_NAME: Final = f"{STATE_DIRECTORY}/{CONFIG_FILE}"

_CONFIG: Final = """\
# Settings of Executor for this workspace. This file belongs in git, like policy.yaml beside it.
# Every setting has a default; left as it is, this file changes nothing.

# The checks that requests over HTTP may name. A request that names none gets all of them.
# [checks]
# tests = "pytest -q"

# What a command run by `executor run -- COMMAND` shares with the workspace, of what git ignores.
# [capture]
# link = ["node_modules", ".venv", "venv", "vendor", ".tox"]

# What `executor gc` keeps when it is not told: what ended in the last so many days, and the newest so many.
# [retention]
# keep_days = 90
# keep_count = 1000

# Whether checks have to pass in a scratch copy before the workspace is touched, as with `executor run --isolate`.
# [run]
# isolate = false

# What has to be well after a change was verified: http, tcp, process or command. All other keys have defaults.
# [health.web]
# http = "http://127.0.0.1:8080/health"
# status = 200              # or a list; without it any 2xx
# body = "ok"               # a regular expression
# hosts = []                # where a redirect may lead, besides the same host
# critical = true           # false: warn, and keep the change
# retries = 5
# interval = 1.0            # seconds between two tries
# timeout = 5.0             # seconds a try may take
# deadline = 60.0           # seconds all of them may take

# Who is told when an execution needs a person, was rolled back, or was recovered after a crash: a command that
# gets the notification as JSON on standard input, or a webhook. It is delivered beside the execution.
# [notify]
# on = ["need_approval", "rolled_back", "recovered"]   # also: "failed", "completed"
# command = ["notify-send", "Executor"]
# env = []                  # variables the command sees besides harmless ones
# webhook = "https://example.com/hook"
# webhook_env = "HOOK_URL"  # in place of webhook: the variable that holds the URL, where that is a secret
# secret_env = "HOOK_SECRET"   # the variable that holds the key the webhook is signed with
# timeout = 10.0            # seconds a try may take
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
    from executor.host.config import read_checks

    return read_checks(_config(root), _CONFIG_NAME)


def load_linked_folders(root: Path) -> tuple[str, ...]:
    """`[capture]` of `config.toml`: ignored folders a scratch copy shares. Raises InvalidSettings."""
    from executor.host.scratch import LINKED

    settings = _config(root)
    if not settings:
        return LINKED
    from executor.host.config import read_linked

    return read_linked(settings, _CONFIG_NAME, LINKED)


def load_retention(root: Path) -> tuple[int | None, int | None]:
    """`keep_days` and `keep_count` of `[retention]` in `config.toml`. Raises InvalidSettings."""
    settings = _config(root)
    if not settings:
        return None, None
    from executor.host.config import read_retention

    return read_retention(settings, _CONFIG_NAME)


def load_health_checks(root: Path) -> list[HealthCheck]:
    """The checks of `[health.NAME]` in `config.toml`. Raises InvalidSettings."""
    settings = _config(root)
    if not settings:
        return []
    from executor.host.config import read_health

    return read_health(settings, _CONFIG_NAME)


def load_isolate(root: Path) -> bool:
    """`isolate` of `[run]` in `config.toml`. Raises InvalidSettings."""
    settings = _config(root)
    if not settings:
        return False
    from executor.host.config import read_isolate

    return read_isolate(settings, _CONFIG_NAME)


def load_notify(root: Path) -> NotifySettings | None:
    """`[notify]` of `config.toml`; None when nobody is to be told. Raises InvalidSettings."""
    settings = _config(root)
    if not settings:
        return None
    from executor.host.config import read_notify

    return read_notify(settings, _CONFIG_NAME)


def _config(root: Path) -> dict[str, Any]:
    file = root / STATE_DIRECTORY / CONFIG_FILE
    if not file.exists():
        return {}
    # Here, because most workspaces have no settings.
    from executor.host.config import read_config

    return read_config(file, _CONFIG_NAME)


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
    try:
        with files.closing(files.open_root(file.parent)) as folder:
            files.write_new(file.name, text.encode("utf-8"), dir_fd=folder, mode=0o666)
    except FileExistsError:
        return False
    except OSError as cause:
        raise files.unwritable(str(file), "create", cause) from cause
    return True
