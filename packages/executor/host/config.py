"""`config.toml` as it is read: every key is known, and a mistake names the file, the table and the key."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

import msgspec
from msgspec import Meta, Struct

from executor.errors import InvalidSettings
from executor.host.environment import check_name
from executor.models.command_line import split_command
from executor.models.plan import HealthCheck, HealthKind

CONFIG_TABLES: Final = ("capture", "checks", "health", "notify", "retention", "run")

_Seconds = Annotated[float, Meta(gt=0, le=3600)]
_Status = Annotated[int, Meta(ge=100, le=599)]
_TARGET: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^\s:/]+):(\d{1,5})")


class _Health(Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[health.NAME]`: exactly one of the first four says what is looked at."""

    http: str | None = None
    tcp: str | None = None
    process: str | None = None
    command: str | None = None
    status: _Status | list[_Status] = msgspec.field(default_factory=list)
    body: str | None = None
    hosts: list[str] = msgspec.field(default_factory=list)
    critical: bool = True
    retries: Annotated[int, Meta(ge=0, le=1000)] = 0
    interval: _Seconds = 1.0
    timeout: _Seconds = 5.0
    deadline: _Seconds = 60.0
    env: list[str] = msgspec.field(default_factory=list)


class NotifySettings(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[notify]`: exactly one of `command`, `webhook` and `webhook_env` says who is told."""

    on: list[Literal["need_approval", "rolled_back", "recovered", "failed", "completed"]] = msgspec.field(
        default_factory=lambda: ["need_approval", "rolled_back", "recovered"]
    )
    command: list[str] = msgspec.field(default_factory=list)
    webhook: str | None = None
    webhook_env: str | None = None
    secret_env: str | None = None
    timeout: Annotated[float, Meta(gt=0, le=20)] = 10.0
    env: list[str] = msgspec.field(default_factory=list)


def read_config(file: Path, name: str) -> dict[str, Any]:
    """The tables of the file; none where there is no file. Raises InvalidSettings."""
    try:
        settings = tomllib.loads(file.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as cause:
        raise InvalidSettings(f"{name} cannot be read: {cause.strerror}") from cause
    except ValueError as cause:
        raise InvalidSettings(f"{name}: {cause}") from cause
    unknown = sorted(settings.keys() - set(CONFIG_TABLES))
    if unknown:
        known = ", ".join(f"[{table}]" for table in CONFIG_TABLES)
        raise InvalidSettings(f"{name}: there is no setting {unknown[0]!r}; it knows {known}")
    return settings


def read_checks(settings: Mapping[str, Any], name: str) -> dict[str, str]:
    """`[checks]`: command lines by name. Raises InvalidSettings."""
    checks = settings.get("checks", {})
    if not isinstance(checks, dict) or not all(isinstance(text, str) and text for text in checks.values()):
        raise InvalidSettings(f'{name}: [checks] holds names and command lines, such as tests = "pytest -q"')
    return checks


def read_linked(settings: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    """`link` of `[capture]`. Raises InvalidSettings."""
    table = settings.get("capture", {})
    links = table.get("link", list(default)) if isinstance(table, dict) else None
    if (
        not isinstance(links, list)
        or set(table) - {"link"}
        or not all(isinstance(link, str) and link and "/" not in link for link in links)
    ):
        raise InvalidSettings(f'{name}: [capture] holds names of folders, such as link = ["node_modules"]')
    return tuple(links)


class _Retention(Struct, forbid_unknown_fields=True, kw_only=True):
    """`[retention]`: what `executor gc` keeps when it is not told."""

    keep_days: Annotated[int, Meta(ge=0, le=36_500)] | None = None
    keep_count: Annotated[int, Meta(ge=0)] | None = None


def read_retention(settings: Mapping[str, Any], name: str) -> tuple[int | None, int | None]:
    """`keep_days` and `keep_count` of `[retention]`, None where not set. Raises InvalidSettings."""
    try:
        table = msgspec.convert(settings.get("retention", {}), _Retention)
    except msgspec.ValidationError as cause:
        raise InvalidSettings(f"{name}: [retention] {_told(str(cause))}") from cause
    return table.keep_days, table.keep_count


def read_isolate(settings: Mapping[str, Any], name: str) -> bool:
    """`isolate` of `[run]`. Raises InvalidSettings."""
    table = settings.get("run", {})
    isolate = table.get("isolate", False) if isinstance(table, dict) else None
    if not isinstance(isolate, bool) or set(table) - {"isolate"}:
        raise InvalidSettings(f"{name}: [run] holds isolate = true or false")
    return isolate


def read_notify(settings: Mapping[str, Any], name: str) -> NotifySettings | None:
    """`[notify]`; None when nobody is to be told. Raises InvalidSettings."""
    if "notify" not in settings:
        return None
    where = f"{name}: [notify]"
    try:
        found = msgspec.convert(settings["notify"], NotifySettings)
        _check_notify(found)
    except msgspec.ValidationError as cause:
        raise InvalidSettings(f"{where}: {_told(str(cause))}") from cause
    except (ValueError, InvalidSettings) as cause:
        raise InvalidSettings(f"{where}: {cause}") from cause
    return found


def _check_notify(found: NotifySettings) -> None:
    """Raises ValueError and InvalidSettings."""
    given = [kind for kind in (found.command, found.webhook, found.webhook_env) if kind]
    if len(given) != 1:
        raise ValueError("give exactly one of command, webhook and webhook_env")
    if found.command and found.secret_env is not None:
        raise ValueError("secret_env signs what is sent to a webhook")
    if found.env and not found.command:
        raise ValueError("env belongs to command")
    if any("\0" in word for word in found.command) or (found.command and not found.command[0]):
        raise ValueError('command: give a program and its arguments, such as ["notify-send", "Executor"]')
    if found.webhook is not None and (problem := webhook_problem(found.webhook)) is not None:
        raise ValueError(f"webhook: {problem}")
    for variable in (found.webhook_env, found.secret_env, *found.env):
        if variable is not None:
            check_name(variable)


def webhook_problem(url: str) -> str | None:
    """Why nothing can be sent to `url`; None when it can. Plain http stays on this machine."""
    advice = "give a URL such as https://example.com/hook, without a user"
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return advice
    if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
        return advice
    if any(character.isspace() or not character.isprintable() for character in url) or not url.isascii():
        return advice
    if parts.scheme == "http" and parts.hostname not in ("localhost", "127.0.0.1", "::1"):
        return "http is for this machine only; others could read and change it on the way: give https"
    return None


def read_health(settings: Mapping[str, Any], name: str) -> list[HealthCheck]:
    """`[health.NAME]`, in the order of the file. Raises InvalidSettings."""
    tables = settings.get("health", {})
    if not isinstance(tables, dict):
        raise InvalidSettings(f"{name}: [health] holds a table for each health check: [health.NAME]")
    found = []
    for title, table in tables.items():
        where = f"{name}: [health.{title}]"
        try:
            found.append(_health_check(title, msgspec.convert(table, _Health)))
        except msgspec.ValidationError as cause:
            raise InvalidSettings(f"{where}: {_told(str(cause))}") from cause
        except (ValueError, InvalidSettings) as cause:
            raise InvalidSettings(f"{where}: {cause}") from cause
    return found


def _health_check(title: str, table: _Health) -> HealthCheck:
    given = [kind for kind in HealthKind if getattr(table, kind.value) is not None]
    if len(given) != 1:
        raise ValueError("give exactly one of http, tcp, process and command")
    (kind,) = given
    target = str(getattr(table, kind.value)).strip()
    argv: tuple[str, ...] = ()
    if kind is not HealthKind.HTTP and (table.status or table.body is not None or table.hosts):
        raise ValueError("status, body and hosts belong to http")
    if kind is not HealthKind.COMMAND and table.env:
        raise ValueError("env belongs to command")
    match kind:
        case HealthKind.HTTP:
            parts = urlsplit(target)
            if parts.scheme not in ("http", "https") or not parts.hostname or parts.username is not None:
                raise ValueError("http: give a URL such as http://127.0.0.1:8080/health, without a user")
            _ = parts.port
        case HealthKind.TCP:
            place = _TARGET.fullmatch(target)
            if place is None or not 0 < int(place[2]) < 65_536:
                raise ValueError("tcp: give HOST:PORT")
        case HealthKind.PROCESS:
            if not target or "/" in target:
                raise ValueError("process: give the name of a program, without its path")
        case HealthKind.COMMAND:
            argv = split_command(target)
    if table.body is not None:
        try:
            re.compile(table.body)
        except re.error as cause:
            raise ValueError(f"body: this is no regular expression: {cause}") from cause
    status = table.status if isinstance(table.status, list) else [table.status]
    return HealthCheck(
        name=title,
        kind=kind,
        target=target,
        argv=argv,
        status=tuple(status),
        body=table.body,
        hosts=tuple(table.hosts),
        critical=table.critical,
        retries=table.retries,
        interval_seconds=table.interval,
        timeout_seconds=table.timeout,
        deadline_seconds=table.deadline,
        environment=tuple(check_name(variable) for variable in table.env),
    )


def _told(message: str) -> str:
    """With the key in front, as the file has it."""
    text, _, place = message.partition(" - at `$.")
    return f"{place.rstrip('`')}: {text}" if place else text
