"""Training texts to tokenizer.json: one token a character, a word, or a frequent piece of words. 0 pads, 1 is unknown.

Texts are NFKC and lower case before they are cut, at training as at serving: the file holds every step. Over
characters, `bag` and `tfidf` count character n-grams, over words word n-grams.
"""

import shutil
import unicodedata
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

from service.types import Spec

LATIN = "".join(map(chr, [*range(0x20, 0x7F), *range(0xDF, 0x17F)]))  # what any text may hold beside the known words
SPECIAL = ["[PAD]", "[UNK]"]
WORD = r"\w+|[^\w\s]"  # letters, digits and _ in a row; or one sign
LONGEST = 64  # characters of a word that may be cut into pieces


def write(path: Path, texts: Iterable[str]) -> int:
    """A vocabulary of all characters of `texts`; returns its size. Single spaces, and a space at both ends."""
    letters = {letter for text in [*texts, LATIN] for letter in unicodedata.normalize("NFKC", text).lower()}
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *sorted(letters)])}
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


def cut(tokenizer: Tokenizer) -> None:
    """Into words, as `Words` and `Pieces` both do."""
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(WORD), "removed", invert=True)


class Characters(Spec):
    kind: Literal["characters"] = "characters"

    def write(self, path: Path, texts: Iterable[str]) -> int:
        """Returns the size of the vocabulary."""
        return write(path, texts)


class Words(Spec):
    kind: Literal["words"] = "words"
    size: int = Field(20_000, gt=2, description="of the vocabulary: the most frequent words")
    least: int = Field(1, gt=0, description="how often a word occurs in training to be in it")

    def write(self, path: Path, texts: Iterable[str]) -> int:
        """Returns the size of the vocabulary."""
        blank = Tokenizer(models.WordLevel({token: i for i, token in enumerate(SPECIAL)}, unk_token="[UNK]"))
        cut(blank)
        counts: Counter[str] = Counter()
        for text in texts:
            counts.update(
                word for word, _ in blank.pre_tokenizer.pre_tokenize_str(blank.normalizer.normalize_str(text))
            )
        frequent = sorted(counts, key=lambda word: (-counts[word], word))
        known = [word for word in frequent if counts[word] >= self.least][: self.size - len(SPECIAL)]
        vocabulary = {token: i for i, token in enumerate([*SPECIAL, *known])}
        tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="[UNK]"))
        cut(tokenizer)
        tokenizer.save(str(path))
        return len(vocabulary)


class Pieces(Spec):
    """WordPiece (Schuster and Nakajima, 2012), trained on the texts."""

    kind: Literal["pieces"] = "pieces"
    size: int = Field(4000, gt=2, description="of the vocabulary, at most")

    def write(self, path: Path, texts: Iterable[str]) -> int:
        """Returns the size of the vocabulary."""
        tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]", max_input_chars_per_word=LONGEST))
        cut(tokenizer)
        trainer = trainers.WordPieceTrainer(vocab_size=self.size, special_tokens=SPECIAL, show_progress=False)
        tokenizer.train_from_iterator(texts, trainer)
        tokenizer.save(str(path))
        return int(tokenizer.get_vocab_size())


class Given(Spec):
    """That of a pretrained model's folder, such as a BERT's, or any tokenizer.json."""

    kind: Literal["file"] = "file"
    path: str

    def write(self, path: Path, texts: Iterable[str]) -> int:
        """Returns the size of the vocabulary. Raises FileNotFoundError."""
        given = Path(self.path)
        shutil.copyfile(given / "tokenizer.json" if given.is_dir() else given, path)
        return int(Tokenizer.from_file(str(path)).get_vocab_size())


Tokens = Annotated[Characters | Words | Pieces | Given, Field(discriminator="kind")]


def known(path: Path) -> dict[str, int]:
    """Token -> id of a tokenizer.json, as `Vectors.load` wants it."""
    return dict(Tokenizer.from_file(str(path)).get_vocab())
