"""Nothing of an upload is in logs, metrics, answers, files or dumps, whatever happens to it: canaries everywhere."""

import json
import os
import signal
import struct
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from service.bundle import Bundle
from tests import senses
from tests.hostile.cases import form
from tests.hostile.pictures import chunk, inserted, saved
from tests.hostile.sounds import tone
from tests.process import Server, descendants, eventually, serve, written

CANARY = "Kanarienvogel"
BYTES = CANARY.encode()


@pytest.fixture(scope="module", params=["off", "process"])
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty folder that is working folder, home and temporary folder of the server."""
    folder = tmp_path_factory.mktemp(str(request.param))
    (folder / "empty").mkdir()
    return folder / "empty"


@pytest.fixture(scope="module")
def watched(bundle: Bundle, place: Path) -> Iterator[Server]:
    settings: dict[str, Any] = {"BRAID_DECODE_ISOLATION": place.parent.name.rstrip("0123456789")}
    empty = str(place)
    with serve(
        bundle.folder,
        folder=place,
        TMPDIR=empty,
        HOME=empty,
        PYTHONDONTWRITEBYTECODE="1",
        PYTHONFAULTHANDLER="1",
        **settings,
    ) as running:
        running.predict(text=b"a", image=senses.png(), audio=senses.wav()).raise_for_status()
        yield running


def pictures() -> Iterator[bytes]:
    """Whole ones and broken ones, with canaries wherever a picture can hold words."""
    picture = Image.new("RGB", (40, 30), (200, 100, 50))
    exif = Image.Exif()
    exif[0x010E], exif[0x9286], exif[0x8298] = CANARY, CANARY, CANARY  # description, comment, copyright
    words = PngInfo()
    words.add_text("Comment", CANARY)
    words.add_text("Title", CANARY, zip=True)
    words.add_itxt("XML:com.adobe.xmp", CANARY)
    whole = [
        saved(picture, "PNG", pnginfo=words, exif=exif, icc_profile=BYTES),
        inserted(saved(picture, "JPEG", exif=exif), (0xFE, BYTES), (0xE2, b"ICC_PROFILE\0\1\1" + BYTES)),
        saved(picture, "WEBP", exif=exif, xmp=BYTES, lossless=True),
        saved(picture.convert("P"), "GIF", comment=CANARY),
    ]
    for data in whole:
        yield data
        yield data[: len(data) // 2]
        yield data[:60] + BYTES + data[60:]
    yield whole[0][:33] + chunk(b"tEXt", BYTES)[:-1] + b"x" + whole[0][33:]
    yield BYTES


def sounds() -> Iterator[bytes]:
    mp3, flac, ogg, wav = (tone(kind=kind) for kind in ("MP3", "FLAC", "OGG", "WAV"))
    frame = b"TIT2" + struct.pack(">IH", len(BYTES) + 1, 0) + b"\0" + BYTES
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    vendor = struct.pack("<I", len(BYTES)) + BYTES + struct.pack("<II", 1, len(BYTES)) + BYTES
    comment = b"\x04" + struct.pack(">I", len(vendor))[1:] + vendor
    listed = (
        b"LIST" + struct.pack("<I", 12 + len(BYTES) + 1) + b"INFOINAM" + struct.pack("<I", len(BYTES)) + BYTES + b"\0"
    )
    for data in (
        b"ID3\3\0\0" + size + frame + mp3,
        mp3 + b"TAG" + BYTES.ljust(125, b"\0"),
        flac[:42] + comment + flac[42:],
        ogg.replace(b"Xiph.Org libVorbis", (BYTES * 2)[:18]),
        wav[:12] + listed + wav[12:],
        b"ID3\4\0\0\x7f\x7f\x7f\x7f" + BYTES,
        BYTES,
    ):
        yield data
        yield data[: len(data) // 2]


def files(server: Server) -> set[str]:
    """What its processes hold open that is, or was, a file."""
    found = set()
    for pid in descendants(server.process.pid):
        for link in Path(f"/proc/{pid}/fd").iterdir():
            with suppress(OSError):
                found.add(os.readlink(link))
    return {name for name in found if name.startswith("/")}


def test_nothing_of_an_upload_stays_or_is_said(watched: Server, place: Path) -> None:
    before, held, post = written(watched), files(watched), watched.client.post
    answers = [
        post("/v1/predict", files={part: (f"{CANARY}.{part}", data, f"x/{CANARY}")})
        for part, made in (("image", pictures()), ("audio", sounds()))
        for data in made
    ]
    headers = dict.fromkeys(
        ("Cookie", "User-Agent", "Referer", "X-Forwarded-For", "Authorization", "Accept", CANARY), CANARY
    )
    multipart = {"content-type": "multipart/form-data; boundary=x-boundary"}
    jsons: list[Any] = [
        {"inputs": {CANARY: "a"}}, {"inputs": {"image": {"base64": CANARY}}}, {CANARY: 1, "inputs": {}}, CANARY,
        {"inputs": {"text": "a"}, "threshold": CANARY}, {"inputs": {"text": "a"}, "labels": [CANARY]},
    ]  # fmt: skip
    tensor = {"name": CANARY, "shape": [1], "datatype": "BYTES", "data": [CANARY]}
    infers: list[Any] = [
        {"inputs": [tensor]}, {"inputs": [tensor, tensor]}, {"inputs": [{**tensor, "name": "text", "shape": [2]}]},
        {"inputs": [{**tensor, "datatype": CANARY}]}, {"inputs": [{**tensor, "shape": [CANARY]}]}, {"inputs": CANARY},
        {"inputs": [{**tensor, "name": "image"}]}, {"inputs": [], "outputs": [{"name": CANARY}], "id": 3},
    ]  # fmt: skip
    answers += [post("/v1/predict", json=document) for document in jsons]
    answers += [post("/v2/models/senses/infer", json=document) for document in infers]
    answers += [
        post("/v1/predict", files={"text": ("", f"a {CANARY}")}, headers=headers),
        post("/v1/predict", files={"text": ("", f"poison {CANARY}")}),
        post("/v1/predict", files={"text": ("", BYTES + b"\xff")}),
        post("/v1/predict", files={"text": ("", BYTES * 4000)}),
        post("/v1/explain", files={"text": ("", b"a b"), "image": (CANARY, next(pictures()))}),
        post("/v1/predict", content=form((f"{CANARY}: {CANARY}", b"a")), headers=multipart),
        post(
            "/v1/predict", content=form((f'Content-Disposition: form-data; name="{CANARY}"', b"a")), headers=multipart
        ),
        post("/v1/predict", content=BYTES, headers={"content-type": f"multipart/form-data; boundary={CANARY}"}),
        post("/v1/predict", content=BYTES, headers={"content-type": CANARY, "content-encoding": CANARY}),
        post("/v1/embeddings", json={"input": CANARY, "model": CANARY}),
        post(f"/v1/models/{CANARY}/predict?{CANARY}"),
        watched.client.get(f"/{CANARY}?{CANARY}", headers=headers),
        watched.client.request(CANARY.upper(), "/v1/predict"),
    ]
    assert len(answers) > 50
    assert {200, 400, 404, 413, 415, 422} <= {answer.status_code for answer in answers}
    said = [answer.text + str(answer.headers) for answer in answers] + [watched.client.get("/metrics").text]
    assert not [text for text in said if CANARY.lower() in text.lower()]
    assert CANARY.lower().encode() not in b"".join(watched.lines).lower()
    assert all(json.loads(line)["event"] for line in watched.lines)
    assert written(watched) == before
    assert not list(place.iterdir())
    assert files(watched) <= held


def test_a_worker_that_crashes_with_an_upload_in_it_leaves_no_dump_and_no_word_of_it(
    bundle: Bundle, tmp_path: Path
) -> None:
    with serve(bundle.folder, folder=tmp_path, PYTHONFAULTHANDLER="1") as server:
        server.predict(text=BYTES, image=next(pictures())).raise_for_status()
        worker = descendants(server.process.pid)[1]
        core = next(line for line in Path(f"/proc/{worker}/limits").read_text().splitlines() if "core" in line)
        assert core.split()[4] == "1"  # stops dumps into files and into programs
        os.kill(worker, signal.SIGSEGV)
        eventually(lambda: any(server.events("worker died")) and server.ready)
        assert BYTES not in b"".join(server.lines)
        assert not list(tmp_path.iterdir())


def test_pictures_with_words_are_good_pictures(watched: Server) -> None:
    assert watched.predict(image=next(pictures())).status_code == 200
    assert watched.predict(audio=next(sounds())).status_code == 200
