"""Letters with passwords [入会時の送付物・再発行のお知らせ]: what they say, and when it is made (ISP-01)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Literal

from sqlalchemy.orm import Session

from isp.documents import Language
from isp.journal import record
from isp.runs.papers import addressee
from isp.shift import Shift
from isp.tables import Contract
from provisioning.guides import guide_for, guide_json
from provisioning.letters import MailboxCredential, ReissueLetter, WelcomeLetter, reissue_pdf
from provisioning.queries import access_of, mailboxes_kept, settings_of
from provisioning.runs.access import open_access, reissue_access
from provisioning.runs.mailboxes import held_to_serve, renew_password
from provisioning.tables import AccessAccount, Mailbox, WebSpace

FIRST_GUIDE: Final = "thunderbird"
"""Free, on every system, and set up by address and password alone."""


def welcome(
    session: Session, shift: Shift, contract: str, language: Language | None = None
) -> WelcomeLetter:
    """What the joining letter says; every password in it is new, and the old ones are dead.

    Nobody can read an existing password back, so to print it is to make it: asked for again, the
    letter replaces the passwords of the one before. It may be made before the day of opening is
    known. A connection account is opened where there is none. In the member's language unless another is named.
    """
    held = held_to_serve(session, contract)
    opened = access_of(session, held.number)
    account, password = (reissue_access if opened else open_access)(session, shift, held.number)
    boxes = mailboxes_kept(session, held.id)
    credentials = tuple(
        MailboxCredential(mailbox.address, renew_password(session, shift, mailbox))
        for mailbox in boxes
    )
    language = language or held.customer.language
    record(
        session,
        shift,
        "letter.welcome",
        held.number,
        after={
            "connection_id": account.connection_id,
            "mailboxes": [mailbox.address for mailbox in boxes],
        },
    )
    return WelcomeLetter(
        customer=addressee(session, held.customer),
        contract_number=held.number,
        plan_name=held.plan.name,
        opened_on=held.opened_on,
        connection_id=account.connection_id,
        connection_password=password,
        mailboxes=credentials,
        mail=shift.policy.mail,
        first_guide=_first_guide(shift, boxes[0], language) if boxes else None,
        operator=shift.policy.operator,
        desk=shift.policy.desk,
        language=language,
    )


def _first_guide(shift: Shift, mailbox: Mailbox, language: Language) -> dict[str, object]:
    policy = shift.policy
    settings = settings_of(shift, mailbox, FIRST_GUIDE)
    return guide_json(guide_for(FIRST_GUIDE, settings, language, policy.desk, policy.operator))


def mailbox_letter(
    session: Session,
    shift: Shift,
    mailbox: Mailbox,
    password: str,
    language: Language | None = None,
) -> bytes:
    """The letter with a mailbox's new password as PDF, in the member's language."""
    letter = reissue_letter(session, shift, mailbox.contract, "mailbox", mailbox.address, password)
    return reissue_pdf(replace(letter, language=language or letter.language))


def access_letter(
    session: Session,
    shift: Shift,
    account: AccessAccount,
    password: str,
    language: Language | None = None,
) -> bytes:
    """The letter with a connection account's new password as PDF, in the member's language."""
    name = account.connection_id
    letter = reissue_letter(session, shift, account.contract, "connection", name, password)
    return reissue_pdf(replace(letter, language=language or letter.language))


def space_letter(session: Session, shift: Shift, space: WebSpace, password: str) -> bytes:
    """The letter with a web space's new password as PDF, in the member's language."""
    letter = reissue_letter(session, shift, space.contract, "web-space", space.name, password)
    return reissue_pdf(letter)


def reissue_letter(
    session: Session,
    shift: Shift,
    contract: Contract,
    kind: Literal["mailbox", "connection", "web-space"],
    name: str,
    password: str,
) -> ReissueLetter:
    """What the letter on a re-issue says; the password is the one that has just been made."""
    return ReissueLetter(
        customer=addressee(session, contract.customer),
        contract_number=contract.number,
        kind=kind,
        name=name,
        password=password,
        reissued_on=shift.day.today,
        operator=shift.policy.operator,
        desk=shift.policy.desk,
        language=contract.customer.language,
    )
