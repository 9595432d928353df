"""`isp check`: the invariants of the whole database."""

from __future__ import annotations

import click

from cli.app import App, pass_app
from isp.errors import Fault


@click.command()
@pass_app
def check(app: App) -> None:
    """Walk the whole database and prove its invariants; exit code 1 when one is broken.

    Every yen adds up, every line follows from its contract, every status from its dates; what the
    daily run has parked is listed too.

    \b
    Example:
      isp --format json check
    """
    import billing.checks
    import isp.checks
    import provisioning.checks

    with app.reading() as session:
        found = [
            {"table": problem.table, "subject": problem.subject, "problem": problem.what}
            for room in (
                isp.checks.problems(session, app.policy.contract.cutoff_day),
                billing.checks.problems(session, app.shift),
                provisioning.checks.problems(session, app.shift),
            )
            for problem in room
        ]
        rows = sum(
            room.checked(session) for room in (isp.checks, billing.checks, provisioning.checks)
        )
    app.show({"ok": not found, "checked": rows, "problems": found})
    if found:
        raise Fault(f"check: {len(found)} problem(s)")
