"""TLS by certificate files: what is refused at the start, and a real handshake."""

import datetime
import signal
import socket
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from service import tls
from service.bundle import Bundle
from service.errors import SettingsError
from service.settings import Settings
from tests import process
from tests.process import PLAIN, eventually
from tests.process import Server as Process

Write = Callable[[str], None]


def pair(folder: Path, name: str, *, mode: int = 0o600, password: bytes | None = None) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that it has signed itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    who = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder(who, who, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    hidden = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    text = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, hidden)
    files = folder / f"{name}.crt", folder / f"{name}.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(text)
    files[1].chmod(mode)
    return files


def settings(certificate: Path | None, key: Path | None) -> Settings:
    return Settings(tls_cert=certificate, tls_key=key)


def test_a_pair_is_taken_and_half_a_pair_is_not(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "one")
    made = tls.context(settings(certificate, key))
    assert made
    assert made.minimum_version == ssl.TLSVersion.TLSv1_2
    assert tls.context(settings(None, None)) is None
    for half in (settings(certificate, None), settings(None, key)):
        with pytest.raises(SettingsError, match="belong together"):
            tls.context(half)


def test_a_wrong_pair_is_refused_in_one_line_without_a_question_at_the_terminal(tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "one")
    _, other = pair(tmp_path, "other")
    _, hidden = pair(tmp_path, "hidden", password=b"secret")
    _, public = pair(tmp_path, "public", mode=0o644)
    for wrong, said in [
        (other, "mismatch"),
        (hidden, "unencrypted"),
        (public, "chmod 600"),
        (tmp_path / "no", "No such"),
    ]:
        with pytest.raises(SettingsError, match=said) as refusal:
            tls.context(settings(certificate, wrong))
        assert "\n" not in str(refusal.value)
    with pytest.raises(SettingsError):
        tls.context(settings(key, key))


def test_it_speaks_https_and_nothing_else(bundle: Bundle, tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "one")
    server = Process([bundle.folder], {**PLAIN, "BRAID_TLS_CERT": str(certificate), "BRAID_TLS_KEY": str(key)}, None)
    try:
        url = next(server.events("listening"))["url"]
        assert url.startswith("https://127.0.0.1:")
        trusted = ssl.create_default_context(cafile=certificate)
        with httpx.Client(base_url=url, verify=trusted, timeout=30) as client:
            eventually(lambda: any(server.events("ready")))
            answer = client.post("/v1/predict?raw=true", files={"text": b"a b c"})
            assert answer.json()["raw"]["measures"][0] == 3
            big = client.post("/v1/predict", files={"text": b"a " * 10_000})  # more than one TLS record
            assert big.status_code == 200
        with pytest.raises(httpx.TransportError):
            httpx.get(url.replace("https", "http") + "/health/live")
        with pytest.raises(httpx.ConnectError, match=r"(?i)certificate"):
            httpx.get(url + "/health/live")
        old = ssl.create_default_context(cafile=certificate)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        assert httpx.get(url + "/health/live", verify=old).status_code == 200
    finally:
        assert server.stop() == 0


def test_a_renewed_certificate_is_shown_after_a_signal(bundle: Bundle, tmp_path: Path) -> None:
    """Half a renewal, a certificate whose key has not come yet, changes nothing."""
    certificate, key = pair(tmp_path, "one")
    fresh, its_key = pair(tmp_path, "two")
    files = {"BRAID_TLS_CERT": str(certificate), "BRAID_TLS_KEY": str(key), "BRAID_WORKERS": "2"}
    server = Process([bundle.folder], {**PLAIN, **files}, None)

    def shown() -> set[str]:
        """On twelve connections, so that both workers are asked."""
        return {ssl.get_server_certificate(("127.0.0.1", server.port)) for _ in range(12)}

    try:
        eventually(lambda: len(list(server.events("ready"))) == 2)
        old, new = certificate.read_text(), fresh.read_text()
        certificate.write_text(new)
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: len(list(server.events("certificate not renewed"))) == 2)
        assert shown() == {old}
        key.write_bytes(its_key.read_bytes())
        server.process.send_signal(signal.SIGHUP)
        eventually(lambda: shown() == {new})
    finally:
        assert server.stop() == 0


def test_the_deadlines_hold_for_encrypted_connections_too(bundle: Bundle, tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "one")
    short = {"BRAID_HEAD_SECONDS": "0.5", "BRAID_BODY_GRACE": "0.3", "BRAID_KEEP_ALIVE": "0.5"}
    server = Process(
        [bundle.folder], PLAIN | short | {"BRAID_TLS_CERT": str(certificate), "BRAID_TLS_KEY": str(key)}, None
    )
    try:
        eventually(lambda: any(server.events("ready")))
        trusted = ssl.create_default_context(cafile=certificate)
        trusted.check_hostname = False

        def said(data: bytes) -> bytes:
            with (
                socket.create_connection(("127.0.0.1", server.port), 10) as plain,
                trusted.wrap_socket(plain) as secure,
            ):
                secure.sendall(data)
                return b"".join(iter(lambda: secure.recv(65536), b""))

        for silent in (b"", b"GET / HTTP/1.1\r\n\r\n"):  # no handshake, or none that it could be
            began = time.monotonic()
            with socket.create_connection(("127.0.0.1", server.port), 10) as connection:
                connection.sendall(silent)
                with suppress(ConnectionError):
                    assert b"HTTP" not in connection.recv(1000)
            assert time.monotonic() - began < 2.5
        assert said(b"") == b""
        assert b" 408 " in said(b"GET /hea")
        start = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        assert b" 408 " in said(start + b"Content-Length: 100\r\n\r\n")
        assert b" 413 " in said(start + b"Content-Length: 40000000\r\n\r\n" + b" " * 40_000_000)
        assert said(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n" * 3).count(b" 200 OK") == 3
    finally:
        assert server.stop() == 0


def test_a_key_that_everybody_may_read_stops_the_start(bundle: Bundle, tmp_path: Path) -> None:
    certificate, key = pair(tmp_path, "one", mode=0o644)
    run = process.braid("serve", bundle.folder, "--port", "0", BRAID_TLS_CERT=str(certificate), BRAID_TLS_KEY=str(key))
    assert run.returncode == 2
    assert "chmod 600" in run.stderr
