"""The wire: statuses, problems, headers, and what the other routes say."""

import json
import socket
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from service.bundle import Bundle
from tests import senses
from tests.process import Server, eventually, serve

PREDICT = "/v1/predict"
TEXT = {"files": {"text": ("", b"a")}}
FORM = {"content-type": "multipart/form-data; boundary=b"}


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """RFC 9457."""
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert document["status"] == status
    assert document["code"] == code
    assert document["title"]
    assert document["detail"]
    assert document.keys() <= {"type", "title", "status", "code", "detail", "part", "limit"}
    return document


@pytest.mark.parametrize(
    ("method", "path", "options", "status", "code"),
    [
        ("GET", "/nowhere", {}, 404, "not_found"),
        ("POST", "/v1/models/nobody/predict", TEXT, 404, "unknown_model"),
        ("GET", "/v1/models/nobody", {}, 404, "unknown_model"),
        ("GET", PREDICT, {}, 405, "method_not_allowed"),
        ("POST", "/health/live", {}, 405, "method_not_allowed"),
        ("DELETE", "/v1/models/senses", {}, 405, "method_not_allowed"),
        ("POST", PREDICT, {"content": b"a", "headers": {"content-type": "text/plain"}}, 415, "unsupported_type"),
        ("POST", PREDICT, {"content": b"a", "headers": {"content-encoding": "gzip", **FORM}}, 415, "unsupported_type"),
        ("POST", PREDICT, {"content": b"a", "headers": FORM}, 400, "malformed"),
        ("POST", PREDICT, {"content": b"--b--\r\n", "headers": FORM}, 422, "missing_part"),
        ("POST", PREDICT, {"json": {"inputs": {}}}, 422, "missing_part"),
        ("POST", PREDICT, {"json": {"text": "a"}}, 400, "malformed"),
        ("POST", PREDICT, {"files": {"smell": ("", b"a")}}, 400, "unknown_part"),
        ("POST", PREDICT, {"files": [("text", ("", b"a")), ("text", ("", b"b"))]}, 400, "duplicate_part"),
        ("POST", PREDICT, {"files": {"image": ("", b"a")}}, 415, "unsupported_type"),
        ("POST", PREDICT, {"files": {"image": ("", senses.png(size=(60, 1)))}}, 422, "over_limit"),
        ("POST", PREDICT, {"files": {"audio": ("", senses.wav(rate=1000))}}, 422, "over_limit"),
        ("POST", PREDICT, {"files": {"text": ("", b"a" * 40_000)}}, 413, "too_large"),
        ("POST", PREDICT, {"files": {"text": ("", b"\xff")}}, 422, "invalid_input"),
        ("POST", PREDICT, {"files": {"text": ("", b"poison")}}, 500, "failed"),
        ("POST", f"{PREDICT}?top_k=0", TEXT, 400, "malformed"),
        ("POST", f"{PREDICT}?top_k=-1", TEXT, 400, "malformed"),
        ("POST", f"{PREDICT}?top_k=1&top_k=2", TEXT, 400, "malformed"),
        ("POST", f"{PREDICT}?raw=maybe", TEXT, 400, "malformed"),
        ("POST", f"{PREDICT}?colour=red", TEXT, 400, "malformed"),
        ("POST", PREDICT, {"headers": {"Braid-Timeout": "soon"}, **TEXT}, 400, "malformed"),
        ("POST", PREDICT, {"headers": {"Braid-Timeout": "nan"}, **TEXT}, 400, "malformed"),
        ("POST", PREDICT, {"headers": {"Braid-Timeout": "0"}, **TEXT}, 504, "deadline_exceeded"),
    ],
)  # fmt: skip
def test_each_mistake_is_a_problem_with_its_own_status_and_code(
    server: Server, method: str, path: str, options: dict[str, Any], status: int, code: str
) -> None:
    answer = server.client.request(method, path, **options)
    problem(answer, status, code)
    if status == 405:
        assert answer.headers["allow"] == ("POST" if path == PREDICT else "GET")


def test_a_problem_names_the_part_and_the_limit(server: Server) -> None:
    document = problem(server.predict(text=b"a", image=senses.png(size=(60, 1))), 422, "over_limit")
    assert (document["part"], document["limit"]) == ("image", 50)


# -- the answer -------------------------------------------------------------------------------------------------------


def test_an_answer_says_who_answered_what(server: Server) -> None:
    answer = server.predict(text=b"a b").json()
    assert list(answer) == ["id", "model", "version", "outputs", "parts"]
    assert (answer["model"], answer["version"]) == ("senses", "7")
    sense = answer["outputs"]["sense"]
    assert sense == {
        "label": "tokens",
        "score": 2,
        "top": [{"label": name, "score": s} for name, s in zip(senses.LABELS, (2, 0, 0), strict=True)],
    }
    assert "share" not in answer["outputs"]  # stands in the parts


@pytest.mark.parametrize(("top_k", "listed"), [(1, 1), (2, 2), (3, 3), (1000, 3)])
def test_top_k_is_how_many_labels_are_listed(server: Server, top_k: int, listed: int) -> None:
    answer = server.predict(query=f"?top_k={top_k}", text=b"a").json()
    assert len(answer["outputs"]["sense"]["top"]) == listed


def test_raw_adds_the_graphs_outputs_unrounded(server: Server) -> None:
    answer = server.predict(query="?raw=true", audio=senses.wav(0.3)).json()
    assert answer["raw"].keys() == {"measures", "share"}
    assert answer["raw"]["measures"][2] == answer["outputs"]["sense"]["score"] == pytest.approx(0.3, abs=1e-4)


def test_the_playground_can_be_switched_off(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_PLAYGROUND="off") as running:
        for path in ("/", "/status", "/playground/main.js", "/v1/models/senses/example/text"):
            assert running.client.get(path).status_code == 404


@pytest.mark.parametrize("path", ["/playground/none.js", "/playground/..%2fpages.py", "/v1/models/senses/example/row"])
def test_only_files_of_the_playground_and_parts_of_the_example_are_given_out(server: Server, path: str) -> None:
    assert server.client.get(path).status_code == 404


def test_a_part_of_the_example_is_the_file(server: Server, bundle: Bundle) -> None:
    answer = server.client.get("/v1/models/senses/example/image")
    assert answer.content == (bundle.folder / "example/image.png").read_bytes()
    assert answer.headers["content-type"] == "image/png"


@pytest.mark.parametrize("given", ["abc-123", "a" * 128, "trace:1/2=3@4"])
def test_a_clients_request_id_comes_back(server: Server, given: str) -> None:
    for text in (b"a", b"\xff"):
        answer = server.predict(headers={"X-Request-Id": given}, text=text)
        assert answer.headers["x-request-id"] == given
    assert server.predict(headers={"X-Request-Id": given}, text=b"a").json()["id"] == given


@pytest.mark.parametrize("given", [None, "", "a" * 129, "two words", "<script>"])
def test_without_a_plain_one_there_is_ours(server: Server, given: str | None) -> None:
    answer = server.predict(headers=None if given is None else {"X-Request-Id": given}, text=b"a")
    assert answer.headers["x-request-id"] == answer.json()["id"]
    assert len(answer.json()["id"]) == 32


def test_server_timing_says_where_the_time_went(server: Server) -> None:
    header = server.predict(text=b"a", image=senses.png()).headers["server-timing"]
    stages = dict(stage.split(";dur=") for stage in header.split(", "))
    assert list(stages) == ["read", "encode.text", "encode.image", "queue", "run", "decode"]
    assert all(0 <= float(milliseconds) < 10_000 for milliseconds in stages.values())


def test_a_refusal_is_timed_as_far_as_it_went(server: Server) -> None:
    header = server.predict(text=b"a", image=b"no picture").headers["server-timing"]
    assert "encode.text;dur=" in header
    assert "run" not in header


# -- the other routes -------------------------------------------------------------------------------------------------


def test_models_are_listed_in_openais_shape_with_our_fields(server: Server) -> None:
    listed = server.client.get("/v1/models").json()
    assert listed["object"] == "list"
    assert [model["id"] for model in listed["data"]] == ["senses", "strict", "single"]
    senses_, strict, _ = listed["data"]
    assert senses_["object"] == "model"
    assert senses_["version"] == "7"
    assert senses_["inputs"]["audio"]["sample_rate"] == senses.RATE
    assert senses_["outputs"]["sense"]["labels"] == senses.LABELS
    assert senses_["limits"]["image_pixels"] == 25_000_000
    assert [model["inputs"]["text"]["required"] for model in (senses_, strict)] == [False, True]


def test_a_model_tells_its_card(server: Server) -> None:
    model = server.client.get("/v1/models/senses").json()
    assert model["id"] == "senses"
    assert model["card"] == ""
    assert "/tmp" not in json.dumps(model)


def test_the_openapi_document_shows_each_models_real_parts(server: Server) -> None:
    document = server.client.get("/openapi.json").json()
    for path in ("/v1/predict", *(f"/v1/models/{name}/predict" for name in ("senses", "strict", "single"))):
        post = document["paths"][path]["post"]
        content = post["requestBody"]["content"]
        form = content["multipart/form-data"]["schema"]
        assert list(form["properties"]) == list(senses.PARTS)
        assert form["properties"]["image"]["format"] == "binary"
        assert content["application/json"]["schema"]["required"] == ["inputs"]
        assert {"400", "413", "415", "422", "429", "503", "504"} <= post["responses"].keys()
    assert server.client.get("/docs").status_code == 200


def test_metrics_count_what_was_answered(server: Server) -> None:
    counted = {"model": "senses", "status": "422"}
    before = server.metric("braid_requests_total", **counted)
    server.predict(text=b"\xff")
    assert server.metric("braid_requests_total", **counted) == before + 1
    scrape = server.client.get("/metrics")
    assert scrape.headers["content-type"].startswith("text/plain; version=0.0.4")
    families = list(text_string_to_metric_families(scrape.text))
    assert all(family.name.startswith(("braid_", "process_")) for family in families)
    stages = {s.labels["stage"] for family in families for s in family.samples if "stage" in s.labels}
    assert {"encode.text", "queue", "run", "decode"} <= stages


def test_each_request_is_one_line_of_the_log(server: Server) -> None:
    server.predict(headers={"X-Request-Id": "find-me"}, text=b"a b", image=senses.png())
    eventually(lambda: any(line["id"] == "find-me" for line in server.events("request")))
    (line,) = [line for line in server.events("request") if line["id"] == "find-me"]
    assert (line["model"], line["status"], line["parts"]["text"]) == ("senses", 200, 3)
    assert set(line["stages"]) == {"read", "encode.text", "encode.image", "queue", "run", "decode"}


# -- bodies that do not come as they should ---------------------------------------------------------------------------


def raw(server: Server, head: str, body: bytes = b"", path: str = PREDICT) -> bytes:
    """The first bytes of the answer to a request that is written by hand."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        start = f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=b\r\n"
        connection.sendall(f"{start}{head}\r\n\r\n".encode() + body)
        return connection.recv(4000)


def test_too_much_is_refused_before_it_is_sent(server: Server) -> None:
    assert b" 413 " in raw(server, "Content-Length: 1000000000000000000")
    assert b" 413 " in raw(server, f"Content-Length: {32 * 2**20 + 1}")


def test_too_much_is_refused_while_it_arrives_without_being_announced(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_BODY_BYTES="1000") as server:
        assert b" 413 " in raw(server, "Transfer-Encoding: chunked", b"7d0\r\n" + b"a" * 2000 + b"\r\n")
        assert server.predict(text=b"a").status_code == 200
        assert server.metric("braid_in_flight") == 0


def test_a_body_that_does_not_arrive_is_408_and_holds_no_place(bundle: Bundle) -> None:
    with serve(bundle.folder, BRAID_BODY_SECONDS="0.2", BRAID_QUEUE_ITEMS="1") as server:
        assert b" 408 " in raw(server, "Content-Length: 100", b"--b\r\n")
        assert server.predict(text=b"a").status_code == 200


@pytest.mark.parametrize(
    "head", ["Content-Length: ten", "Content-Length: -1", "Content-Length: 1\r\nContent-Length: 2"]
)
def test_broken_http_is_refused_and_the_server_lives(server: Server, head: str) -> None:
    assert b" 400 " in raw(server, head)
    assert server.predict(text=b"a").status_code == 200
