"""A real Prometheus scrapes a real server of two workers, and answers the dashboard's queries."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from service.bundle import Bundle
from tests import senses
from tests.ops.ports import free
from tests.ops.test_manifests import DOCKER, queries
from tests.process import eventually, serve


@contextmanager
def prometheus(folder: Path, target: int) -> Iterator[httpx.Client]:
    config = yaml.safe_load((DOCKER / "prometheus/prometheus.yaml").read_text())
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["scrape_configs"][0]["static_configs"][0]["targets"] = [f"127.0.0.1:{target}"]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(config))
    shutil.copy(DOCKER / "prometheus/alerts.yaml", folder)
    (port,) = free(1)
    command = ["prometheus", f"--config.file={folder / 'prometheus.yaml'}", f"--storage.tsdb.path={folder / 'data'}"]
    process = subprocess.Popen([*command, f"--web.listen-address=127.0.0.1:{port}", "--log.level=error"])
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            eventually(lambda: up(client))
            yield client
    finally:
        process.terminate()
        process.wait(20)


def up(client: httpx.Client) -> bool:
    try:
        return bool(client.get("/-/ready").status_code == 200)
    except httpx.TransportError:
        return False


def ask(client: httpx.Client, query: str) -> list[Any]:
    plain = query.replace("$__rate_interval", "10s").replace("$model", ".*")
    answer = client.get("/api/v1/query", params={"query": plain}).json()
    assert answer["status"] == "success", (plain, answer)
    return list(answer["data"]["result"])


@pytest.mark.skipif(not shutil.which("prometheus"), reason="no prometheus: apt-get install prometheus")
def test_what_is_scraped_is_what_was_answered(bundle: Bundle, tmp_path: Path) -> None:
    with serve(bundle.folder, BRAID_WORKERS="2") as server, prometheus(tmp_path, server.port) as client:
        eventually(lambda: bool(ask(client, "up == 1")))
        for number in range(60):
            server.predict(text=b"a b", image=senses.png(number))
            server.predict(text=b"\xff")
            time.sleep(0.05)

        def counted() -> bool:
            found = ask(client, 'sum(braid_requests_total{status="200"})')
            return bool(found) and float(found[0]["value"][1]) == 60

        eventually(counted)
        assert ask(client, "braid_workers")[0]["value"][1] == "2"
        for query in queries():
            if "label_values" not in query and "5.." not in query:
                ask(client, query)
        assert ask(client, "sum by (reason) (rate(braid_rejects_total[10s]))")[0]["metric"] == {
            "reason": "invalid_input"
        }
        targets = client.get("/api/v1/targets").json()["data"]["activeTargets"]
        assert [(target["health"], target["lastError"]) for target in targets] == [("up", "")]
        groups = client.get("/api/v1/rules").json()["data"]["groups"]
        assert all(rule["health"] in ("ok", "unknown") for group in groups for rule in group["rules"])
