"""`isp app-password`: passwords of mailboxes for single devices."""

from __future__ import annotations

from datetime import timedelta

import click

from cli.app import App, pass_app
from cli.sessions import end_sessions


@click.group("app-password")
def app_password() -> None:
    """Passwords of mailboxes for single devices."""


@app_password.command("add")
@click.argument("address")
@click.option("--name", required=True, help="What it is for: the device or program.")
@click.option("--days", type=click.IntRange(1, 3650), help="How long it is good [for ever].")
@pass_app
def add(app: App, address: str, name: str, days: int | None) -> None:
    """Make a password for one device; it is printed this once.

    It opens the mailbox beside the member's own password and can be taken back alone. A re-issue
    of the mailbox's password ends all of them.

    \b
    Example:
      isp app-password add taro@example.jp --name phone --days 365
    """
    from provisioning.runs.app_passwords import add_app_password, app_password_json

    life = None if days is None else timedelta(days=days)
    with app.transaction() as session:
        added, password = add_app_password(session, app.shift, address, name, life)
        answer = {**app_password_json(added, app.day.now), "password": password}
    app.show(answer)


@app_password.command("list")
@click.argument("address")
@pass_app
def listing(app: App, address: str) -> None:
    """List the app passwords of a mailbox by their names.

    \b
    Example:
      isp app-password list taro@example.jp
    """
    from provisioning.runs.app_passwords import app_password_json, app_passwords

    with app.reading() as session:
        answer = [app_password_json(each, app.day.now) for each in app_passwords(session, address)]
    app.show(answer)


@app_password.command("revoke")
@click.argument("address")
@click.option("--name", required=True, help="Which one: see `isp app-password list`.")
@pass_app
def revoke(app: App, address: str, name: str) -> None:
    """Take one back: it is dead at once, the others go on.

    \b
    Example:
      isp app-password revoke taro@example.jp --name phone
    """
    from provisioning.runs.app_passwords import revoke_app_password

    with app.transaction() as session:
        mailbox = revoke_app_password(session, app.shift, address, name)
        answer = {"address": mailbox.address, "name": name, "status": "revoked"}
    end_sessions(app, [str(answer["address"])])
    app.show(answer)
