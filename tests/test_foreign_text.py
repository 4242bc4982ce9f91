"""Texts become the ids that transformers gives with the same tokenizer.json, whatever lengths that file embeds."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from service.errors import BundleError
from service.inputs.text import Text
from service.types import Row

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
TEXTS = [
    "The quick brown fox jumps over the lazy dog.", "", " ", "a", "\u00dcn\u00efc\u00f6d\u00e9 CAF\u00c9",
    "\u65e5\u672c\u8a9e", "emoji \U0001f600\U0001f44d\U0001f3fd!", "nul\0byte", "[CLS] injected [SEP] tokens [MASK]",
    "<s> </s>",
    "tabs\tand\nnewlines\r\n", "fox " * 60, "x" * 300, "e\u0301 combining", "\uff11\uff12 full width",
    "\u200bzero\u200bwidth", "UPPER lower MiXeD",
]  # fmt: skip
CORPUS = [*TEXTS, "unaffable foxes quickly jumped over dogs " * 3]
NAMES = {"ids": "input_ids", "mask": "attention_mask", "types": "token_type_ids", "positions": "position_ids"}


def bert() -> Tokenizer:
    """WordPiece, [CLS] ... [SEP]; XLNet's habit of a type of its own for what is special, so that types are seen."""
    made = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    made.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=special))
    made.post_processor = processors.TemplateProcessing(
        single="[CLS]:2 $A:0 [SEP]:1", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return made


def roberta() -> Tokenizer:
    """Bytes, <s> ... </s>, padding 1."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    special = [AddedToken(token, special=True) for token in ("<s>", "<pad>", "</s>", "<unk>")]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=400, special_tokens=special, initial_alphabet=alphabet)
    made.train_from_iterator(CORPUS, trainer)
    made.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return made


KINDS = {"bert": (bert, "[PAD]", 0), "roberta": (roberta, "<pad>", 1)}


@pytest.fixture(scope="module", params=list(KINDS))
def kind(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture(scope="module")
def folder(kind: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tokenizer.json that embeds truncation to 12 and padding to 12, as gte-small's embeds 128."""
    made = KINDS[kind][0]()
    made.enable_truncation(12)
    made.enable_padding(length=12)
    path = tmp_path_factory.mktemp(kind)
    made.save(str(path / "tokenizer.json"))
    return path


def ours(folder: Path, text: str, **options: Any) -> Row:
    return Text.model_validate({"tensors": NAMES, **options}).load(folder)(text.encode())


def theirs(folder: Path, kind: str, **options: Any) -> Any:
    return transformers.PreTrainedTokenizerFast(
        tokenizer_file=str(folder / "tokenizer.json"), pad_token=KINDS[kind][1], **options
    )


def same(row: Row, expected: Any) -> None:
    for name in ("input_ids", "attention_mask", "token_type_ids"):
        if name in expected:
            np.testing.assert_array_equal(row[name], expected[name][0], err_msg=name)
    assert row["input_ids"].dtype == row["token_type_ids"].dtype == row["position_ids"].dtype == np.int64


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("truncate", ["right", "left"])
def test_texts_of_their_own_length(folder: Path, kind: str, text: str, truncate: str) -> None:
    reference = theirs(folder, kind, model_max_length=20, truncation_side=truncate)
    expected = reference(text, truncation=True, return_tensors="np", return_token_type_ids=True)
    row = ours(folder, text, max_tokens=20, truncate=truncate)
    same(row, expected)
    assert row["position_ids"].tolist() == list(range(len(row["input_ids"])))


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
@pytest.mark.parametrize("side", ["right", "left"])
def test_texts_of_a_static_length(folder: Path, kind: str, text: str, side: str) -> None:
    reference = theirs(folder, kind, model_max_length=16, padding_side=side)
    expected = reference(text, truncation=True, padding="max_length", return_tensors="np", return_token_type_ids=True)
    same(ours(folder, text, pad_to=16, pad_id=KINDS[kind][2], side=side), expected)


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_texts_of_a_whole_multiple(folder: Path, kind: str, text: str) -> None:
    expected = theirs(folder, kind, model_max_length=64)(
        text, truncation=True, padding=True, pad_to_multiple_of=8, return_tensors="np", return_token_type_ids=True
    )
    same(ours(folder, text, max_tokens=64, pad_multiple_of=8, pad_id=KINDS[kind][2]), expected)


def test_lower_case_is_made_before_the_tokenizer(folder: Path) -> None:
    np.testing.assert_array_equal(
        ours(folder, "FOX jumps", lowercase=True)["input_ids"], ours(folder, "fox jumps")["input_ids"]
    )


def test_positions_start_where_the_graph_wants_and_padding_in_front_does_not_count(folder: Path) -> None:
    row = ours(folder, "", pad_to=5, side="left", first_position=2)
    assert row["position_ids"].tolist() == [2, 2, 2, 2, 3]


def test_a_length_without_room_for_a_token_is_named(folder: Path) -> None:
    with pytest.raises(BundleError, match="max_tokens: 2, but the tokenizer adds 2"):
        ours(folder, "a", max_tokens=2)
    with pytest.raises(ValueError, match="pad_to: 9 is no multiple of pad_multiple_of, 8"):
        ours(folder, "a", pad_to=9, pad_multiple_of=8)
