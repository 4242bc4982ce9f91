"""tokenizer.json of one token a character: NFKC, lower case, single spaces, a space at both ends."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, models, normalizers

LATIN = "".join(map(chr, [*range(0x20, 0x7F), *range(0xDF, 0x17F)]))  # what any text may hold beside the known words


def write(path: Path, texts: Iterable[str]) -> int:
    """A vocabulary of all characters of `texts`; returns its size. 0 pads, 1 is anything else."""
    letters = {letter for text in [*texts, LATIN] for letter in unicodedata.normalize("NFKC", text).lower()}
    vocabulary = {token: i for i, token in enumerate(["[PAD]", "[UNK]", *sorted(letters)])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex(r"^\s*|\s*$"), " "),  # a word's end looks the same in the middle and at the end
            normalizers.Replace(Regex(r"\s+"), " "),
        ]
    )
    tokenizer.save(str(path))
    return len(vocabulary)
