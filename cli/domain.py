"""`isp domain`: mail domains, what they publish in DNS, and the keys that sign their mail."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cli.app import App, note, pass_app
from cli.parameters import NEW_FILE
from isp.errors import Fault

if TYPE_CHECKING:
    from provisioning.dns_check import NameServer
    from provisioning.dns_findings import Wanted


@click.group()
def domain() -> None:
    """Mail domains."""


@domain.command("add")
@click.argument("name", metavar="DOMAIN")
@pass_app
def add(app: App, name: str) -> None:
    """Serve mail for a domain.

    \b
    Example:
      isp domain add example.jp
    """
    from provisioning.runs.mailboxes import add_domain

    with app.transaction() as session:
        answer = {"domain": add_domain(session, app.shift, name).name}
    app.show(answer)


@domain.command("list")
@pass_app
def listing(app: App) -> None:
    """List the domains that are served.

    \b
    Example:
      isp domain list
    """
    from provisioning.queries import catch_alls, domains

    with app.reading() as session:
        catching = catch_alls(session)
        answer = [
            {
                "domain": each.name,
                "added_on": each.added_on,
                "catch_all": catching.get(each.name),
            }
            for each in domains(session)
        ]
    app.show(answer)


@domain.command("catch-all")
@click.argument("name", metavar="DOMAIN")
@click.argument("address", required=False)
@click.option("--off", is_flag=True, help="To nobody: mail to no address is refused.")
@pass_app
def catch_all(app: App, name: str, address: str | None, off: bool) -> None:
    """Give what is sent to no address of a domain to one of its mailboxes.

    It gets the spam for every name that anybody may guess, too.

    \b
    Example:
      isp domain catch-all example.jp office@example.jp
    """
    from isp.errors import Refused
    from provisioning.runs.aliases import set_catch_all

    if off == (address is not None):
        raise Refused("address", "name the mailbox, or --off")
    with app.transaction() as session:
        answer = set_catch_all(session, app.shift, name, address)
    app.show(answer)


@domain.command("records")
@click.argument("name", metavar="DOMAIN")
@click.option(
    "--mta-sts-policy", "sts", is_flag=True, help="The file that mta-sts.DOMAIN serves instead."
)
@click.option("-o", "file", type=NEW_FILE, help="Write it to a file.")
@pass_app
def records(app: App, name: str, sts: bool, file: Path | None) -> None:
    """Print what a domain must publish in DNS, as part of a zone file.

    Addresses of servers are not in it. With --format json or csv each record is a row with the
    reason for it.

    \b
    Examples:
      isp domain records example.jp -o example.jp.zone
      isp domain records example.jp --mta-sts-policy -o .well-known/mta-sts.txt
    """
    from provisioning.dns_records import record_json, sts_policy, zone_text
    from provisioning.runs.domains import published

    with app.reading() as session:
        found = published(session, app.shift, name)
    if not sts and not any(each.kind == "dkim" for each in found):
        note(f"{name} has no key that signs its mail: run `isp domain dkim rotate {name}`")
    policy = sts_policy(app.policy.dns)
    text = policy if sts else zone_text(name, found)
    if file is not None:
        file.write_text(text, "utf-8")
        app.show({"domain": name, "file": str(file), "records": len(found)})
    elif app.format == "table":
        click.echo(text, nl=False)
    elif sts:
        app.show({"domain": name, "policy": policy})
    else:
        app.show([record_json(each) for each in found])


@domain.command("check")
@click.argument("name", metavar="DOMAIN")
@click.option(
    "--nameserver",
    "named",
    multiple=True,
    metavar="IP[:PORT]",
    help="Ask this server, by itself [this machine's resolvers].",
)
@pass_app
def check(app: App, name: str, named: tuple[str, ...]) -> None:
    """Ask name servers for what a domain must publish; exit code 1 when something is not right.

    Each record is ok, wrong, missing or extra, with the lines of a zone file that mend it.

    \b
    Examples:
      isp domain check example.jp
      isp domain check example.jp --nameserver 192.0.2.53 --nameserver 198.51.100.53
    """
    from provisioning.dns_check import machine_servers, name_server
    from provisioning.runs.domains import wanted

    servers = tuple(name_server(each) for each in named)
    with app.reading() as session:
        expected = wanted(session, app.shift, name)
    resolvers = machine_servers()
    if not servers and not resolvers:
        raise Fault("nameserver: this machine has no resolver; name a server by --nameserver")
    # Each server that is named is looked at by itself: one of them may have old records.
    asked = [(each,) for each in dict.fromkeys(servers)] if servers else [resolvers]
    others = servers + resolvers
    found = [each for group in asked for each in _findings(app, expected, group, others)]
    bad = [each for each in found if each["state"] != "ok"]
    if app.format == "json":
        app.show(
            {"domain": expected.domain, "ok": not bad, "checked": len(found), "findings": found}
        )
    elif app.format == "csv":
        app.show(found)
    else:
        columns = ("nameserver", "state", "record", "problem")
        app.show([{column: each[column] for column in columns} for each in found])
        for each in bad:
            click.echo(f"\n; {each['nameserver']}: {each['problem']}\n{each['mend']}".rstrip())
    if bad:
        raise Fault(f"domain check: {len(bad)} of {len(found)} records of {name} are not right")


def _findings(
    app: App, expected: Wanted, asked: tuple[NameServer, ...], others: tuple[NameServer, ...]
) -> list[dict[str, Any]]:
    """What one name server says, or this machine's resolvers together."""
    from provisioning.dns_check import Inquiry
    from provisioning.dns_findings import finding_json, findings

    ask = Inquiry(expected.domain, asked, others, app.policy.dns.timeout_seconds)
    label = " ".join(map(str, asked))
    return [finding_json(each, label) for each in findings(expected, ask)]


@domain.group("dkim")
def dkim() -> None:
    """Keys that sign a domain's mail, changed over days by `isp daily`."""


@dkim.command("rotate")
@click.argument("name", metavar="DOMAIN")
@pass_app
def rotate(app: App, name: str) -> None:
    """Begin a change of keys: a new one is published and, days later, takes over.

    Put the record that is printed into the zone at once. `isp daily` does the rest: the new key
    signs after dns.dkim_publish_days, the old one leaves the zone dns.dkim_retire_days after that.

    \b
    Example:
      isp domain dkim rotate example.jp
    """
    from provisioning.runs.domains import key_json, published, rotate

    with app.transaction() as session:
        key = rotate(session, app.shift, name)
        answer = key_json(app.shift, key)
        [line] = [
            each.line
            for each in published(session, app.shift, name)
            if each.name.labels[0].decode() == key.selector
        ]
    app.show({**answer, "record": line})


@dkim.command("list")
@click.argument("name", metavar="DOMAIN")
@pass_app
def keys(app: App, name: str) -> None:
    """List the keys of a domain, and what the days bring to each.

    \b
    Example:
      isp domain dkim list example.jp
    """
    from provisioning.runs.domains import key_json, keys_of

    with app.reading() as session:
        answer = [key_json(app.shift, each) for each in keys_of(session, name)]
    app.show(answer)


@dkim.command("export")
@click.argument("name", metavar="DOMAIN")
@click.option("-o", "file", type=NEW_FILE, required=True, help="A new file, mode 0600.")
@pass_app
def export(app: App, name: str, file: Path) -> None:
    """Hand out the private key that signs today, to the mail server that signs (PEM).

    It is never printed; the journal keeps who took it.

    \b
    Example:
      isp domain dkim export example.jp -o example.jp.key
    """
    from cli.mailbox import write_private
    from provisioning.runs.domains import hand_out_key

    with app.transaction() as session:
        key = hand_out_key(session, app.shift, name)
        write_private(file, key.private_key.encode("ascii"))
    app.show({"domain": key.domain, "selector": key.selector, "file": str(file)})
