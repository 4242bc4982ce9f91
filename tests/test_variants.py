"""Files that only look strange are taken for what they are: as their plain variant, exactly."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.inputs import Audio, Image
from service.types import Encode
from tests.hostile import variants
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
