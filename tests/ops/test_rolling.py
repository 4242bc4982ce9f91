"""Two replicas behind a real haproxy or nginx, restarted in turn under load: no request fails.

Five times in a row, as `make rolling` runs it; here once for each proxy.
"""

import os
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from service.bundle import Bundle
from tests import senses
from tests.ops.ports import free
from tests.process import COMMAND, PATIENCE, PLAIN, environment, eventually

CONNECTIONS = 32
DRAIN = 2.0  # seconds in which a replica still accepts while the proxies learn that it goes
ROUNDS = int(os.environ.get("ROUNDS", "1"))
HAPROXY = """
defaults
  mode http
  timeout connect 2s
  timeout check 2s
  timeout client 30s
  timeout server 30s
  retries 3
  option redispatch
frontend public
  bind 127.0.0.1:{port}
  default_backend braid
backend braid
  balance leastconn
  option httpchk GET /health/ready
  http-check expect status 200
  default-server check inter 200ms fall 1 rise 1
  server one 127.0.0.1:{one}
  server two 127.0.0.1:{two}
"""
NGINX = """
daemon off;
error_log stderr crit;
pid {folder}/nginx.pid;
events {{ worker_connections 512; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream braid {{
    least_conn;
    server 127.0.0.1:{one} max_fails=1 fail_timeout=1s;
    server 127.0.0.1:{two} max_fails=1 fail_timeout=1s;
  }}
  server {{
    listen 127.0.0.1:{port};
    client_max_body_size 32m;
    location / {{
      proxy_pass http://braid;
      proxy_request_buffering on;
      proxy_next_upstream error timeout http_503 non_idempotent;
    }}
  }}
}}
"""


def start(folder: Path, port: int) -> "subprocess.Popen[bytes]":
    settings = PLAIN | {"BRAID_DRAIN": str(DRAIN), "BRAID_LOG": "warning"}
    process = subprocess.Popen([*COMMAND, "serve", str(folder), "--port", str(port)], env=environment(settings))
    eventually(lambda: process.poll() is not None or ready(port))
    assert process.poll() is None
    return process


def stop(process: "subprocess.Popen[bytes]") -> None:
    process.send_signal(signal.SIGTERM)
    assert process.wait(PATIENCE) == 0


def ready(port: int) -> bool:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/health/ready", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


@contextmanager
def proxy(kind: str, folder: Path, one: int, two: int) -> Iterator[int]:
    (port,) = free(1)
    config = folder / f"{kind}.conf"
    config.write_text({"haproxy": HAPROXY, "nginx": NGINX}[kind].format(port=port, one=one, two=two, folder=folder))
    command = ["haproxy", "-db", "-q", "-f", str(config)] if kind == "haproxy" else ["nginx", "-c", str(config)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        eventually(lambda: process.poll() is not None or ready(port))
        assert process.poll() is None
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)


class Users(threading.Thread):
    """One connection that posts, again and again."""

    def __init__(self, port: int, seen: "Counter[str]", over: threading.Event) -> None:
        super().__init__()
        self._url, self._seen, self._over = f"http://127.0.0.1:{port}/v1/predict", seen, over

    def run(self) -> None:
        files = {"text": ("", b"a b"), "image": ("", senses.png(51))}
        with httpx.Client(timeout=PATIENCE) as client:
            while not self._over.is_set():
                try:
                    answer = client.post(self._url, files=files)
                    said = (
                        answer.json()["model"] if answer.status_code == 200 else f"{answer.status_code} {answer.text}"
                    )
                except httpx.TransportError as error:
                    said = type(error).__name__
                self._seen[said] += 1
                time.sleep(0.01)


@pytest.mark.timeout(900)
@pytest.mark.parametrize("kind", ["haproxy", "nginx"])
def test_no_request_fails_while_replicas_restart_in_turn(kind: str, bundle: Bundle, tmp_path: Path) -> None:
    if shutil.which(kind) is None:
        pytest.skip(f"no {kind}: apt-get install haproxy nginx-light")
    one, two = free(2)
    seen: Counter[str] = Counter()
    over = threading.Event()
    replicas = {one: start(bundle.folder, one), two: start(bundle.folder, two)}
    try:
        with proxy(kind, tmp_path, one, two) as port:
            users = [Users(port, seen, over) for _ in range(CONNECTIONS)]
            for user in users:
                user.start()
            try:
                for at in [one, two] * ROUNDS:
                    time.sleep(1)
                    stop(replicas[at])
                    replicas[at] = start(bundle.folder, at)
            finally:
                time.sleep(1)
                over.set()
                for user in users:
                    user.join(PATIENCE)
    finally:
        for process in replicas.values():
            process.kill()
            process.wait()
    assert seen.keys() == {"senses"}, seen
    assert seen["senses"] > 100
