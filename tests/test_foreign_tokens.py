"""Tokenizers of transformers' own classes: tokenizer.json says one thing, tokenizer_config.json another."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tokenizers import Tokenizer

from models.importers.huggingface.layout import Export
from models.importers.huggingface.text import words
from models.importers.huggingface.tokens import agreed
from tests.test_foreign_text import TEXTS, bert, roberta

transformers = pytest.importorskip("transformers", reason="pip install .[dev]")
transformers.logging.set_verbosity_error()
Json = dict[str, Any]


def pieces(kind: Callable[[], Tokenizer]) -> Json:
    model: Json = json.loads(kind().to_str())["model"]
    merges = [tuple(merge.split(" ") if isinstance(merge, str) else merge) for merge in model.get("merges", [])]
    return {"vocab": model["vocab"]} | ({"merges": merges} if merges else {})


def mpnet() -> Json:
    names = {"[PAD]": "<pad>", "[CLS]": "<s>", "[SEP]": "</s>", "[MASK]": "<mask>"}
    return {"vocab": {names.get(token, token): number for token, number in pieces(bert)["vocab"].items()}}


KINDS: dict[str, tuple[str, str, Callable[[], Json]]] = {  # class -> model_type, class, what it is made of
    "Bert": ("bert", "BertTokenizer", lambda: pieces(bert)),
    "cased Bert": ("bert", "BertTokenizer", lambda: {**pieces(bert), "do_lower_case": False}),
    "MPNet": ("mpnet", "MPNetTokenizer", mpnet),
    "Roberta": ("roberta", "RobertaTokenizer", lambda: pieces(roberta)),
    "Roberta of spaces": ("roberta", "RobertaTokenizer", lambda: {**pieces(roberta), "add_prefix_space": True}),
}


def configured(**more: Any) -> Callable[[Path], None]:
    """Keys of tokenizer_config.json."""
    return lambda folder: changed(folder / "tokenizer_config.json", more)


def serialized(**more: Any) -> Callable[[Path], None]:
    """Keys of tokenizer.json."""
    return lambda folder: changed(folder / "tokenizer.json", more)


def changed(file: Path, more: Json) -> None:
    said = json.loads(file.read_text()) | more
    file.write_text(json.dumps({key: value for key, value in said.items() if value != "none at all"}))


BYTES = {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}
KNOWN: dict[str, Callable[[Path], None]] = {  # what the importer knows without transformers
    "as saved": lambda folder: None,
    "tokenizer.json alone": lambda folder: (folder / "tokenizer_config.json").unlink(),
    "no class": configured(tokenizer_class="none at all"),
    "small letters": configured(do_lower_case=True),
    "capitals": configured(do_lower_case=False),
    "accents": configured(strip_accents=False, do_lower_case=True),
    "no space in front": configured(add_prefix_space="none at all"),
    "a space in front": configured(add_prefix_space=True),
    "another normalizer": serialized(normalizer={"type": "BertNormalizer", "clean_text": False, "lowercase": False,
                                                 "strip_accents": None, "handle_chinese_chars": False}),
}  # fmt: skip
FURTHER: dict[str, Callable[[Path], None]] = {  # and what only transformers knows
    "nothing around": serialized(post_processor=None),
    "a token added": configured(additional_special_tokens=["fox"]),
    "no normalizer": serialized(normalizer={"type": "Lowercase"}),
}


def made(folder: Path, kind: str, change: Callable[[Path], None]) -> Export:
    model_type, name, pieces = KINDS[kind]
    getattr(transformers, name)(**pieces(), model_max_length=40).save_pretrained(folder)
    change(folder)
    config = {"model_type": model_type, "max_position_embeddings": 60}
    (folder / "config.json").write_text(json.dumps(config))
    return Export(folder, lambda line: None, config=config)


def same(folder: Path, content: str) -> None:
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    ours = Tokenizer.from_str(content)
    ours.no_truncation()
    ours.no_padding()
    for text in TEXTS:
        found, wanted = ours.encode(text), theirs(text, return_token_type_ids=True)
        assert (found.ids, found.type_ids) == (wanted["input_ids"], wanted["token_type_ids"]), text


ALL = [(kind, change) for kind in KINDS for change in KNOWN if "Roberta" not in kind or change != "another normalizer"]


@pytest.mark.parametrize(("kind", "change"), ALL)
def test_classes_overrule_a_tokenizer_json(tmp_path: Path, kind: str, change: str) -> None:
    export = made(tmp_path, kind, KNOWN[change])
    same(tmp_path, words(export, None, positions=False).tokenizer)


@pytest.mark.parametrize("change", FURTHER)
@pytest.mark.parametrize("kind", KINDS)
def test_where_transformers_is_installed_its_tokens_are_taken(tmp_path: Path, kind: str, change: str) -> None:
    export = made(tmp_path, kind, FURTHER[change])
    said: list[str] = []
    same(tmp_path, agreed(tmp_path, words(export, None, positions=False).tokenizer, said.append))
    if change == "nothing around":
        assert said == [f"tokenizer.json: taken as transformers' {KINDS[kind][1]} changes it by tokenizer_config.json"]


def test_a_tokenizer_that_agrees_stays_as_it_is(tmp_path: Path) -> None:
    export = made(tmp_path, "Bert", KNOWN["as saved"])
    content = words(export, None, positions=False).tokenizer
    assert agreed(tmp_path, content, pytest.fail) == content
