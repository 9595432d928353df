"""Account transfer [口座振替]: the file for the bank, and what the bank's result settles or fails."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from billing import zengin
from billing.collecting import Channel
from billing.drafting import transfer_date
from billing.runs import batches
from billing.runs.batches import Answer, Exported
from billing.runs.failures import Imported, fail, failed_items
from billing.tables import Batch, Collection
from isp.banks import ACCOUNT_TYPES, BankAccount, branch_of
from isp.errors import Refused
from isp.kana import bank_kana
from isp.month import Month
from isp.shift import Shift
from isp.tables import Customer, PaymentMethod

CHANNEL: Channel = "account-transfer"
ROWS_AT_ONCE = 1_000


def export_transfer(session: Session, shift: Shift, month: Month) -> Exported:
    """The bank's file of everything planned for the transfer of the billed `month` (ISP-07).

    What failed before is in it with this month's. Asked again with nothing new planned, it is the
    very same file; what came late after it makes a second file for the same day.
    """
    batches.follow_changes(session, CHANNEL, month)
    batches.mark_new(session, CHANNEL, month)
    collect_on = transfer_date(month, shift.policy.transfer.day, shift.day.calendar)

    def content(session: Session, ids: Select[int]) -> Iterator[bytes]:
        items = (item for _, item in _items(session, shift, ids))
        header = _header(shift, f"{collect_on:%m%d}")
        return zengin.request(header, items, line_end=shift.policy.transfer.line_end)

    return batches.give_out(session, shift, CHANNEL, month, collect_on, content)


def _header(shift: Shift, month_day: str) -> zengin.Header:
    own = shift.policy.transfer
    branch = branch_of(own.bank, own.branch)
    return zengin.Header(
        consignor_code=own.consignor_code,
        consignor_name=bank_kana(
            own.consignor_name,
            "transfer.consignor_name",
            small_kana=own.small_kana,
            long_vowel=own.long_vowel,
        ),
        month_day=month_day,
        bank=own.bank,
        bank_name=branch.bank_kana,
        branch=own.branch,
        branch_name=branch.branch_kana,
        account_type=ACCOUNT_TYPES[own.account_type],
        account_number=own.account_number,
    )


def _items(session: Session, shift: Shift, ids: Select[int]) -> Iterator[tuple[int, zengin.Item]]:
    """Collections as items of the file, in the order in which they were planned."""
    rows = session.execute(
        select(
            Collection.id,
            Collection.amount,
            Collection.new_code,
            Customer.number,
            PaymentMethod.sealed_account,
        )
        .join(PaymentMethod, PaymentMethod.id == Collection.payment_method_id)
        .join(Customer, Customer.id == PaymentMethod.customer_id)
        .where(Collection.id.in_(ids))
        .order_by(Collection.id)
        .execution_options(yield_per=ROWS_AT_ONCE)
    )
    for id, amount, new_code, customer, sealed in rows:
        account = BankAccount.from_json(shift.seal.open(sealed or b""))
        try:
            branch = branch_of(account.bank, account.branch)
        except Refused as unknown:
            raise Refused(customer, f"{unknown}; ask for the new account") from None
        yield (
            id,
            zengin.Item(
                bank=account.bank,
                bank_name=branch.bank_kana,
                branch=account.branch,
                branch_name=branch.branch_kana,
                account_type=account.type_code,
                account_number=account.account_number,
                holder=account.holder,
                amount=amount,
                new_code=new_code,
                customer_number=customer,
            ),
        )


def import_transfer(session: Session, shift: Shift, parsed: zengin.TransferFile) -> Imported:
    """Settle or fail every item of a request by the bank's result, all of it or nothing (ISP-07).

    It must answer a request of ours: consignor, day, counts, sums and every item once, in any
    order. Read a second time it changes nothing and says so. After code 1 or 9 the item is drawn
    again next month, by policy, else the member pays by invoice; after 2, 3 and 4 the mandate is
    suspended and the member asked for a new one.
    """
    digest = _digest(parsed)
    batch, answers = _matched(session, shift, parsed, digest)
    already = batch.state == "imported"
    if not already:
        batches.take_in(session, shift, batch, answers, digest, "zengin")
    failures = batches.failed_in(session, batch)
    if not already:
        fail(session, shift, batch, failures)
    failed = failed_items(failures, shift.policy.language)
    return Imported(batch, batch.settled_records or 0, failed, already)


def _digest(parsed: zengin.TransferFile) -> str:
    """What the result says, whatever the order of its items and its line ends."""
    ordered = sorted(parsed.items, key=lambda item: (_key(item), item.result_code))
    digest = hashlib.sha256()
    for block in zengin.result(parsed.header, ordered, line_end="none"):
        digest.update(block)
    return digest.hexdigest()


def _key(item: zengin.Item) -> tuple[object, ...]:
    """What an item must have in common with its request; banks may write their names anew."""
    return (
        *(item.customer_number, item.amount, item.bank, item.branch, item.account_type),
        *(item.account_number, item.holder, item.new_code),
    )


def _matched(
    session: Session, shift: Shift, parsed: zengin.TransferFile, digest: str
) -> tuple[Batch, list[Answer]]:
    """The request that a result answers, and its answers; refused where there is none."""
    candidates = _candidates(session, shift, parsed)
    today = shift.day.today
    same = [batch for batch in candidates if batch.result_sha256 == digest]
    waiting = [batch for batch in candidates if batch.state == "exported"]
    # Files say no year: of two that fit, the one still unanswered whose day has come is meant.
    waiting.sort(key=lambda batch: batch.collect_on > today)
    if same and not any(batch.collect_on <= today for batch in waiting):
        return same[0], []
    why = Refused(
        "file",
        f"batch {candidates[0].id} has been answered, and otherwise: ask the bank which is right",
    )
    for batch in waiting:
        try:
            return batch, _answers(session, shift, batch, parsed)
        except Refused as refused:
            why = refused
    if same:
        return same[0], []
    raise why


def _candidates(session: Session, shift: Shift, parsed: zengin.TransferFile) -> list[Batch]:
    """Requests that the header and the sums of a result may answer, the latest first."""
    own = shift.policy.transfer.consignor_code
    if parsed.header.consignor_code != own:
        raise Refused(
            "file", f"is of consignor {parsed.header.consignor_code}, we are {own}: another's file"
        )
    written = parsed.header.month_day
    requests = [
        batch
        for batch in session.scalars(
            select(Batch).where(Batch.channel == CHANNEL).order_by(Batch.id.desc())
        )
        if f"{batch.collect_on:%m%d}" == written
    ]
    if not requests:
        day = f"{written[:2]}-{written[2:]}"
        raise Refused("file", f"no transfer was requested for {day} (month-day)")
    count, amount = parsed.trailer.count, parsed.trailer.amount
    fitting = [each for each in requests if (each.records, each.amount) == (count, amount)]
    if not fitting:
        latest = requests[0]
        raise Refused(
            "file",
            f"has {count} items of {amount} yen, the request for {latest.collect_on} had "
            f"{latest.records} of {latest.amount} yen; fetch the whole file",
        )
    return fitting


def _answers(
    session: Session, shift: Shift, batch: Batch, parsed: zengin.TransferFile
) -> list[Answer]:
    """Every item of the request with its result, each once; refused where one does not fit."""
    requested: dict[tuple[object, ...], list[int]] = {}
    ids = select(Collection.id).where(Collection.batch_id == batch.id)
    for id, item in _items(session, shift, ids):
        requested.setdefault(_key(item), []).append(id)
    answers = []
    for line, item in enumerate(parsed.items, 2):
        waiting = requested.get(_key(item))
        if not waiting:
            raise Refused(
                "file",
                f"line {line}: {item.customer_number}, {item.amount} yen: is not in the request "
                f"for {batch.collect_on}, or not as it stands here",
            )
        code = item.result_code
        answers.append(Answer(waiting.pop(0), code == zengin.SETTLED, code))
    return answers
