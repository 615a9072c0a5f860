"""What programs identify themselves with to `executor serve`: `token create`, `token list`, `token revoke`."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import click

from executor.cli.application import Application, json_option, pass_application
from executor.cli.text import local_time, safe, utc_now
from executor.models.times import format_time
from executor.models.token import Scope, TokenKind, new_token

if TYPE_CHECKING:
    from executor.models.token import TokenRecord


@click.group()
def token() -> None:
    """Tokens for programs that use the API of executor serve.

    \b
    Example: executor token create ci --scope read --scope run
    """


@token.command()
@click.argument("name")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    required=True,
    type=click.Choice([scope.value for scope in Scope]),
    help="What it may do (repeatable). content: see diffs and logs; admin: bring commands of its own.",
)
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good for (until it is revoked).")
@json_option
@pass_application
def create(app: Application, name: str, scopes: tuple[str, ...], days: int | None, as_json: bool) -> None:
    """Make a token and print it. It is shown this once; of the secret, only a hash is kept.

    NAME is who the records name as actor: token:NAME.

    \b
    Example: TOKEN=$(executor token create ci --scope read --scope run --days 90)
    """
    now = utc_now()
    text, record = new_token(
        TokenKind.TOKEN,
        name,
        frozenset(map(Scope, scopes)),
        created_at=format_time(now),
        valid_until=None if days is None else format_time(now + timedelta(days=days)),
    )
    app.store.record_token(record)
    if as_json:
        app.print_json({"token": text, **_shown(record)})
    else:
        app.print(text)
        app.note(f"shown this once; executor token revoke {record.token_id} takes it back")


@token.command("list")
@json_option
@pass_application
def list_(app: Application, as_json: bool) -> None:
    """Tokens and sessions of the console, newest first, also what is revoked.

    \b
    Example: executor token list
    """
    records = app.store.list_tokens()
    if as_json:
        app.print_json({"tokens": [_shown(record) for record in records]})
        return
    if not records:
        app.note("no tokens; executor token create NAME --scope read makes one")
    for record in records:
        until = f"until {local_time(record.valid_until)}" if record.valid_until else "until revoked"
        state = f"revoked {local_time(record.revoked_at)}" if record.revoked_at else until
        app.print(f"{record.token_id}  {record.kind}  {safe(record.name)}  {record.scopes}  {state}")


@token.command()
@click.argument("token_id", metavar="ID")
@pass_application
def revoke(app: Application, token_id: str) -> None:
    """Take a token or a session back, at once and for every server.

    \b
    Example: executor token revoke tok_01a203eec0de72cebf8adabda810bb74
    """
    app.store.revoke_token(token_id)
    app.note(f"{safe(token_id)} is revoked")


def _shown(record: TokenRecord) -> dict[str, Any]:
    shown = asdict(record)
    del shown["secret_sha256"]
    return {**shown, "scopes": record.scopes.split()}
