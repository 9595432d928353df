"""The certificate that signs configuration profiles [署名用証明書], from the files of the policy."""

from __future__ import annotations

from pathlib import Path

from isp.errors import Fault
from isp.policy import Web
from provisioning.autoconfig import Signer
from provisioning.certificate import named_pair


def signer(web: Web, root: Path) -> Signer | None:
    """Who signs; None where the policy names no certificate. Relative paths count from `root`.

    A certificate without its key is refused; files that do not serve, or not together, are a Fault.
    """
    pair = named_pair(web, "web", root)
    if pair is None:
        return None
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key
    from cryptography.x509 import load_pem_x509_certificates

    told = f"certificate {web.certificate} and key {web.certificate_key}"
    try:
        own, *vouching = load_pem_x509_certificates(pair[0].read_bytes())
        key = load_pem_private_key(pair[1].read_bytes(), None)
    except OSError as wrong:
        raise Fault(f"web.certificate: cannot read {wrong.filename}: {wrong.strerror}") from None
    except (ValueError, TypeError):  # TypeError: the key wants a passphrase
        raise Fault(f"web.certificate: no PEM without a passphrase in {told}") from None
    if not isinstance(key, RSAPrivateKey | EllipticCurvePrivateKey):
        raise Fault(f"web.certificate: the key must be RSA or of an elliptic curve: {told}")
    if key.public_key() != own.public_key():
        raise Fault(f"web.certificate: they do not belong together: {told}")
    return Signer(own, key, tuple(vouching))
