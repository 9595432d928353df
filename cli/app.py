"""The command `isp`: clock, configuration, database and transaction, and how errors leave.

Only here is the clock read and a transaction committed. Commands are imported when they are used,
so that `isp --help` costs nothing.
"""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from importlib import import_module
from pathlib import Path
from reprlib import repr as shown
from typing import TYPE_CHECKING, Any, Literal

import click
from click.core import ParameterSource

from cli.parameters import field_of
from isp.calendar import TOKYO, Calendar, Day, read_day
from isp.errors import Fault, Refused, RowsRefused

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.exc import IntegrityError
    from sqlalchemy.orm import Session

    from isp.policy import Policy
    from isp.shift import Shift

COMMANDS: dict[str, tuple[str, str]] = {
    "init": ("cli.init", "Start an office: configuration, key and database."),
    "demo": ("cli.demo", "Run the whole main job on a sample, on SQLite."),
    "customer": ("cli.customer", "Members: take on, show, change, import."),
    "payment-method": ("cli.payment_method", "How a member pays: account transfer, card, invoice."),
    "plan": ("cli.plan", "Plans and their dated prices."),
    "contract": ("cli.contract", "Contracts: conclude, open, cancel, withdraw, move."),
    "bill": ("cli.bill", "The monthly bill run."),
    "invoice": ("cli.invoice", "Invoices and credit notes."),
    "explain": ("cli.explain", "Why each line of an invoice is what it is."),
    "debit": ("cli.debit", "Account transfer: the bank's file and its result."),
    "card": ("cli.card", "Card sales: the card company's file and its result."),
    "payment": ("cli.payment", "Money that came in another way."),
    "domain": ("cli.domain", "Mail domains."),
    "mailbox": ("cli.mailbox", "Mailboxes of contracts."),
    "alias": ("cli.alias", "Further addresses of mailboxes."),
    "app-password": ("cli.app_password", "Passwords of mailboxes for single devices."),
    "access": ("cli.access", "Connection accounts (PPPoE) of contracts."),
    "web-space": ("cli.web_space", "Web pages of members: one space per contract."),
    "guide": ("cli.guide", "Setup guides for mail programs and for the connection."),
    "autoconfig": ("cli.autoconfig", "Settings that mail programs fetch by themselves."),
    "serve": ("cli.serve", "Settings and guides by HTTP."),
    "letter": ("cli.letter", "Letters to members as PDF."),
    "outbox": ("cli.outbox", "Notices to members: waiting, sent."),
    "daily": ("cli.daily", "Everything that is due today, each thing once."),
    "check": ("cli.check", "Prove the invariants of the whole database."),
    "journal": ("cli.journal", "Who did what, when, before and after."),
    "mail-platform": ("cli.mail_platform", "Postfix and Dovecot beside the office."),
    "smtpd": ("cli.smtpd", "The embedded submission server."),
    "policyd": ("cli.policyd", "Postfix asks here who may send, and to how many."),
    "db": ("cli.db", "The database: upgrade, backup, restore."),
}
"""Command, the module that holds it, and what it is for."""


@dataclass(frozen=True)
class App:
    """What every command needs: read from options and environment, opened when first used."""

    config: Path
    day: Day
    format: str
    language: Literal["ja", "en"] | None
    database_url: str | None
    actor: str

    @cached_property
    def policy(self) -> Policy:
        import msgspec

        from isp.policy import load

        policy = load(self.config)
        if self.database_url:
            database = msgspec.structs.replace(policy.database, url=self.database_url)
            policy = msgspec.structs.replace(policy, database=database)
        if self.language:
            policy = msgspec.structs.replace(policy, language=self.language)
        return policy

    @property
    def root(self) -> Path:
        """The folder of the configuration, from which relative paths in it count."""
        return self.config.resolve().parent

    @cached_property
    def shift(self) -> Shift:
        from isp.shift import Shift

        day = replace(self.day, calendar=Calendar(frozenset(self.policy.calendar.closed)))
        return Shift(self.policy, day, self.actor, self.root)

    def open_engine(self, *, new: bool = False) -> Engine:
        """The database of the policy; a relative SQLite path counts from the configuration."""
        from isp.database import engine

        url = self.policy.database.url
        if url.startswith("sqlite:///") and not url.startswith("sqlite:////"):
            url = f"sqlite:///{self.root / url.removeprefix('sqlite:///')}"
        opened = engine(url, new=new)
        click.get_current_context().call_on_close(opened.dispose)
        return opened

    @cached_property
    def engine(self) -> Engine:
        """The database, at this program's revision."""
        from isp.database import check_revision

        opened = self.open_engine()
        check_revision(opened)
        return opened

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """The one door through which anything is written: all of it, or nothing."""
        from sqlalchemy.exc import IntegrityError
        from sqlalchemy.orm import Session

        with Session(self.engine) as session:
            try:
                yield session
                session.commit()
                _ = self._feeding
            except IntegrityError as broken:
                raise Refused("database", _constraint(broken)) from broken

    @cached_property
    def _feeding(self) -> bool:
        """Once something has been committed, the servers hear of it when the command ends."""
        context = click.get_current_context(silent=True)
        if context is not None:
            context.call_on_close(self.feed_servers)
        return context is not None

    def feed_servers(self) -> int:
        """Bring what servers read beside SQLite in step, where there is such a feed."""
        folder = self.path(self.policy.platform.feed)
        if not folder.is_dir():
            return 0
        from provisioning.feed import refresh

        return refresh(self.engine, folder)

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view for reports; it neither waits for writers nor holds them up."""
        from sqlalchemy.orm import Session

        from isp.database import reading

        with Session(reading(self.engine)) as session:
            yield session

    def path(self, written: str) -> Path:
        """A path of the policy, relative to the configuration."""
        return self.root / written

    def show(self, value: object) -> None:
        """Print the answer in the format that was asked for."""
        from cli.output import write

        write(value, self.format)


pass_app = click.make_pass_decorator(App)


def _constraint(broken: IntegrityError) -> str:
    """Which constraint refused; never the row, which PostgreSQL would add with all its secrets."""
    told = getattr(getattr(broken.orig, "diag", None), "message_primary", None)
    return f"refused by a constraint: {told or broken.orig}"


def note(message: str) -> None:
    """A note for the operator, beside the answer: on standard error."""
    click.echo(message, err=True)


def _tell(error: BaseException) -> int:
    """One line for people on standard error, and the exit code that goes with it."""
    if isinstance(error, RowsRefused):
        for line, column, why in error.rows:
            note(_one_line(f"Error: line {line}: {column}: {why}"))
    if isinstance(error, Refused):
        note(_one_line(f"Error: {error}"))
        return 2
    if isinstance(error, Fault):
        note(_one_line(f"Error: {error}"))
        return 1
    if isinstance(error, OSError):
        note(_one_line(f"Error: {error.filename or 'file'}: {error.strerror or error}"))
        return 1
    if isinstance(error, click.exceptions.NoArgsIsHelpError):
        error.show()
        return error.exit_code
    if isinstance(error, click.ClickException):
        note(_one_line(f"Error: {_usage(error)}"))
        return error.exit_code
    note("Aborted.")
    return 1


def _one_line(text: str) -> str:
    """One line without control characters, which could steer the operator's terminal."""
    line = " ".join(text.split())
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in line)


def _usage(error: click.ClickException) -> str:
    """A mistake in the command's words, named by its field, with the way to the help."""
    if isinstance(error, click.MissingParameter):
        what = f"{field_of(error.param)}: is missing"
    elif isinstance(error, click.BadParameter):
        what = f"{field_of(error.param)}: {error.message.rstrip('.')}"
    elif isinstance(error, click.UsageError):
        what = f"command: {error.message.rstrip('.')}"
    else:
        return error.format_message()
    path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "isp"
    return f"{what} (see `{path} --help`)"


class Office(click.Group):
    """The group `isp`: commands by name, imported late; errors as one line and an exit code."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _ = COMMANDS[cmd_name]
        command = getattr(import_module(module), module.rpartition(".")[2])
        if not isinstance(command, click.Command):
            raise TypeError(f"{module} holds no command of its own name")
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, what) for name, (_, what) in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, *words: Any, **extra: Any) -> Any:
        """Run a command; the process ends with 0 done, 2 refused, 1 a fault."""
        # Libraries and bulk runs make much that stays: to look for garbage in it again and again
        # would cost a short command a seventh of its time, and a list of contracts a third.
        gc.set_threshold(100_000, 50, 50)
        extra["standalone_mode"] = False
        try:
            refuse_unreadable(sys.argv[1:] if args is None else args)
            super().main(args, *words, **extra)
        except BrokenPipeError:
            # The reader (`| head`) has gone; without this Python complains on its way out.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(1)
        except (Refused, Fault, OSError, click.ClickException, click.Abort) as error:
            sys.exit(_tell(error))
        sys.exit(0)


def refuse_unreadable(words: Sequence[str]) -> None:
    """Words that are not UTF-8 cannot be stored, searched for, or printed."""
    settings = (value for name, value in os.environ.items() if name.startswith("ISP_"))
    for word in (*words, *settings):
        if any("\ud800" <= sign <= "\udfff" for sign in word):
            raise Refused("command", f"{word!r} is not UTF-8; check the terminal's encoding")


def clock() -> datetime:
    """The instant, in Japan time: the one place where it is read."""
    return datetime.now(TOKYO)


def _instant(now: str) -> datetime:
    """`2026-11-15T23:59:59`, in Japan time where no offset is given."""
    try:
        read_day("now", now[:10])  # for the years that are known
        if now[10:11] not in ("T", " "):
            raise ValueError
        instant = datetime.fromisoformat(now)
    except (Refused, ValueError):
        raise Refused(
            "now", f"{shown(now)} is not a time, write 2026-11-15T23:59:59, in Japan or with +09:00"
        ) from None
    return instant.astimezone(TOKYO) if instant.tzinfo else instant.replace(tzinfo=TOKYO)


def business_day(today: str | None, now: str | None) -> Day:
    """The day by the options, or by the clock in Japan."""
    if now is not None:
        instant = _instant(now)
        if today is not None and today != instant.date().isoformat():
            raise Refused("today", f"{today} is not the day of --now {now}")
        return Day(instant.date(), instant)
    instant = clock()
    if today is None:
        return Day(instant.date(), instant)
    day = read_day("today", today)
    return Day(day, datetime.combine(day, instant.timetz()))


def _language(ctx: click.Context, param: click.Parameter, value: str | None) -> str | None:
    if value not in (None, "ja", "en"):
        raise Refused("lang", f"{value!r} is neither ja nor en")
    return value


@click.group(cls=Office, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", envvar="ISP_CONFIG", default="isp.toml", help="Policy file [./isp.toml].")
@click.option("--today", envvar="ISP_TODAY", metavar="YYYY-MM-DD", help="Business date.")
@click.option("--now", envvar="ISP_NOW", metavar="INSTANT", help="Instant, implies --today.")
@click.option(
    "--format",
    "form",
    envvar="ISP_FORMAT",
    type=click.Choice(["table", "json", "csv"]),
    default="table",
    help="How the answer is printed.",
)
@click.option(
    "--lang", envvar="ISP_LANG", metavar="ja|en", callback=_language, help="Language of documents."
)
@click.option("--actor", envvar="ISP_ACTOR", help="Who acts, for the journal [login name].")
@click.version_option(package_name="isp-backoffice", prog_name="isp")
@click.pass_context
def main(
    ctx: click.Context,
    config: str,
    today: str | None,
    now: str | None,
    form: str,
    lang: Literal["ja", "en"] | None,
    actor: str | None,
) -> None:
    """Back office of a Japanese internet provider: contracts, billing, mail, guides.

    \b
    Example: a day of work on a new machine
      isp init
      isp plan add HIKARI --name ひかり --monthly-fee 5000 --term-months 24
      isp daily
    """
    source = ctx.get_parameter_source
    if today is not None and now is not None and source("today") != source("now"):
        # What is typed wins over the environment.
        if source("now") is ParameterSource.COMMANDLINE:
            today = None
        else:
            now = None
    actor = actor or os.environ.get("SUDO_USER") or os.environ.get("USER") or "operator"
    if not actor.isprintable() or len(actor) > 80:
        raise Refused("actor", f"{shown(actor)} must be up to 80 visible characters on one line")
    ctx.obj = App(
        config=Path(config),
        day=business_day(today, now),
        format=form,
        language=lang,
        database_url=os.environ.get("ISP_DATABASE_URL"),
        actor=actor,
    )
