"""Mail addresses at the operator's own domains [メールアドレス]: which may be given to a member.

Addresses of the outside world are looser: Japanese mobile carriers sold two dots in a row for
years. `provisioning/smtpd.py` takes those as they come, and mail may be forwarded to them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from isp.errors import Refused

LOCAL_PART_LENGTH = 64
DOMAIN_LENGTH = 253

ROLE_NAMES = frozenset(
    {
        # RFC 2142: whom the outside world asks for about the domain itself.
        *("postmaster", "abuse", "noc", "security", "hostmaster", "webmaster", "support"),
        *("www", "usenet", "news", "uucp", "ftp"),
        # Mail systems speak under these.
        *("root", "mailer-daemon", "daemon", "nobody", "noreply", "no-reply", "bounce", "bounces"),
        # Certificate authorities issue a certificate of the domain to whoever reads these.
        *("admin", "administrator", "ssladmin", "sysadmin"),
    }
)
"""Local parts that stay with the operator; `info` and `sales` are free, companies want them."""

# A dot-atom (RFC 5322) of the letters that every mail program, log-in form and file system takes:
# no `/` (a path), no `%` and `!` (routes), none that a shell or a quoted string would read.
_LOCAL_PART = re.compile(r"[a-z0-9_+][a-z0-9_+-]*(?:\.[a-z0-9_+-]+)*")
_OUTSIDE_LOCAL_PART = re.compile(r"[A-Za-z0-9._+=?/&#*^~][A-Za-z0-9._+=?/&#*^~-]{0,63}")
_LABEL = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, order=True)
class MailAddress:
    """One address of an own mailbox, lower case, ASCII; none with a wrong form can be made.

    `str()` gives `local_part@domain`. Refused: what `mail_address` refuses but for role names.
    """

    local_part: str
    domain: str

    def __post_init__(self) -> None:
        _check_local_part(self.local_part, "address")
        _check_domain(self.domain, "address")

    def __str__(self) -> str:
        return f"{self.local_part}@{self.domain}"


def mail_address(text: str, field: str = "address", *, role_names: bool = False) -> MailAddress:
    """A member's address is a dot-atom at a valid domain, and no role name [役割アドレス].

    Lower-cased; a Japanese domain becomes its ASCII form (IDNA 2008). `role_names` admits what
    RFC 2142 reserves: for the operator's own mailboxes, and where an address is looked up.
    """
    local_part, at, domain = text.strip().rpartition("@")
    if not at:
        raise Refused(field, f"{text!r} has no @: write NAME@DOMAIN")
    local_part = local_part.lower()
    _check_local_part(local_part, field)
    if not role_names and local_part.partition("+")[0] in ROLE_NAMES:
        raise Refused(
            field,
            f"{local_part}@ is kept for the operator: others write there about the domain itself "
            "(RFC 2142), so no member may have it; choose another name",
        )
    return MailAddress(local_part, mail_domain(domain, field))


def outside_address(text: str, field: str = "to") -> str:
    """An address anywhere [転送先], as its server may have sold it: dots where it pleased.

    It is handed to mail servers as a recipient, so what they would read as a list, a route, a
    pipe or a quote is refused. The part before the @ keeps its case, which is its server's.
    """
    local_part, at, domain = text.strip().rpartition("@")
    if not at:
        raise Refused(field, f"{text!r} has no @: write NAME@DOMAIN")
    if not _OUTSIDE_LOCAL_PART.fullmatch(local_part):
        raise Refused(
            field,
            f"{local_part!r} before the @: 1 to {LOCAL_PART_LENGTH} letters, digits and "
            ". _ - + = ? / & # * ^ ~ only, no hyphen in front",
        )
    return f"{local_part}@{mail_domain(domain, field)}"


def mail_domain(text: str, field: str = "domain") -> str:
    """A mail domain [メールドメイン]: two labels at least, lower case, in its ASCII form (IDNA 2008)."""
    domain = text.strip().lower()
    if not domain.isascii() or "xn--" in domain:
        import idna  # late: its tables are needed for Japanese domains only

        try:
            domain = idna.encode(domain, uts46=True, std3_rules=True).decode("ascii")
        except (idna.IDNAError, UnicodeError) as wrong:
            raise Refused(field, f"{text!r} is no valid domain name: {wrong}") from None
    _check_domain(domain, field)
    return domain


def _check_local_part(local_part: str, field: str) -> None:
    """Refuse what no own mailbox may be called."""
    if not local_part:
        raise Refused(field, "nothing stands before the @: write NAME@DOMAIN")
    if not local_part.isascii():
        raise Refused(field, f"{local_part!r} before the @ is not ASCII: use half-width letters")
    if len(local_part) > LOCAL_PART_LENGTH:
        raise Refused(field, f"more than {LOCAL_PART_LENGTH} characters before the @ (RFC 5321)")
    if not _LOCAL_PART.fullmatch(local_part):
        raise Refused(
            field,
            f"{local_part!r} before the @: letters, digits and . _ - + only, no dot at either end, "
            "no two dots in a row, no hyphen in front",
        )


def _check_domain(domain: str, field: str) -> None:
    """Refuse what is no host name of at least two labels in lower-case ASCII (RFC 1123)."""
    labels = domain.split(".")
    if len(domain) > DOMAIN_LENGTH:
        raise Refused(field, f"a domain has at most {DOMAIN_LENGTH} characters (RFC 1035)")
    if len(labels) < 2 or labels[-1].isdigit():
        raise Refused(field, f"{domain!r} is no mail domain: write it whole, as in example.jp")
    for label in labels:
        if not _LABEL.fullmatch(label):
            raise Refused(
                field,
                f"{label!r} in the domain: letters, digits and inner hyphens, 1 to 63 characters",
            )
