"""A tokenizer.json that makes the ids that transformers, where it is installed, makes of the same files."""

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from models.importers.huggingface.layout import Say

LOCAL = {"local_files_only": True, "trust_remote_code": False}  # nothing is fetched, no code of a model's is run
PROBES = (  # what normalisers, splitters and special tokens may treat in several ways
    "a photo of a cat", " Two  Words ", "\u00dcn\u00efc\u00f6d\u00e9 CAF\u00c9", "\u65e5\u672c\u8a9e 12.5%",
    "e\u0301 \uff11 \ufb01", "tabs\tand\r\nlines", "zero\u200bwidth\u00a0space", "don't we've; it's",
    "[CLS] [SEP] [MASK] <s> </s> <mask> <pad>", "\U0001f600\U0001f44d\U0001f3fd",
)  # fmt: skip
ADDED = 100  # so many of the tokens that were added to the vocabulary are probed, too
Tokens = list[tuple[list[int], list[int]]]  # ids and types of each probe


def agreed(folder: Path, content: str, say: Say) -> str:
    """`content`, a tokenizer.json, or transformers' own where it reads the files in `folder` otherwise.

    Raises ImportError where transformers is not installed, and what its classes raise.
    """
    transformers: Any = import_module("transformers")
    transformers.logging.set_verbosity_error()
    theirs = transformers.AutoTokenizer.from_pretrained(str(folder), **LOCAL)
    probes = [*PROBES, " ".join([*theirs.get_added_vocab()][:ADDED])]
    found = [theirs(text, return_token_type_ids=True) for text in probes]
    wanted = [(each["input_ids"], each["token_type_ids"]) for each in found]
    if tokens(content, probes) == wanted:
        return content
    backend = getattr(theirs, "backend_tokenizer", None)
    own = str(backend.to_str()) if backend else content
    if tokens(own, probes) != wanted:
        say(f"tokenizer.json makes other tokens than transformers' {type(theirs).__name__} does of these files")
        return content
    say(f"tokenizer.json: taken as transformers' {type(theirs).__name__} changes it by tokenizer_config.json")
    return own


def tokens(content: str, probes: Sequence[str]) -> Tokens:
    reader = Tokenizer.from_str(content)
    reader.no_truncation()
    reader.no_padding()
    found = [reader.encode(text) for text in probes]
    return [(each.ids, each.type_ids) for each in found]
