"""Text: UTF-8 bytes to token ids and their mask."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer

from service.bundle import Bundle
from service.errors import BundleError, InvalidInput
from service.inputs.text import Text
from service.types import Row
from tests import senses

TENSORS = {"ids": "ids", "mask": "mask"}


@pytest.fixture(scope="module")
def embedding(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json that embeds truncation to 2 and padding to 9, as those of MiniLM and gte embed 128."""
    tokenizer = senses.tokenizer()
    tokenizer.enable_truncation(2)
    tokenizer.enable_padding(length=9)
    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer.save(str(folder / "tokenizer.json"))
    return folder


def encode(folder: Path, data: str | bytes, **options: Any) -> Row:
    spec = Text.model_validate({"tensors": TENSORS, **options})
    return spec.load(folder)(data.encode() if isinstance(data, str) else data)


def test_lengths_embedded_in_the_tokenizer_file_are_overridden_by_the_manifest(embedding: Path) -> None:
    row = encode(embedding, "a b c d e", max_tokens=4)
    assert row["ids"].tolist() == [1, 2, 3, 4]
    assert row["mask"].tolist() == [1, 1, 1, 1]


@given(st.text())
def test_ids_are_those_of_the_tokenizer(bundle: Bundle, text: str) -> None:
    expected = Tokenizer.from_file(str(bundle.folder / "tokenizer.json")).encode(text.removeprefix("\ufeff")).ids
    row = encode(bundle.folder, text, max_tokens=100_000)
    assert row["ids"].tolist() == (expected or [0])
    assert row["ids"].dtype == np.int64
    assert row["mask"].dtype == np.float32


def test_a_byte_order_mark_is_no_text(bundle: Bundle) -> None:
    assert encode(bundle.folder, b"\xef\xbb\xbfa b")["ids"].tolist() == [1, 2]


@pytest.mark.parametrize("data", [b"\xff", b"caf\xe9", b"\xed\xa0\x80", "a".encode("utf-16")])
def test_bytes_that_are_not_utf8_are_refused(bundle: Bundle, data: bytes) -> None:
    with pytest.raises(InvalidInput, match="UTF-8"):
        encode(bundle.folder, data)


def test_characters_are_cut_before_the_tokenizer(bundle: Bundle) -> None:
    assert encode(bundle.folder, "a b c", max_characters=3)["ids"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "ids", "mask"),
    [("a b", [1, 2, 99], [1, 1, 0]), ("a b c d", [1, 2, 3], [1, 1, 1]), (" ", [99, 99, 99], [1, 0, 0])],
)
def test_a_static_length_is_padded_or_cut_and_never_all_masked(
    bundle: Bundle, text: str, ids: list[int], mask: list[int]
) -> None:
    row = encode(bundle.folder, text, pad_to=3, pad_id=99)
    assert row["ids"].tolist() == ids
    assert row["mask"].tolist() == mask


def test_token_types_are_zero(bundle: Bundle) -> None:
    row = encode(bundle.folder, "a b", tensors={"ids": "ids", "types": "types"})
    assert {name: array.tolist() for name, array in row.items()} == {"ids": [1, 2], "types": [0, 0]}


def test_a_file_that_is_no_tokenizer_is_named(tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(BundleError, match=r"tokenizer\.json"):
        encode(tmp_path, "a")
