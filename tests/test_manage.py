"""Models are loaded and unloaded over HTTP: where it is enabled, by keys with the right, from the folders given."""

import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from tritonclient.http import InferenceServerClient
from tritonclient.utils import InferenceServerException

from service import keys
from service.bundle import Bundle
from tests import process, senses
from tests.process import PATIENCE, Server, eventually, serve
from tests.test_docs import README
from tests.test_swap import all_ready, endless, put, trials

OPS, OPS_LINE = keys.make("ops", None, manage=True)
ALICE, ALICE_LINE = keys.make("alice", None, manage=False)
ROUTES = ["/v1/reload", "/v2/repository/models/senses/load", "/v2/repository/models/senses/unload"]


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("keys") / "keys"
    made.write_text(f"{OPS_LINE}\n{ALICE_LINE}\n")
    made.chmod(0o600)
    return made


@pytest.fixture
def place(bundle: Bundle, strict: Bundle, tmp_path: Path) -> Path:
    """A folder of two bundles."""
    (tmp_path / "bundles").mkdir()
    put(bundle.folder, tmp_path / "bundles" / "senses")
    put(strict.folder, tmp_path / "bundles" / "strict")
    return tmp_path / "bundles"


@pytest.fixture
def managed(place: Path, file: Path) -> Iterator[Server]:
    with serve(place, BRAID_MANAGE="on", BRAID_KEYS=str(file), BRAID_WORKERS="2") as server:
        all_ready(server, 2)
        server.client.headers.update(bearer(OPS))
        yield server


def answers(server: Server, model: str) -> set[int]:
    """Statuses, on connections of their own, so that both workers are asked."""
    headers = {"connection": "close"}
    return {server.predict(model=model, text=b"a b", headers=headers).status_code for _ in range(12)}


def test_unless_enabled_there_are_no_such_routes(server: Server) -> None:
    for path in ROUTES:
        assert server.client.post(path).status_code == 404
    assert "model_repository(unload_dependents)" not in server.client.get("/v2").json()["extensions"]


def test_enabled_without_keys_the_server_does_not_start(bundle: Bundle) -> None:
    run = process.braid("serve", bundle.folder, "--port", "0", BRAID_MANAGE="on")
    assert run.returncode == 2
    assert "BRAID_KEYS" in run.stderr


def test_only_a_key_with_the_right_may(managed: Server) -> None:
    for path in ROUTES:
        for headers, status in ((bearer(ALICE), 403), (bearer("braid_x"), 401), ({"authorization": ""}, 401)):
            answer = managed.client.post(path, headers=headers)
            assert answer.status_code == status, path
    assert managed.client.post(ROUTES[1], headers=bearer(ALICE)).json().keys() == {"error"}
    assert managed.client.post(ROUTES[0], headers=bearer(ALICE)).json()["code"] == "forbidden"
    assert not list(managed.events("changed"))
    assert answers(managed, "senses") == {200}


def test_every_route_is_in_readme_and_has_its_place_in_the_document(managed: Server) -> None:
    paths = managed.client.get("/openapi.json").json()["paths"]
    for path in ("/v1/reload", "/v2/repository/models/{model}/load", "/v2/repository/models/{model}/unload"):
        assert "post" in paths[path]
        assert f"`POST {path}`" in README


def test_tritons_client_loads_unloads_and_lists(managed: Server, place: Path, single: Bundle) -> None:
    client = InferenceServerClient(f"127.0.0.1:{managed.port}")
    try:
        may = bearer(OPS)

        def states() -> dict[str, str]:
            return {one["name"]: one["state"] for one in client.get_model_repository_index(headers=may)}

        client.unload_model("strict", headers=may)
        assert states() == {"senses": "READY", "strict": "UNAVAILABLE"}
        assert answers(managed, "strict") == {404}
        assert not client.is_model_ready("strict", headers=may)
        client.load_model("strict", headers=may)
        assert states() == {"senses": "READY", "strict": "READY"}
        assert client.is_model_ready("strict", headers=may)
        put(single.folder, place / "single")
        assert states()["single"] == "UNAVAILABLE"
        client.load_model("single", headers=may)
        assert answers(managed, "single") == {200}
        assert managed.metric("braid_model_changes_total", change="load", result="done") == 2
        with pytest.raises(InferenceServerException, match="no bundle of this name"):
            client.load_model("nothing", headers=may)
        with pytest.raises(InferenceServerException, match="may not manage"):
            client.load_model("single", headers=bearer(ALICE))
        with pytest.raises(InferenceServerException, match="nothing of a model is taken from a request"):
            client.load_model("single", headers=may, config="{}", files={"file:1/model.onnx": b"x"})
        with pytest.raises(InferenceServerException, match="no model of this name"):
            client.unload_model("nothing", headers=may)
        assert "model_repository(unload_dependents)" in client.get_server_metadata(headers=may)["extensions"]
    finally:
        client.close()


def test_a_new_version_is_loaded_and_a_bad_one_refused_with_its_reason(managed: Server, place: Path) -> None:
    before = managed.client.get("/v2/models/senses").json()["versions"]
    put(senses.write(place.parent / "next", version=8).folder, place / "senses")
    answer = managed.client.post("/v2/repository/models/senses/load")
    assert answer.json() == {"name": "senses", "load": True}
    assert before == ["7"]
    assert {one.json()["version"] for one in (managed.predict(text=b"a") for _ in range(4))} == {"8"}
    with (place / "senses" / "model.onnx").open("ab") as graph:
        graph.write(b"x")
    for path, told in (("/v2/repository/models/senses/load", "error"), ("/v1/reload", "detail")):
        answer = managed.client.post(path)
        assert answer.status_code == 422
        said = answer.json()[told]
        assert said == "senses/model.onnx: not the file that the manifest describes (sha256 differs)"
    assert answer.json()["code"] == "not_loaded"
    assert answers(managed, "senses") == {200}


def test_reload_says_what_has_changed(managed: Server, place: Path, single: Bundle) -> None:
    assert managed.client.post("/v2/repository/models/senses/unload").status_code == 200
    shutil.rmtree(place / "strict")
    put(single.folder, place / "single")
    answer = managed.client.post("/v1/reload").json()
    assert answer == {
        "loaded": [{"model": "senses", "version": "7"}, {"model": "single", "version": "7"}],
        "unloaded": [{"model": "strict", "version": "7"}],
        "kept": [],
    }


def test_with_nothing_left_it_is_not_ready_and_says_so_until_something_is_loaded(managed: Server) -> None:
    for name in ("senses", "strict"):
        assert managed.client.post(f"/v2/repository/models/{name}/unload").status_code == 200
    assert managed.client.get("/health/ready").status_code == 503
    assert managed.client.get("/health/live").status_code == 200
    assert managed.predict(text=b"a").status_code == 404
    assert managed.client.get("/v1/models").json()["data"] == []
    assert managed.client.get("/openapi.json").status_code == 200
    assert managed.client.post("/v1/embeddings", json={"input": "a"}).status_code == 404
    assert managed.client.post("/v2/repository/models/strict/load").status_code == 200
    assert managed.client.get("/health/ready").status_code == 200
    assert answers(managed, "strict") == {422}  # the default model now; it wants all its parts


@pytest.mark.parametrize(
    "name", ["..", "../senses", "%2e%2e%2fbundles%2fsenses", "/etc", ".", "bundles/senses", "senses/"]
)
def test_a_name_never_becomes_a_path(managed: Server, name: str) -> None:
    answer = managed.client.post(f"/v2/repository/models/{name}/load")
    assert answer.status_code == 404
    assert "/" not in answer.json().get("error", "").replace("GET /docs", "")


@pytest.mark.parametrize(
    ("body", "status"),
    [(b"", 200), (b"{}", 200), (b'{"parameters": {}}', 200), (b"[]", 400), (b"{", 400), (b'{"parameters": 1}', 400)],
)
def test_bodies(managed: Server, body: bytes, status: int) -> None:
    answer = managed.client.post("/v2/repository/models/senses/load", content=body)
    assert answer.status_code == status
    if status != 200:
        assert list(answer.json()) == ["error"]


def test_changes_that_come_at_once_are_made_one_after_the_other(managed: Server) -> None:
    def ask(number: int) -> int:
        how = "load" if number % 2 else "unload"
        return managed.client.post(f"/v2/repository/models/strict/{how}").status_code

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(ask, range(8)))
    assert set(found) <= {200, 404}  # unloading what another has unloaded
    assert found.count(200) >= 4
    done = list(managed.events("changed"))
    assert len(done) == found.count(200)
    last = done[-1]["change"]
    assert answers(managed, "strict") == ({422} if last == "load" else {404})


def test_a_client_that_waits_is_told_when_the_server_stops(managed: Server, place: Path) -> None:
    """And does not hold it up: here for a bundle that would never be loaded."""
    endless(place / "senses")
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(managed.client.post, "/v1/reload")
        eventually(lambda: bool(trials(managed)))
        start = time.monotonic()
        managed.process.send_signal(signal.SIGTERM)
        assert answer.result().status_code == 503
        assert managed.process.wait(PATIENCE) == 0
        assert time.monotonic() - start < 10
