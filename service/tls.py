"""Certificate files to a TLS context, and again when they have been renewed."""

import ssl
from pathlib import Path

from service.errors import SettingsError
from service.keys import private
from service.settings import Settings

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"  # of TLS 1.2; all of those of 1.3 are good


def context(settings: Settings) -> ssl.SSLContext | None:
    """Nothing where the settings name no certificate. Raises SettingsError."""
    certificate, key = settings.tls_cert, settings.tls_key
    if not certificate or not key:
        if certificate or key:
            raise SettingsError("BRAID_TLS_CERT and BRAID_TLS_KEY belong together; one of them is not set")
        return None
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers(CIPHERS)
    made.set_alpn_protocols(["http/1.1"])
    renew(made, certificate, key)
    return made


def renew(made: ssl.SSLContext, certificate: Path, key: Path) -> None:
    """New connections get the certificate that the files hold now. Raises SettingsError."""
    private(key)
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")  # half a pair harms none
        made.load_cert_chain(certificate, key, password="")  # no question at a terminal
    except (OSError, ValueError) as error:  # of which SSLError is one
        reason = getattr(error, "reason", None) or getattr(error, "strerror", None) or "cannot be read"
        reason = str(reason).lower().replace("_", " ")
        raise SettingsError(f"{certificate}, {key}: not a certificate with its unencrypted key: {reason}") from error
