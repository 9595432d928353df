"""`isp mailbox verify` and `isp mailbox why`: whether a mailbox works, and if not, why."""

from __future__ import annotations

import secrets
import time
from pathlib import Path

import click

from cli.app import App, clock, note, pass_app
from cli.parameters import EXISTING_FILE
from isp.errors import Fault


@click.command()
@click.argument("address")
@click.option("--ca", type=EXISTING_FILE, help="Trust these authorities (PEM) [the system's].")
@click.option(
    "--timeout",
    type=click.FloatRange(1, 300),
    default=30,
    help="Seconds that a server, or the message, may take [30].",
)
@pass_app
def verify(app: App, address: str, ca: Path | None, timeout: float) -> None:
    """Prove a mailbox from end to end, as its member would use it; exit code 1 when it fails.

    With a password made for this and taken back at once: log in, send a message to itself, fetch
    it by IMAP and POP3, delete it; a wrong password and another's address must be refused, and
    the published servers must offer what is published. Of a suspended mailbox the refusal is
    checked. Failed log-ins are part of it: many proofs in a row may be held up by the servers.

    \b
    Example:
      isp mailbox verify taro@example.jp --ca /etc/ssl/office-ca.pem
    """
    from provisioning.proof import Proof, step_json, trust
    from provisioning.runs.proof import begin, end

    trust(ca)  # refused before anything is done
    token = secrets.token_hex(8)
    with app.transaction() as session:
        subject = begin(session, app.shift, address, token, clock())
    try:
        app.feed_servers()
        proof = Proof(
            *(subject, app.policy.mail, ca, timeout, clock(), token, time.monotonic, time.sleep)
        )
        steps = proof.run()
    finally:
        with app.transaction() as session:
            end(session, app.shift, address, token, clock())
        app.feed_servers()
    steps = [*steps, *proof.after_revocation()]
    bad = [each for each in steps if not each.ok]
    rows = [step_json(each) for each in steps]
    if app.format == "json":
        app.show({"address": subject.address, "ok": not bad, "steps": rows})
    else:
        app.show(rows)
    if bad:
        raise Fault(
            f"mailbox verify: {len(bad)} of {len(steps)} steps failed for {subject.address}, "
            f"the first: {bad[0].name}: {bad[0].detail}"
        )


@click.command()
@click.argument("address")
@pass_app
def why(app: App, address: str) -> None:
    """Say why a mailbox cannot be used, for the desk at the phone; sentences follow --lang.

    Contract, mailbox, quota, app passwords, and the latest log-ins and refusals of the mail log
    (platform.mail_log); then each probable cause with its mend.

    \b
    Example:
      isp --lang en mailbox why taro@example.jp
    """
    from provisioning.runs.why import why

    # A log without zones is in that of the machine.
    zone = app.day.now.astimezone().tzinfo
    assert zone is not None
    with app.reading() as session:
        answer = why(session, app.shift, address, zone)
    if app.format == "json":
        app.show(answer)
        return
    if app.format == "csv":
        app.show(answer["events"])
        return
    for verdict in answer.pop("verdicts"):
        click.echo(f"* {verdict['finding']}\n  -> {verdict['mend']}")
    click.echo()
    events = answer.pop("events")
    app.show(answer)
    click.echo()
    if events:
        app.show(events)
    elif app.policy.platform.mail_log:
        note("the mail log has nothing about it")
    else:
        note("platform.mail_log is empty: no log-ins are known here")
