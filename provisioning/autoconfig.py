"""Settings that mail programs fetch by themselves [メールソフトの自動設定]: policy in, answer out.

Thunderbird asks for `config-v1.1.xml`, Outlook posts to autodiscover, Apple Mail takes a
configuration profile [構成プロファイル]. An answer rests on the policy and on which domains are
served, and on nothing else: no mailbox is looked up, so that nobody learns here which addresses
there are. No answer holds a password.
"""

from __future__ import annotations

import json
import plistlib
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal
from xml.etree.ElementTree import Element, ParseError, SubElement, indent, tostring

from isp.documents import Language, printable
from isp.errors import Refused
from isp.policy import Mail, Policy, Security, Server
from provisioning.addresses import MailAddress, mail_address
from provisioning.dns_records import WEB_NAMES, sts_policy
from provisioning.settings import Protocol

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.x509 import Certificate

ADDRESS_LENGTH: Final = 254
"""Characters of the longest mail address (RFC 5321, 4.5.3.1.3)."""
PLACEHOLDER: Final = "%EMAILADDRESS%"
"""What Thunderbird fills in by itself, and we for the others."""
NAME_LENGTH: Final = 60
"""What Thunderbird shows of a provider's name."""


class NotServed(Refused):
    """The domain is none of ours: all that an answer ever tells about an address."""

    def __init__(self, field: str) -> None:
        super().__init__(field, "no mail domain of this provider; check what stands after the @")


def address_at(written: str, served: Collection[str], field: str) -> MailAddress:
    """A well-formed address of a served domain, whether or not there is such a mailbox.

    Refused without repeating what was written, which may be long or hostile.
    """
    try:
        if len(written) > ADDRESS_LENGTH or "\0" in written:
            raise Refused(field, "too long")
        address = mail_address(written, field, role_names=True)
    except Refused:
        why = f"write one mail address as NAME@DOMAIN, {ADDRESS_LENGTH} characters at most"
        raise Refused(field, why) from None
    if address.domain not in served:
        raise NotServed(field)
    return address


def domain_of_host(host: str, served: Collection[str]) -> str:
    """The domain that a Host header asks about: itself, or below `autoconfig` and its likes."""
    name = host.partition(":")[0].lower().removesuffix(".")
    label, _, rest = name.partition(".")
    for domain in (name, rest if label in WEB_NAMES else ""):
        if domain in served:
            return domain
    raise NotServed("Host")


# Thunderbird --------------------------------------------------------------------------------------

_SOCKETS: Final[dict[Security, str]] = {"ssl": "SSL", "starttls": "STARTTLS", "none": "plain"}


def thunderbird(domain: str, policy: Policy) -> bytes:
    """`config-v1.1.xml` of a domain, the same for everybody in it (ISP-17).

    IMAP before POP3; outgoing the submission port, 587, then the one under TLS from its first
    byte. The program itself puts the address in place of `%EMAILADDRESS%`.
    """
    mail = policy.mail
    root = Element("clientConfig", version="1.1")
    provider = SubElement(root, "emailProvider", id=domain)
    _text(provider, "domain", domain)
    name = policy.operator.name if policy.language == "ja" else policy.operator.name_en
    _text(provider, "displayName", printable(name)[:NAME_LENGTH])
    _text(provider, "displayShortName", printable(name)[:NAME_LENGTH])
    for protocol, server in _incoming(mail):
        _server(provider, "incomingServer", protocol, server)
    for server in (mail.submission, mail.submissions):
        _server(provider, "outgoingServer", "smtp", server)
    if policy.web.url:
        documentation = SubElement(provider, "documentation", url=policy.web.url)
        for language, said in _DOCUMENTATION.items():
            SubElement(documentation, "descr", lang=language).text = said
    return _xml(root)


_DOCUMENTATION: Final[dict[Language, str]] = {
    "ja": "メールソフトの設定ガイド",
    "en": "Setup guides for mail programs",
}


def _incoming(mail: Mail) -> tuple[tuple[Protocol, Server], ...]:
    return (("imap", mail.imap), ("pop3", mail.pop3))


def _server(provider: Element, tag: str, kind: str, server: Server) -> None:
    made = SubElement(provider, tag, type=kind)
    _text(made, "hostname", server.host)
    _text(made, "port", str(server.port))
    _text(made, "socketType", _SOCKETS[server.security])
    _text(made, "username", PLACEHOLDER)
    _text(made, "authentication", "password-cleartext")


def _text(parent: Element, tag: str, text: str) -> None:
    SubElement(parent, tag).text = text


def _xml(root: Element) -> bytes:
    indent(root)
    written: bytes = tostring(root, "utf-8", xml_declaration=True)
    return written + b"\n"


# Outlook ------------------------------------------------------------------------------------------

_EXCHANGE: Final = "http://schemas.microsoft.com/exchange/autodiscover/"
REQUEST: Final = f"{_EXCHANGE}outlook/requestschema/2006"
ENVELOPE: Final = f"{_EXCHANGE}responseschema/2006"
RESPONSE: Final = f"{_EXCHANGE}outlook/responseschema/2006a"

INVALID_REQUEST: Final = 600
UNKNOWN_ADDRESS: Final = 500

# `Encryption` is what today's Outlook reads; the old one reads `SSL` only, where "on" means TLS
# from the first byte: with "on" at port 587 it would wait there for ever.
_ENCRYPTION: Final[dict[Security, tuple[str, str]]] = {
    "ssl": ("on", "SSL"),
    "starttls": ("off", "TLS"),
    "none": ("off", "None"),
}


def outlook_asks(body: bytes) -> str:
    """The address in an autodiscover request, as it was written there.

    Refused: what is no XML, declares a document type or entities, has another namespace, names no
    address or two, or accepts no answer that we could give.
    """
    from defusedxml import DefusedXmlException
    from defusedxml.ElementTree import fromstring

    try:
        root = fromstring(body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError, LookupError):
        raise Refused("request", "no XML without a document type; post what Outlook does") from None
    if root.tag != f"{{{REQUEST}}}Autodiscover":
        raise Refused("request", f"its root must be Autodiscover of the namespace {REQUEST}")
    asked = f"{{{REQUEST}}}Request/{{{REQUEST}}}"
    accepted = root.findtext(f"{asked}AcceptableResponseSchema", RESPONSE).strip()
    if accepted != RESPONSE:
        raise Refused("AcceptableResponseSchema", f"only {RESPONSE} is answered")
    match [found.text for found in root.findall(f"{asked}EMailAddress")]:
        case [str(address)]:
            return address
    raise Refused("EMailAddress", "the request must name one mail address")


def outlook(address: MailAddress, mail: Mail) -> bytes:
    """The answer to Outlook: IMAP, POP3 and submission for an address (ISP-17).

    Nothing in an address needs to be escaped in XML (`MailAddress`).
    """
    return _for_anybody(mail).replace(PLACEHOLDER.encode(), str(address).encode())


@lru_cache(maxsize=1)
def _for_anybody(mail: Mail) -> bytes:
    """The answer to Outlook with a placeholder in it: to build it takes five times what the rest does."""
    root = Element("Autodiscover", xmlns=ENVELOPE)
    response = SubElement(root, "Response", xmlns=RESPONSE)
    _text(SubElement(response, "User"), "DisplayName", PLACEHOLDER)
    account = SubElement(response, "Account")
    _text(account, "AccountType", "email")
    _text(account, "Action", "settings")
    for kind, server in (*_incoming(mail), ("smtp", mail.submission)):
        protocol = SubElement(account, "Protocol")
        ssl, encryption = _ENCRYPTION[server.security]
        for tag, text in (
            ("Type", kind.upper()),
            ("Server", server.host),
            ("Port", str(server.port)),
            ("LoginName", PLACEHOLDER),
            ("DomainRequired", "off"),
            ("SPA", "off"),
            ("SSL", ssl),
            ("Encryption", encryption),
            ("AuthRequired", "on"),
        ):
            _text(protocol, tag, text)
    return _xml(root)


def outlook_error(code: int, why: str) -> bytes:
    """An autodiscover error, in one line that Outlook's own test window shows."""
    root = Element("Autodiscover", xmlns=ENVELOPE)
    error = SubElement(SubElement(root, "Response"), "Error")
    _text(error, "ErrorCode", str(code))
    _text(error, "Message", why)
    SubElement(error, "DebugData")
    return _xml(root)


def outlook_redirect(protocol: str, domain: str) -> bytes:
    """The address of `autodiscover.xml`, for an Outlook that asks in JSON.

    Refused: another protocol than the one that is served.
    """
    if protocol.lower() != "autodiscoverv1":
        raise Refused("Protocol", "only AutodiscoverV1 is served")
    url = f"https://autodiscover.{domain}/autodiscover/autodiscover.xml"
    return json.dumps({"Protocol": "AutodiscoverV1", "Url": url}).encode()


# Apple Mail ---------------------------------------------------------------------------------------


def apple(address: MailAddress, policy: Policy, language: Language) -> bytes:
    """A configuration profile [構成プロファイル] with one mail account; the device asks for the password.

    The same address has the same identifiers for ever, so that a profile that is installed again
    takes the place of the earlier one. There is no word for STARTTLS in a profile: sending goes
    through the port under TLS from the first byte where the policy has one. The desk stands in
    the description (ISP-22).
    """
    operator, desk = policy.operator, policy.desk
    name = operator.name if language == "ja" else operator.name_en
    description, contact = _APPLE[language]
    outer, inner = (uuid.uuid5(uuid.NAMESPACE_URL, f"mailto:{address}#{of}") for of in _PARTS)
    identifier = f"{'.'.join(reversed(address.domain.split('.')))}.mail.{outer}"
    profile = {
        "PayloadType": "Configuration",
        "PayloadVersion": 1,
        "PayloadIdentifier": identifier,
        "PayloadUUID": str(outer).upper(),
        "PayloadDisplayName": f"{printable(name)} {address}",
        "PayloadOrganization": printable(name),
        "PayloadDescription": f"{description} {contact} {printable(desk.phone)} ({desk.hours})",
        "PayloadRemovalDisallowed": False,
        "PayloadContent": [
            {
                "PayloadType": "com.apple.mail.managed",
                "PayloadVersion": 1,
                "PayloadIdentifier": f"{identifier}.account",
                "PayloadUUID": str(inner).upper(),
                "PayloadDisplayName": str(address),
                **_apple_account(address, policy.mail),
            }
        ],
    }
    return plistlib.dumps(profile)


_PARTS: Final = ("profile", "account")
_APPLE: Final[dict[Language, tuple[str, str]]] = {
    "ja": (
        "メールの受信と送信を設定します。パスワードは含まれていません。",
        "お問い合わせ: サポートデスク",
    ),
    "en": (
        "Sets up receiving and sending of mail. It holds no password.",
        "Questions: support desk",
    ),
}


def _apple_account(address: MailAddress, mail: Mail) -> dict[str, Any]:
    submission = mail.submissions if mail.submissions.security == "ssl" else mail.submission
    return {
        "EmailAccountType": "EmailTypeIMAP",
        "EmailAddress": str(address),
        "EmailAccountName": str(address),
        "EmailAccountDescription": str(address),
        **_apple_server("Incoming", mail.imap, address),
        **_apple_server("Outgoing", submission, address),
        "OutgoingPasswordSameAsIncomingPassword": True,
    }


def _apple_server(
    way: Literal["Incoming", "Outgoing"], server: Server, address: MailAddress
) -> dict[str, Any]:
    return {
        f"{way}MailServerHostName": server.host,
        f"{way}MailServerPortNumber": server.port,
        f"{way}MailServerUseSSL": server.security != "none",
        f"{way}MailServerUsername": str(address),
        f"{way}MailServerAuthentication": "EmailAuthPassword",
    }


@dataclass(frozen=True)
class Signer:
    """Who signs profiles [署名者]: the certificate with its key, and those that vouch for it."""

    certificate: Certificate
    key: RSAPrivateKey | EllipticCurvePrivateKey
    vouching: tuple[Certificate, ...] = ()


def signed(profile: bytes, signer: Signer) -> bytes:
    """The profile inside its signature (PKCS#7, DER), which devices show as verified."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import Encoding
    from cryptography.hazmat.primitives.serialization.pkcs7 import (
        PKCS7Options,
        PKCS7SignatureBuilder,
    )

    builder = PKCS7SignatureBuilder().set_data(profile)
    builder = builder.add_signer(signer.certificate, signer.key, SHA256())
    for certificate in signer.vouching:
        builder = builder.add_certificate(certificate)
    return builder.sign(Encoding.DER, [PKCS7Options.Binary])


# Without `isp serve` ------------------------------------------------------------------------------

STS_PATH: Final = ".well-known/mta-sts.txt"
THUNDERBIRD_PATHS: Final = ("mail/config-v1.1.xml", ".well-known/autoconfig/mail/config-v1.1.xml")


def static_files(domain: str, policy: Policy) -> dict[str, bytes]:
    """What any web server can hand out for a domain: path below its root, and content.

    Outlook and Apple Mail want the member's own address in the answer, so they are not in it.
    """
    found = dict.fromkeys(THUNDERBIRD_PATHS, thunderbird(domain, policy))
    return found | {STS_PATH: sts_policy(policy.dns).encode()}
