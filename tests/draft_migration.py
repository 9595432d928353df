"""Draft the next migration: what the table classes say and the migrations do not (`make migration`).

A draft is read and completed by a person: Alembic sees neither check constraints nor triggers.
"""

from __future__ import annotations

import importlib
import re
import sys
import tempfile

from alembic import command
from alembic.config import Config

from isp import database as db


def draft(name: str) -> None:
    """Write `isp/migrations/versions/NNNN_name.py`."""
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise SystemExit("make migration NAME=what_changes")
    for package in ("isp", "billing", "provisioning"):
        importlib.import_module(f"{package}.tables")
    config = Config()
    config.set_main_option("script_location", str(db.MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.set_main_option("file_template", "%%(rev)s_%%(slug)s")
    with tempfile.TemporaryDirectory() as folder:
        engine = db.engine(f"sqlite:///{folder}/isp.db", new=True)
        db.upgrade(engine)
        with engine.connect() as connection:
            config.attributes["connection"] = connection
            number = f"{int(db.head() or 0) + 1:04d}"
            command.revision(config, name, autogenerate=True, rev_id=number)
        engine.dispose()


if __name__ == "__main__":
    draft(sys.argv[1])
