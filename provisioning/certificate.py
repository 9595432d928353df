"""The certificate of the submission server [サーバー証明書]: the operator's, or one for trying out."""

from __future__ import annotations

import os
import secrets
import ssl
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from isp.errors import Fault, Refused

# From before any clock to "no end" (RFC 5280, 4.1.2.5): what nobody vouches for cannot run out.
VALID_FROM = datetime(2000, 1, 1, tzinfo=UTC)
VALID_UNTIL = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


class Certified(Protocol):
    """A section of the policy that may name a certificate; both empty: none."""

    @property
    def certificate(self) -> str: ...
    @property
    def certificate_key(self) -> str: ...


def named_pair(section: Certified, name: str, root: Path) -> tuple[Path, Path] | None:
    """The PEM files that a section of the policy names, relative ones from `root`; None: it names none.

    One without the other is refused by the name of the section.
    """
    if bool(section.certificate) != bool(section.certificate_key):
        raise Refused(f"{name}.certificate", "name certificate and certificate_key, or neither")
    if not section.certificate:
        return None
    return root / section.certificate, root / section.certificate_key


def self_signed(directory: Path, *hostnames: str, name: str = "smtpd") -> tuple[Path, Path]:
    """A certificate for these hosts that nobody vouches for, to try things out; made once, then kept.

    Paths of certificate and key (PEM); the key is readable for its owner only.
    """
    certificate, key = directory / f"{name}.crt", directory / f"{name}.key"
    if not (certificate.exists() and key.exists()):
        directory.mkdir(parents=True, exist_ok=True)
        made, secret = _made_certificate(hostnames)
        _keep(key, secret, 0o600)
        _keep(certificate, made, 0o644)
    return certificate, key


def _made_certificate(hostnames: Sequence[str]) -> tuple[bytes, bytes]:
    """Certificate and key in PEM."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, hostnames[0][:64])])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(VALID_FROM)
        .not_valid_after(VALID_UNTIL)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(each) for each in hostnames]), critical=False
        )
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def _keep(path: Path, content: bytes, mode: int) -> None:
    """A file that is there whole or not at all, and never readable for others in between."""
    draft = path.with_name(f"{path.name}.{secrets.token_hex(4)}")
    with open(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
    draft.replace(path)


def tls_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """TLS 1.2 or later with this certificate (RFC 8996); Fault when the files do not serve."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    try:
        context.load_cert_chain(certificate, key)
    except (OSError, ssl.SSLError) as wrong:
        raise Fault(f"cannot use certificate {certificate} with key {key}: {wrong}") from None
    return context
