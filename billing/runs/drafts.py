"""The drafts of a stretch of members [請求書の下書き]: what is read, put to the rules of drafting."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import groupby
from operator import attrgetter
from typing import NamedTuple

from sqlalchemy.orm import Session

from billing import drafting
from billing.drafting import Billed, MethodKind, Totals
from billing.runs import facts
from billing.runs.facts import Candidate
from isp.charges import Charge, ChargeKind, Exit, Fees
from isp.documents import Language
from isp.month import Month
from isp.shift import Shift

Entry = tuple[int | None, str, Charge]
"""A line to be written: contract id, words, charge."""


class Draft(NamedTuple):
    """An invoice to be written: whom it goes to, how it is paid, its lines and sums."""

    payer: Candidate
    method: MethodKind
    entries: list[Entry]
    totals: Totals


class Drafts:
    """Iterated once: a draft for each member with something to be billed, in the order of ids.

    What most contracts have in common is worked out once. Afterwards `contracts` tells how many
    are on the drafts, `skipped` how many had been billed before, and `to_return` the opening fees
    that no later invoice can bear (ISP-14). Contracts in `elsewhere` are passed over.
    """

    def __init__(
        self,
        session: Session,
        shift: Shift,
        month: Month,
        after: int,
        to: int,
        elsewhere: frozenset[int] = frozenset(),
    ) -> None:
        self.month, self.rounding = month, shift.policy.billing.rounding
        self.default_method: MethodKind = shift.policy.billing.default_method
        self.fee = drafting.transfer_fee(month, shift.policy.transfer.fee)
        self.contracts = self.skipped = 0
        self.to_return: list[facts.OpeningFee] = []
        self.tariffs = facts.tariffs(session)
        self.candidates = [
            found
            for found in facts.candidates(session, month, after, to)
            if found.contract_id not in elsewhere
        ]
        self.billed = facts.billed_in(session, month, after, to)
        self.fee_billed = facts.fee_billed_in(session, month, after, to)
        self.complete = facts.complete_months(session)
        ending = [
            found.contract_id
            for found in self.candidates
            if found.last_charged is not None and found.last_charged <= month.index
        ]
        withdrawn = [
            found.contract_id for found in self.candidates if found.leaving_kind == "withdrawal"
        ]
        self.left, self.last_billed = facts.billed_of_leavers(session, ending)
        self.openings = facts.openings_to_return(session, withdrawn, month)
        self.running = cache(self._running)
        self.words = cache(self._words)
        self.totals = cache(self._totals)

    def __iter__(self) -> Iterator[Draft]:
        for _, group in groupby(self.candidates, attrgetter("customer_id")):
            contracts = list(group)
            if len(contracts) > 1:
                contracts.sort(key=attrgetter("number"))
            entries = self._entries(contracts)
            if entries:
                yield self._draft(contracts[0], entries)

    def _draft(self, payer: Candidate, entries: list[Entry]) -> Draft:
        method = drafting.billed_method(payer.method_kind, payer.mandate, self.default_method)
        if (
            method == "account-transfer"
            and self.fee.net
            and payer.customer_id not in self.fee_billed
        ):
            words = self.words("transfer-fee", None, payer.language)
            entries.append((None, words, self.fee))
        return Draft(payer, method, entries, self.totals(tuple([entry[2] for entry in entries])))

    def _entries(self, contracts: list[Candidate]) -> list[Entry]:
        """The lines of a member's contracts, in the order of their numbers."""
        entries: list[Entry] = []
        returning = False
        for found in contracts:
            charges = self._due(found)
            if charges:
                self.contracts += 1
            elif not drafting.RUNNING.isdisjoint(self.billed.get(found.contract_id, ())):
                self.skipped += 1
            for charge in charges:
                words = self.words(charge.kind, found.plan_id, found.language)
                entries.append((found.contract_id, words, charge))
            returning = returning or found.contract_id in self.openings
        return self._borne(contracts, entries) if returning else entries

    def _borne(self, contracts: list[Candidate], entries: list[Entry]) -> list[Entry]:
        """Opening fees are given back on an invoice that still has something to collect.

        Otherwise they wait for a later month that charges something; where none can come, a credit
        note gives them back.
        """
        if entries and self.totals(tuple(entry[2] for entry in entries)).gross > 0:
            return entries
        kept = [entry for entry in entries if entry[2].kind != "adjustment"]
        self.contracts -= len({entry[0] for entry in entries}) - len({entry[0] for entry in kept})
        if not any(
            drafting.charged_after(self.month, month_at(found.charged_from), self._exit(found))
            for found in contracts
        ):
            self.to_return += [
                self.openings[found.contract_id]
                for found in contracts
                if found.contract_id in self.openings
            ]
        return kept

    def _due(self, found: Candidate) -> tuple[Charge, ...]:
        billed = self.billed.get(found.contract_id)
        if billed is None and found.last_charged is None:
            return self.running(
                found.plan_id, found.charged_from, found.opening_fee, found.free_months
            )
        opening = self.openings.get(found.contract_id)
        return drafting.due(
            self.month,
            month_at(found.charged_from),
            self.tariffs[found.plan_id].prices,
            fees(found),
            self._exit(found),
            Billed(
                kinds=frozenset(billed or ()) | frozenset(self.left.get(found.contract_id, ())),
                last_month=found.contract_id in self.last_billed,
                last_month_complete=found.last_charged in self.complete,
                opening=(opening.net, opening.tax_rate) if opening else None,
            ),
        )

    def _exit(self, found: Candidate) -> Exit | None:
        if found.last_charged is None:
            return None
        return Exit(
            Month(found.last_charged),
            found.early_fee or 0,
            found.installation or 0,
            withdrawn=found.leaving_kind == "withdrawal",
        )

    def _running(
        self, plan_id: int, charged_from: int | None, opening_fee: int, free_months: int
    ) -> tuple[Charge, ...]:
        """What a contract of which nothing is billed and which nobody leaves costs in the month."""
        pinned = Fees(term_months=1, opening_fee=opening_fee, free_months=free_months)
        return drafting.due(
            self.month,
            month_at(charged_from),
            self.tariffs[plan_id].prices,
            pinned,
            None,
            drafting.NOTHING,
        )

    def _totals(self, charges: tuple[Charge, ...]) -> Totals:
        return drafting.totals(charges, self.rounding)

    def _words(self, kind: ChargeKind, plan_id: int | None, language: Language) -> str:
        plan = self.tariffs[plan_id].name if plan_id else ""
        return drafting.description(kind, plan, self.month, language)


def month_at(index: int | None) -> Month | None:
    return None if index is None else Month(index)


def fees(found: Candidate) -> Fees:
    """What the contract pinned; its term has no part in what a month costs."""
    return Fees(
        term_months=1,
        early_fee_tax="standard" if found.early_fee_tax == "standard" else "none",
        opening_fee=found.opening_fee,
        free_months=found.free_months,
    )
