"""Files that only look strange are taken for what they are: as their plain variant, exactly."""

import io
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st

from service.inputs import Audio, Image
from service.types import Encode
from tests.hostile import variants
from tests.hostile.pictures import photo, saved
from tests.hostile.variants import Pair
from tests.process import ROOT, Server, serve
from tests.test_hostile import EXAMPLE, named

GROUPS = (variants.turned, variants.coloured, variants.decorated, variants.recorded)
SPECS: dict[str, Any] = {
    "image": {"mode": "RGB", "dtype": "uint8", "tensors": {"pixels": "x"}},
    "audio": {"sample_rate": 8000, "features": {"kind": "waveform"}, "tensors": {"features": "x"}},
}
ENCODE: dict[str, Encode] = {
    "image": Image.model_validate(SPECS["image"]).load(Path()),
    "audio": Audio.model_validate(SPECS["audio"]).load(Path()),
}


@pytest.fixture(scope="module")
def digits() -> Iterator[Server]:
    with serve(ROOT / "models/bundles/digits") as running:
        yield running


@pytest.mark.parametrize("group", GROUPS, ids=named)
def test_a_strange_file_is_encoded_as_its_plain_variant(group: Callable[[], Iterator[Pair]]) -> None:
    for pair in group():
        strange, plain = (ENCODE[pair.part](data)["x"] for data in (pair.strange, pair.plain))
        np.testing.assert_allclose(strange, plain, rtol=0, atol=pair.within, err_msg=pair.name)


@pytest.mark.parametrize("group", GROUPS, ids=named)
def test_a_strange_file_is_answered_as_its_plain_variant(digits: Server, group: Callable[[], Iterator[Pair]]) -> None:
    for pair in group():
        parts: list[dict[str, Any]] = [{pair.part: data} for data in (pair.strange, pair.plain)]
        strange, plain = (digits.predict(query="?raw=true", **part).raise_for_status().json() for part in parts)
        if pair.within:
            one, other = (answer["raw"]["probabilities"] for answer in (strange, plain))
            np.testing.assert_allclose(one, other, rtol=0, atol=1000 * pair.within, err_msg=pair.name)
        else:
            assert strange | {"id": ""} == plain | {"id": ""}, pair.name


SHAPES = st.tuples(st.integers(1, 40), st.integers(1, 40)).filter(lambda size: max(size) <= 50 * min(size))


@given(SHAPES, st.integers(0, 2**32 - 1), st.sampled_from(["L", "RGB"]))
def test_a_picture_is_the_same_in_whatever_keeps_all_of_it(size: tuple[int, int], seed: int, mode: str) -> None:
    picture = photo(*size, mode, seed)
    kept = [*variants.lossless(picture).values(), saved(picture, compress_level=0), saved(picture.convert("RGBA"))]
    if mode == "L":
        kept += [variants.adam7(np.asarray(picture)), saved(picture, "GIF")]
    for data in kept:
        pixels = ENCODE["image"](data)["x"].transpose(1, 2, 0)
        np.testing.assert_array_equal(pixels, np.asarray(picture.convert("RGB")))


@given(st.integers(1, 3000), st.integers(0, 2**32 - 1), st.sampled_from([8000, 16_000, 44_100]), st.integers(1, 8))
def test_a_sound_is_the_same_in_whatever_keeps_all_of_it(count: int, seed: int, rate: int, channels: int) -> None:
    levels = np.random.default_rng(seed).integers(-32_768, 32_768, (count, channels), np.int16)
    heard = []
    for kind, subtype in (
        ("WAV", "PCM_24"), ("WAV", "PCM_32"), ("WAV", "FLOAT"), ("WAV", "DOUBLE"), ("WAVEX", "PCM_16"),
        ("FLAC", "PCM_16"), ("FLAC", "PCM_24"), ("WAV", "PCM_16"),
    ):  # fmt: skip
        out = io.BytesIO()
        samples = levels / 32_768 if subtype in ("FLOAT", "DOUBLE") else levels
        soundfile.write(out, samples, rate, subtype, format=kind)
        heard.append(ENCODE["audio"](out.getvalue())["x"])
    for other in heard:
        np.testing.assert_array_equal(other, heard[0])


@pytest.mark.parametrize(
    ("strange", "plain"),
    [
        ("\ufeffseven", "seven"),
        ("fu\u0308nf", "f\u00fcnf"),
        ("\uff37\uff25", "we"),
        (" seven\r\n", "seven"),
        ("SEVEN", "seven"),
    ],
)
def test_a_text_means_what_its_tokenizer_makes_of_it(digits: Server, strange: str, plain: str) -> None:
    one, other = (digits.predict(query="?raw=true", text=text.encode()).json() for text in (strange, plain))
    assert one | {"id": ""} == other | {"id": ""}


def test_the_example_itself_is_plain(digits: Server) -> None:
    assert digits.predict(**EXAMPLE).json()["outputs"]["digit"]["label"] == "7"
