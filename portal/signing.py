"""The certificate that signs configuration profiles [署名用証明書], from the files of the policy."""

from __future__ import annotations

from pathlib import Path

from isp.errors import Fault, Refused
from isp.policy import Web
from provisioning.autoconfig import Signer


def signer(web: Web, root: Path) -> Signer | None:
    """Who signs; None where the policy names no certificate. Relative paths count from `root`.

    A certificate without its key is refused; files that do not serve, or not together, are a Fault.
    """
    if bool(web.certificate) != bool(web.certificate_key):
        raise Refused("web.certificate", "name certificate and certificate_key, or neither")
    if not web.certificate:
        return None
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    pair = f"certificate {web.certificate} and key {web.certificate_key}"
    try:
        own, *vouching = load_pem_x509_certificates((root / web.certificate).read_bytes())
        key = load_pem_private_key((root / web.certificate_key).read_bytes(), None)
    except OSError as wrong:
        raise Fault(f"web.certificate: cannot read {wrong.filename}: {wrong.strerror}") from None
    except (ValueError, TypeError):  # TypeError: the key wants a passphrase
        raise Fault(f"web.certificate: no PEM without a passphrase in {pair}") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise Fault(f"web.certificate: the key must be RSA or of an elliptic curve: {pair}")
    if key.public_key() != own.public_key():
        raise Fault(f"web.certificate: they do not belong together: {pair}")
    return Signer(own, key, tuple(vouching))
