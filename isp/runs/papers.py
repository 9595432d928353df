"""Contract document and renewal notice as letters [契約書面・更新のご案内] (ISP-15)."""

from __future__ import annotations

from sqlalchemy.orm import Session

from isp.documents import Addressee, Language
from isp.letters import ContractDocument, RenewalNotice
from isp.queries import address_of
from isp.runs.contracts import terms_said
from isp.runs.renewals import renewal_said
from isp.shift import Shift
from isp.tables import Contract, Customer


def addressee(session: Session, customer: Customer) -> Addressee:
    """Papers, above all those with passwords, go to where the member lives, never to who pays."""
    place = address_of(session, customer.id, "contract")
    return Addressee(
        number=customer.number,
        name=customer.name,
        postal_code=place.postal_code,
        address=place.address,
        corporation=customer.kind == "corporation",
    )


def contract_document(
    session: Session, shift: Shift, contract: Contract, language: Language | None = None
) -> ContractDocument:
    """What the member is bound to and may do, in the member's language or the one wished."""
    policy = shift.policy
    return ContractDocument(
        contract_number=contract.number,
        customer=addressee(session, contract.customer),
        plan_name=contract.plan.name,
        concluded_on=contract.concluded_on,
        issued_on=shift.day.today,
        **terms_said(contract, shift),
        withdrawal_installation_maximum=policy.contract.withdrawal_installation_maximum,
        transfer_fee=policy.transfer.fee,
        operator=policy.operator,
        desk=policy.desk,
        language=language or contract.customer.language,
    )


def renewal_notice(
    session: Session, shift: Shift, contract: Contract, language: Language | None = None
) -> RenewalNotice:
    """When leaving is free, and what happens without an application."""
    policy = shift.policy
    return RenewalNotice(
        customer=addressee(session, contract.customer),
        issued_on=shift.day.today,
        **renewal_said(contract, shift),
        operator=policy.operator,
        desk=policy.desk,
        language=language or contract.customer.language,
    )
