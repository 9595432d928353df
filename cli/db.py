"""`isp db`: upgrade, backup, restore."""

from __future__ import annotations

from pathlib import Path

import click

from cli.app import App, note, pass_app
from cli.parameters import EXISTING_FILE, NEW_FILE


@click.group()
def db() -> None:
    """The database: upgrade, backup, restore."""


@db.command("upgrade")
@pass_app
def upgrade(app: App) -> None:
    """Bring the tables to this program's revision; run it after installing a new version.

    \b
    Example:
      isp db backup before.backup && isp db upgrade
    """
    from isp.database import revision, upgrade

    engine = app.open_engine(new=True)
    before = revision(engine)
    upgrade(engine)
    app.show({"before": before, "revision": revision(engine)})


@db.command("backup")
@click.argument("file", type=NEW_FILE)
@pass_app
def backup(app: App, file: Path) -> None:
    """Write the whole database to a new file while others go on working.

    The key file is not in it: keep that apart.

    \b
    Example:
      isp db backup /var/backups/isp-2026-04-10.backup
    """
    from isp.backup import backup

    backup(app.open_engine(), file)
    app.show({"file": str(file)})


@db.command("restore")
@click.argument("file", type=EXISTING_FILE)
@pass_app
def restore(app: App, file: Path) -> None:
    """Put the database back as it was at the backup; what it held before is kept in a file.

    \b
    Example:
      isp db restore /var/backups/isp-2026-04-10.backup
    """
    from isp.backup import restore

    kept = restore(app.open_engine(new=True), file)
    app.show({"file": str(file), "kept": str(kept) if kept else None})


@db.command("rotate-key")
@pass_app
def rotate_key(app: App) -> None:
    """Make a new key and seal everything anew with it; older keys stay in the file for backups.

    \b
    Example:
      isp db rotate-key
    """
    from isp.runs.sealed import reseal
    from isp.sealing import Seal, add_key
    from isp.tables import PaymentMethod
    from provisioning.tables import DkimKey

    path = app.root / app.policy.database.key_file
    add_key(path)
    seal = Seal(path)
    with app.transaction() as session:
        sealed = reseal(session, seal, PaymentMethod.sealed_account)
        sealed += reseal(session, seal, DkimKey.sealed_key)
    note(f"a new key is on top of {path}: copy the file to where its backup is")
    app.show({"key": str(path), "sealed": sealed})
