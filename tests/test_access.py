"""Who may ask: a server with keys, and what a client without one learns."""

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from service import keys
from service.bundle import Bundle
from tests import process
from tests.process import Server, eventually, serve

ALICE, LINE = keys.make("alice", None, manage=False)
SLOW, SLOW_LINE = keys.make("slow", 0.01, manage=False)


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys") / "keys"
    made.write_text(f"{LINE}\n{SLOW_LINE}\n")
    made.chmod(0o600)
    return made


@pytest.fixture(scope="module")
def locked(bundle: Bundle, file: Path) -> Iterator[Server]:
    with serve(bundle.folder, BRAID_KEYS=str(file)) as running:
        yield running


def test_with_a_key_all_is_as_ever(locked: Server) -> None:
    for headers in (bearer(ALICE), {"x-api-key": ALICE}, {"authorization": f"bearer  {ALICE}"}):
        assert locked.predict(text=b"a b", headers=headers).status_code == 200
        assert locked.client.get("/v1/models", headers=headers).status_code == 200


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models/senses", "/metrics", "/openapi.json", "/nowhere", "/health", "/v1/predict",
             "/health/live/", "//health/live", "/HEALTH/LIVE", "/health/live%2f..%2f..%2fmetrics"]
)  # fmt: skip
def test_without_one_all_but_probes_and_pages_is_closed(locked: Server, path: str) -> None:
    for headers in ({}, bearer("braid_wrong"), {"x-api-key": "x"}, {"authorization": f"Basic {ALICE}"}):
        answer = locked.client.get(path, headers=headers)
        assert answer.status_code == 401, path
        assert answer.headers["www-authenticate"].startswith("Bearer ")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.json()["code"] == "unauthorized"
        assert "wrong" not in answer.text


def test_a_body_without_a_key_is_not_read_into_a_model(locked: Server) -> None:
    before = locked.client.get("/metrics", headers=bearer(ALICE)).text
    assert locked.predict(text=b"a").status_code == 401
    after = locked.client.get("/metrics", headers=bearer(ALICE)).text
    assert [line for line in before.splitlines() if line.startswith("braid_requests_total")] == [
        line for line in after.splitlines() if line.startswith("braid_requests_total")
    ]


def test_probes_and_pages_are_open(locked: Server) -> None:
    for path in ("/health/live", "/health/ready", "/", "/status", "/playground/main.js"):
        assert locked.client.get(path).status_code == 200, path


def test_a_faster_client_is_told_when_to_come_back(locked: Server) -> None:
    assert locked.predict(text=b"a", headers=bearer(SLOW)).status_code == 200
    answer = locked.predict(text=b"a", headers=bearer(SLOW))
    assert answer.status_code == 429
    assert answer.json()["code"] == "rate_limited"
    assert 90 <= int(answer.headers["retry-after"]) <= 100
    assert locked.predict(text=b"a", headers=bearer(ALICE)).status_code == 200


def test_names_are_in_the_metrics_and_keys_are_nowhere(locked: Server) -> None:
    locked.predict(text=b"a", headers=bearer(ALICE))
    locked.predict(text=b"a", headers=bearer("braid_wrong"))
    text = locked.client.get("/metrics", headers=bearer(ALICE)).text
    assert 'braid_key_requests_total{key="alice",status="200"}' in text
    assert 'braid_key_requests_total{key="-",status="401"}' in text
    everything = text.encode() + b"".join(locked.lines)
    for secret in (ALICE, "braid_wrong", LINE.split(":")[1]):
        assert secret.encode() not in everything


def test_keys_change_without_a_restart(bundle: Bundle, tmp_path: Path) -> None:
    bob, line = keys.make("bob", None, manage=False)
    file = tmp_path / "keys"
    file.write_text(LINE + "\n")
    file.chmod(0o600)
    with serve(bundle.folder, BRAID_KEYS=str(file), BRAID_WORKERS="2") as server:
        assert server.client.get("/v1/models", headers=bearer(bob)).status_code == 401
        file.write_text(line + "\n")
        eventually(lambda: server.client.get("/v1/models", headers=bearer(bob)).status_code == 200)
        eventually(lambda: server.client.get("/v1/models", headers=bearer(ALICE)).status_code == 401)
        file.write_text("nonsense\n")
        eventually(
            lambda: bool(server.client.get("/v1/models", headers=bearer(bob)) and [*server.events("keys not reloaded")])
        )
        assert server.client.get("/v1/models", headers=bearer(bob)).status_code == 200
        assert server.stop(signal.SIGTERM) == 0


def test_a_file_that_everybody_may_read_stops_the_start(bundle: Bundle, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LINE + "\n")
    file.chmod(0o644)
    run = process.braid("serve", bundle.folder, "--port", "0", BRAID_KEYS=str(file))
    assert run.returncode == 2
    assert "chmod 600" in run.stderr


CALLS = [
    "/v1/models", "/health/live", "/metrics", "/openapi.json", "/nowhere", "/", "/status", "/docs", "/docs/docs.js",
    "/v1/predict",
]  # fmt: skip


@pytest.mark.parametrize("path", CALLS)
def test_every_answer_is_dressed(server: Server, path: str) -> None:
    headers = server.client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["cache-control"] in ("no-store", "no-cache")
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "server" not in headers
    assert "access-control-allow-origin" not in headers


def test_a_prediction_is_dressed_too_and_no_header_stands_twice(server: Server) -> None:
    answer = server.predict(text=b"a")
    names = [name for name, _ in answer.headers.raw]
    assert len(set(names)) == len(names)
    assert answer.headers["cache-control"] == "no-store"


def test_the_pages_of_the_api_load_nothing_from_elsewhere(server: Server) -> None:
    page = server.client.get("/docs").text
    named = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert named
    for path in named:
        assert path.startswith("/")
        assert server.client.get(path).status_code == 200
    assert "style=" not in page
    assert not re.search(r"<script(?![^>]*src=)", page)
    assert server.client.get("/docs/../app.py").status_code == 404
    assert server.client.get("/docs/%2e%2e%2fapp.py").status_code == 404


def test_other_origins_may_ask_only_if_they_are_named(bundle: Bundle, file: Path) -> None:
    friend, stranger = {"origin": "https://friend.example"}, {"origin": "https://stranger.example"}
    wish = {"access-control-request-method": "POST", "access-control-request-headers": "authorization"}
    with serve(
        bundle.folder, BRAID_KEYS=str(file), BRAID_CORS="https://friend.example,https://other.example"
    ) as server:
        asked = server.client.options("/v1/predict", headers={**friend, **wish})
        assert asked.status_code == 200
        assert asked.headers["access-control-allow-origin"] == "https://friend.example"
        assert "access-control-allow-credentials" not in asked.headers
        refused = server.client.options("/v1/predict", headers={**stranger, **wish})
        assert "access-control-allow-origin" not in refused.headers
        answer = server.predict(text=b"a", headers={**friend, **bearer(ALICE)})
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://friend.example"
        assert (
            "access-control-allow-origin"
            not in server.predict(text=b"a", headers={**stranger, **bearer(ALICE)}).headers
        )
        assert server.predict(text=b"a", headers=friend).status_code == 401
