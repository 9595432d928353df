"""`isp init`: configuration, key and database of a new office."""

from __future__ import annotations

import os
from pathlib import Path

import click

from cli.app import App, note, pass_app
from isp.errors import Refused


@click.command()
@click.option("--profile", default="consumer-isp", show_default=True, help="Whose policy to copy.")
@click.option("--database", metavar="URL", help="Database [sqlite:///isp.db beside the file].")
@pass_app
def init(app: App, profile: str, database: str | None) -> None:
    """Start an office: write isp.toml, make the key and the database, open the mail domain.

    What it writes works as it is; operator, bank account and mail servers in it are examples,
    marked so, to be replaced before real use. Nothing that exists is overwritten.

    \b
    Examples:
      isp init
      isp init --database postgresql://isp@localhost/isp
    """
    from isp.policy import parse, profile_text
    from isp.sealing import make_key

    text = profile_text(profile)
    url = database or app.database_url
    if url is not None:
        text = _with_database(text, url)
    policy = parse(text, f"profile {profile}")
    key = app.root / policy.database.key_file
    if key.exists():
        raise Refused("key", f"{key} exists already; a new key could not open what it sealed")
    _write_new(app.config, text)
    try:
        make_key(key)
        shown = _make_database(app)
    except BaseException:
        # Nothing half done: without its database the configuration is not an office.
        app.config.unlink()
        key.unlink(missing_ok=True)
        raise
    note(f"{app.config} has EXAMPLE values for operator, bank account and mail servers:")
    note("replace every line marked [example] before real use.")
    note(f"Keep a copy of {key} apart from the database: without it bank accounts stay sealed.")
    app.show({"config": str(app.config), "database": shown, "profile": profile})


def _with_database(text: str, url: str) -> str:
    if any(character in url for character in '"\\\n\r'):
        raise Refused("database", "the URL has a quote, backslash or line end")
    shipped = 'url = "sqlite:///isp.db"'
    if shipped not in text:
        raise Refused("profile", "its database.url is not the shipped one")
    return text.replace(shipped, f'url = "{url}"')


def _write_new(path: Path, text: str) -> None:
    try:
        # 0600: a database URL may carry a password.
        opened = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(opened, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise Refused("config", f"{path} exists already; remove it, or name another") from None
    except OSError as wrong:
        raise Refused("config", f"cannot write {path}: {wrong.strerror}") from None


def _make_database(app: App) -> str:
    from isp.database import revision, upgrade
    from provisioning.runs.mailboxes import add_domain

    engine = app.open_engine(new=True)
    if revision(engine) is not None:
        raise Refused(
            "database",
            f"{engine.url.render_as_string(hide_password=True)} holds an office already: put the "
            "isp.toml and isp.key that belong to it here, or name another database",
        )
    upgrade(engine)
    with app.transaction() as session:
        add_domain(session, app.shift, app.policy.mail.domain)
    return engine.url.render_as_string(hide_password=True)
