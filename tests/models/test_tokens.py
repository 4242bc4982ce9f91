"""Tokenizers made from texts: what the server cuts is what training cut, and n-grams over it are scikit-learn's."""

from pathlib import Path

import numpy as np
import pytest
import torch
from pydantic import TypeAdapter
from sklearn.feature_extraction.text import TfidfVectorizer
from tokenizers import Tokenizer

from models import tokens
from models.encoders.bag import Bag, TfidfSpec
from models.tokens import Characters, Given, Pieces, Tokens, Words
from service.inputs.text import Text
from service.types import Array

TEXTS = [
    "The cat sat on the mat.",
    "A dog, a CAT\tand  7 ﬁsh!",
    "der Hund und die Katze: ÄRGER",
    "猫 が いる",
    "cat",
    "the the the",
]


def served(path: Path) -> list[Array]:
    """The ids that the server makes of the texts' bytes."""
    spec = Text.model_validate({"tokenizer": path.name, "tensors": {"ids": "ids", "mask": "mask"}})
    encode = spec.load(path.parent)
    return [encode(text.encode())["ids"] for text in TEXTS]


def difference(path: Path, size: int, reference: TfidfVectorizer, largest: int) -> float:
    """Largest, between TF-IDF of served ids and of scikit-learn from the texts."""
    rows = served(path)
    bag = TfidfSpec(largest=largest, features=4000).build(size, 4)
    bag.fit(rows)
    expected = reference.fit_transform(TEXTS).toarray()
    found = torch.stack([bag.features(torch.from_numpy(row)[None], torch.ones(1, len(row)))[0] for row in rows]).numpy()
    columns = [place(bag, name, path) for name in reference.get_feature_names_out()]
    assert len(set(columns)) == int((found.sum(0) > 0).sum())  # no n-gram more, none less
    return float(np.abs(found[:, columns] - expected).max())


def place(bag: Bag, name: str, path: Path) -> int:
    ids = Tokenizer.from_file(str(path)).get_vocab()
    words = name.split(" ") if bag.spec.largest == 2 else list(name)
    code = sum((ids[word] + 1) * bag.base**k for k, word in enumerate(words))
    return bag.table.tolist().index(code)


def test_word_n_grams_of_the_server_are_those_of_scikit_learn(tmp_path: Path) -> None:
    size = Words().write(tmp_path / "t.json", TEXTS)
    reference = TfidfVectorizer(
        token_pattern=tokens.WORD, ngram_range=(1, 2), preprocessor=lambda text: text.replace("ﬁ", "fi").lower()
    )
    assert difference(tmp_path / "t.json", size, reference, 2) < 1e-6


def test_character_n_grams_of_the_server_are_those_of_scikit_learn(tmp_path: Path) -> None:
    size = Characters().write(tmp_path / "t.json", TEXTS)
    reference = TfidfVectorizer(
        analyzer="char",
        ngram_range=(1, 3),
        preprocessor=lambda text: f" {' '.join(text.replace('ﬁ', 'fi').lower().split())} ",
    )
    assert difference(tmp_path / "t.json", size, reference, 3) < 1e-6


@pytest.mark.parametrize("kind", ["characters", "words", "pieces"])
def test_known_texts_have_no_unknown_token(tmp_path: Path, kind: str) -> None:
    spec = TypeAdapter(Tokens).validate_python({"kind": kind})
    size = spec.write(tmp_path / "t.json", TEXTS)
    ids = np.concatenate(served(tmp_path / "t.json"))
    assert ids.min() >= 2  # neither padding nor unknown
    assert ids.max() < size == len(tokens.known(tmp_path / "t.json"))


def test_the_most_frequent_words_are_kept(tmp_path: Path) -> None:
    assert Words(size=4).write(tmp_path / "t.json", TEXTS) == 4
    assert tokens.known(tmp_path / "t.json") == {"[PAD]": 0, "[UNK]": 1, "the": 2, "cat": 3}
    assert Words(least=3).write(tmp_path / "t.json", TEXTS) == 4


def test_unseen_words_are_cut_into_pieces(tmp_path: Path) -> None:
    Pieces(size=200).write(tmp_path / "t.json", TEXTS * 3)
    pieces = Tokenizer.from_file(str(tmp_path / "t.json")).encode("catdog").tokens
    assert len(pieces) > 1
    assert "".join(each.removeprefix("##") for each in pieces) == "catdog"


def test_a_given_tokenizer_is_copied(tmp_path: Path) -> None:
    folder = tmp_path / "bert"
    folder.mkdir()
    size = Words().write(folder / "tokenizer.json", TEXTS)
    assert Given(path=str(folder)).write(tmp_path / "t.json", []) == size
    assert (tmp_path / "t.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
