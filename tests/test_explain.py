"""Explanations: values that add up, and evidence that is found where it was put."""

import base64
import io
import itertools
import math
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from service import bundle
from service.explain import canvas
from service.explain.check import Areas, faithful
from service.explain.shapley import report
from service.inputs import Image as InputImage
from service.limits import DEFAULTS
from service.model import Model
from service.types import Array
from tests import senses
from tests.process import Server, braid, serve

DIGITS = Path(__file__).parent.parent / "models/bundles/digits"
EXAMPLE = {name: (DIGITS / "example" / name).read_bytes() for name in ("text.txt", "image.png", "audio.wav")}
PARTS = {"text": EXAMPLE["text.txt"], "image": EXAMPLE["image.png"], "audio": EXAMPLE["audio.wav"]}
GAMES = st.integers(1, 4).flatmap(
    lambda n: st.tuples(st.just(list("abcd")[:n]), st.lists(st.floats(-10, 10), min_size=2**n, max_size=2**n))
)


def worth(players: list[str], values: list[float]) -> dict[frozenset[str], float]:
    subsets = [frozenset(some) for n in range(len(players) + 1) for some in itertools.combinations(players, n)]
    return dict(zip(subsets, values, strict=True))


@given(GAMES)
def test_values_add_up_and_shares_sum_to_one(game: tuple[list[str], list[float]]) -> None:
    players, values = game
    said = report(players, worth(players, values))
    total = sum(part["value"] for part in said["parts"].values())
    assert total == pytest.approx(said["all"] - said["none"], abs=1e-9)
    shares = sum(part["share"] for part in said["parts"].values())
    assert shares == pytest.approx(1) or total == pytest.approx(0, abs=1e-9)


@given(GAMES)
def test_a_part_that_changes_nothing_gets_nothing(game: tuple[list[str], list[float]]) -> None:
    players, values = game
    f = worth(players, values)
    ignored = {some: f[some - {players[0]}] for some in f}
    said = report(players, ignored)
    assert said["parts"][players[0]]["value"] == pytest.approx(0, abs=1e-9)
    assert all(abs(value) < 1e-9 for pair, value in said["interactions"].items() if players[0] in pair)


@given(GAMES, st.floats(-5, 5))
def test_parts_that_do_the_same_get_the_same(game: tuple[list[str], list[float]], both: float) -> None:
    players, values = game
    by_size = {n: values[n] for n in range(len(players) + 1)}
    said = report(players, {some: by_size[len(some)] for some in worth(players, values)})
    assert len({round(part["value"], 9) for part in said["parts"].values()}) == 1
    together = {some: both if len(some) == len(players) else 0.0 for some in worth(players, values)}
    if len(players) == 2:
        assert report(players, together)["interactions"]["a+b"] == both  # what neither says alone


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("explain")
    numbers = {"level": {"kind": "regression", "tensor": "measures", "names": senses.LABELS}}
    vector = {"vector": {"kind": "embedding", "tensor": "measures"}}
    bundles = [
        senses.write(folder / "numbers", "numbers", outputs=numbers),
        senses.write(folder / "strict", "strict", policy="reject"),
        senses.write(folder / "vector", "vector", outputs=vector),
    ]
    with serve(*(bundle.folder for bundle in bundles), DIGITS) as server:
        yield server


def ask(server: Server, path: str, **parts: bytes) -> Any:
    answer = server.client.post(f"/v1/models/{path}", files={name: ("", data) for name, data in parts.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize("scale", ["probability", "log_odds"])
@pytest.mark.parametrize("parts", [("text",), ("image", "audio"), ("text", "image", "audio")])
def test_the_parts_of_a_digit_add_up_to_its_probability(server: Server, scale: str, parts: tuple[str, ...]) -> None:
    answer = ask(server, f"digits/predict?explain=parts&scale={scale}", **{part: PARTS[part] for part in parts})
    said, score = answer["explanation"], answer["outputs"]["digit"]["score"]
    assert (said["output"], said["target"], said["scale"]) == ("digit", "7", scale)
    assert said["rows"] == 2 ** len(parts) - 1
    assert list(said["parts"]) == list(parts)
    if scale == "probability":
        assert said["none"] == pytest.approx(0.1)
        assert said["all"] == pytest.approx(score, abs=1e-5)
    total = sum(part["value"] for part in said["parts"].values())
    assert total == pytest.approx(said["all"] - said["none"], abs=1e-5)
    assert all(part["value"] > 0 for part in said["parts"].values())
    assert len(said["interactions"]) == math.comb(len(parts), 2)


def test_without_a_part_is_the_answer_without_it(server: Server) -> None:
    said = ask(server, "digits/predict?explain=parts&target=3", **PARTS)["explanation"]
    alone = ask(server, "digits/predict?top_k=10", text=PARTS["text"], image=PARTS["image"])
    three = next(entry["score"] for entry in alone["outputs"]["digit"]["top"] if entry["label"] == "3")
    assert said["parts"]["audio"]["without"] == pytest.approx(three, abs=1e-6)


def test_a_number_gives_each_part_what_it_added(server: Server) -> None:
    parts = {"text": b"a b c", "image": senses.png(51), "audio": senses.wav(0.5)}
    said = ask(server, "numbers/predict?explain=parts&target=brightness", **parts)["explanation"]
    assert said["scale"] == "value"
    assert said["parts"]["image"]["value"] == pytest.approx(0.2, abs=1e-5)
    assert said["parts"]["text"]["value"] == said["parts"]["audio"]["value"] == 0  # the graph's number ignores them


def picture(patch: tuple[int, int, int, int], width: int = 64, height: int = 48) -> bytes:
    """Dark with one bright patch."""
    pixels = np.full((height, width), 20, np.uint8)
    left, top, right, bottom = patch
    pixels[top:bottom, left:right] = 255
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def test_a_lone_bright_patch_is_found(server: Server) -> None:
    patch = (40, 8, 48, 16)
    found = ask(server, "numbers/explain?target=brightness", image=picture(patch))["parts"]["image"]
    best = max(found["regions"], key=lambda region: region["value"])["box"]
    assert min(best[2], patch[2]) > max(best[0], patch[0])
    assert min(best[3], patch[3]) > max(best[1], patch[1])
    assert found["size"] == [64, 48]
    assert sum((box[2] - box[0]) * (box[3] - box[1]) for box in (each["box"] for each in found["regions"])) == 64 * 48
    overlay = np.asarray(Image.open(io.BytesIO(base64.b64decode(found["overlay"]["base64"]))))  # (H, W, 3)
    assert overlay.shape[1] / overlay.shape[0] == pytest.approx(64 / 48, rel=0.02)
    red = overlay[..., 0].astype(int) - overlay[..., 2]
    y, x = np.unravel_index(red.argmax(), red.shape)
    assert abs(x / overlay.shape[1] * 64 - 44) <= 8
    assert abs(y / overlay.shape[0] * 48 - 12) <= 8


def test_a_patch_of_a_large_picture_is_found_where_it_is(server: Server) -> None:
    """It is made smaller, since it is decoded many times; places are those of the original."""
    patch = (2400, 300, 2600, 500)
    found = ask(server, "numbers/explain?target=brightness", image=picture(patch, 3000, 2000))
    image = found["parts"]["image"]
    assert image["size"] == [3000, 2000]
    best = max(image["regions"], key=lambda region: region["value"])["box"]
    assert min(best[2], patch[2]) > max(best[0], patch[0])
    assert min(best[3], patch[3]) > max(best[1], patch[1])
    assert best[2] - best[0] < 400
    assert sum((box[2] - box[0]) * (box[3] - box[1]) for box in (each["box"] for each in image["regions"])) == 6_000_000
    assert 40 < found["rows"] <= 50
    assert max(Image.open(io.BytesIO(base64.b64decode(image["overlay"]["base64"]))).size) == 512


@pytest.mark.parametrize("mode", ["L", "RGB"])
@given(st.integers(1, 40), st.integers(1, 40), st.data())
def test_what_is_left_of_a_picture_is_a_picture(mode: str, width: int, height: int, data: st.DataObject) -> None:
    pixels = np.random.default_rng(width).integers(0, 256, (height, width, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(out, "PNG")
    spec = InputImage.model_validate({"mode": mode, "tensors": {"pixels": "p"}})
    painting = canvas.painting(spec.bare(out.getvalue(), DEFAULTS))
    gone = data.draw(st.sampled_from(painting.pieces))
    before, after = (
        np.asarray(each.convert("RGB"))
        for each in (Image.open(io.BytesIO(out.getvalue())), Image.fromarray(painting.without([gone])))
    )
    left, top, right, bottom = map(int, gone)
    there = np.ones((height, width), bool)
    there[top:bottom, left:right] = False
    assert (before[there] == after[there]).all()
    assert len(np.unique(after[~there], axis=0)) == 1


@pytest.mark.parametrize("loudest", [0.9, 3.0])
def test_what_is_left_of_a_recording_is_the_recording(loudest: float) -> None:
    samples = loudest * np.sin(np.arange(800)).astype(np.float32)
    sound = canvas.Recording(samples, 8000, [(0.0, 0.05), (0.05, 0.1)])
    left = sound.without([(0.05, 0.1)])
    assert (left[:400] == samples[:400]).all()
    assert not left[400:].any()


@pytest.mark.parametrize("part", ["image", "audio"])
def test_what_is_decoded_already_becomes_the_same_tensors(part: str) -> None:
    digits = Model(bundle.read(DIGITS))
    data = digits.bundle.example()[0][part]
    whole, again = digits.encode_part(part, data), digits.encode_bare(part, digits.bare(part, data))
    assert whole.keys() == again.keys()
    assert all((whole[name] == again[name]).all() for name in whole)


def burst(start: float, hertz: float) -> Array:
    time = np.arange(senses.RATE) / senses.RATE
    return np.where((time >= start) & (time < start + 0.1), 0.5 * np.sin(2 * np.pi * hertz * time), 0)


@pytest.mark.parametrize("method", ["occlusion", "random&seed=3&budget=200"])
def test_a_tone_burst_is_found_in_time_and_frequency(server: Server, method: str) -> None:
    out = io.BytesIO()
    soundfile.write(out, burst(0.6, 1000), senses.RATE, format="WAV")
    found = ask(server, f"numbers/explain?target=loudness&method={method}", audio=out.getvalue())["parts"]["audio"]
    loud = max(found["times"], key=lambda slice_: slice_["value"])
    assert loud["start"] < 0.7
    assert loud["end"] > 0.6
    assert loud["end"] - loud["start"] < 0.1
    band = max(found["bands"], key=lambda band: band["value"])
    assert band["low"] <= 1000 <= band["high"]
    assert found["times"][0]["start"] == 0
    assert found["times"][-1]["end"] == found["seconds"] == pytest.approx(1)


def test_the_word_that_says_it_is_found(server: Server) -> None:
    text = "ich glaube, es ist eine sieben"
    found = ask(server, "digits/explain", text=text.encode())["parts"]["text"]
    word = max(found["words"], key=lambda word: word["value"])
    assert word["text"] == "sieben" == text[word["start"] : word["end"]]
    assert all(text[token["start"] : token["end"]] == token["text"] for token in found["tokens"])


def test_a_long_text_is_explained_in_runs_of_words(server: Server) -> None:
    text = " ".join(["nothing"] * 70 + ["seven"] + ["here"] * 9)
    found = ask(server, "digits/explain?budget=40", text=text.encode())
    words = found["parts"]["text"]["words"]
    assert words[0]["start"] == 0
    assert words[-1]["end"] == len(text)
    assert all(a["end"] < b["start"] for a, b in itertools.pairwise(words))
    assert found["rows"] <= 40


def test_the_cost_is_bounded_and_said(server: Server) -> None:
    image = picture((0, 0, 9, 9))
    cheap, dear = (ask(server, f"numbers/explain?budget={budget}", image=image) for budget in (20, 300))
    assert 16 <= cheap["rows"] <= 20 < dear["rows"] <= 300
    assert cheap["seconds"] > 0
    again = [ask(server, "numbers/explain?method=random&budget=20&seed=7", image=image)["parts"] for _ in range(2)]
    assert again[0] == again[1]


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [
        ("strict/predict?explain=parts", 400, "not_explainable"),
        ("vector/predict?explain=parts", 400, "not_explainable"),
        ("vector/explain", 400, "not_explainable"),
        ("numbers/predict?explain=places", 400, "malformed"),
        ("numbers/predict?explain=", 400, "malformed"),
        ("numbers/predict?target=tokens", 400, "malformed"),
        ("numbers/predict?explain=parts&target=smell", 400, "malformed"),
        ("numbers/predict?explain=parts&output=smell", 400, "malformed"),
        ("numbers/predict?explain=parts&scale=log_odds", 400, "malformed"),
        ("numbers/explain?method=guess", 400, "malformed"),
        ("numbers/explain?budget=0", 400, "malformed"),
        ("numbers/explain?raw=true", 400, "malformed"),
        ("numbers/explain?budget=999999", 422, "over_limit"),
    ],
)
def test_what_cannot_be_explained_is_said(server: Server, path: str, status: int, code: str) -> None:
    parts = {"text": b"a", "image": senses.png(), "audio": senses.wav()}
    answer = server.client.post(f"/v1/models/{path}", files={name: ("", data) for name, data in parts.items()})
    assert (answer.status_code, answer.json()["code"]) == (status, code)


def test_what_explanations_of_digits_call_important_is(tmp_path: Path) -> None:
    folder = tmp_path / "digits"
    shutil.copytree(DIGITS, folder)
    words = tmp_path / "samples"
    for word in ("five", "es ist eine drei", "she said eight to him"):  # 7 by 7 cells say little of one drawing
        (words / word).mkdir(parents=True)
        (words / word / "text.txt").write_text(word)
        shutil.copy(DIGITS / "example" / "audio.wav", words / word)
    done = braid("explain-check", folder, "--write", "--samples", words)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("yes") == 2
    card = (folder / "README.md").read_text()
    assert card.count("## Are its explanations faithful?") == 1
    assert braid("explain-check", folder, "--write", "--samples", words).returncode == 0
    assert (folder / "README.md").read_text() == card
    assert braid("verify", folder).returncode == 0


def test_an_explanation_of_noise_is_not_called_faithful() -> None:
    upside_down = Areas(deletion=0.9, deletion_random=0.5, insertion=0.1, insertion_random=0.5)
    assert not faithful(upside_down)


def test_models_say_what_they_explain(server: Server) -> None:
    told = {name: server.client.get(f"/v1/models/{name}").json()["explains"] for name in ("digits", "strict", "vector")}
    assert "cannot do without a part" in told["strict"].pop("why")
    assert told == {
        "digits": {"parts": True, "outputs": ["digit"]},
        "strict": {"parts": False, "outputs": ["sense"]},
        "vector": {"parts": True, "outputs": []},
    }
