"""A digit to a sentence that says it: 20 languages, templates, random context, typos, case, punctuation."""

from pathlib import Path
from typing import TypeVar

import yaml
from numpy.random import Generator
from pydantic import Field, TypeAdapter

from service.types import Spec

T = TypeVar("T")
WORDS = Path(__file__).parents[1] / "datasets" / "words.yaml"
PUNCTUATION = [".", "!", "?", "...", " :)", ","]


class Language(Spec):
    words: list[str] = Field(min_length=10, max_length=10)
    also: dict[int, list[str]] = Field({}, description="digit -> other words for it")
    numerals: str = "0123456789"
    templates: list[str]

    def forms(self, digit: int) -> list[str]:
        return [self.words[digit], *self.also.get(digit, [])]

    def templates_of(self, group: str) -> list[str]:
        """Every fifth template is `held` from the runs that estimate how unseen ones do; the others are `known`."""
        return [template for i, template in enumerate(self.templates) if (i % 5 == 4) == (group == "held")]

    def context(self) -> list[str]:
        """The words around the digit in known templates."""
        return [word for template in self.templates_of("known") for word in template.replace("{}", " ").split()]


Languages = dict[str, Language]


def everything(languages: Languages) -> list[str]:
    """All strings that sentences are made of."""
    return [
        text
        for language in languages.values()
        for text in [
            *language.templates,
            language.numerals,
            *(form for digit in range(10) for form in language.forms(digit)),
        ]
    ]


def read(path: Path = WORDS) -> Languages:
    return TypeAdapter(Languages).validate_python(yaml.safe_load(path.read_text(encoding="utf-8")))


def sentence(languages: Languages, digit: int, group: str, rng: Generator) -> str:
    """What somebody may write who means `digit`: a template, or the number `among` words it was never seen with."""
    language = languages[pick(list(languages), rng)]
    said = number(language, digit, rng)
    if group == "among":
        text = surround(languages, language, said, rng)
    else:
        text = pick(language.templates_of(group), rng).format(said)
    if rng.random() < 0.15:
        text = mistype(text, rng)
    if rng.random() < 0.15:
        text += pick(PUNCTUATION, rng)
    return recase(text, rng)


def number(language: Language, digit: int, rng: Generator) -> str:
    draw = rng.random()
    if draw < 0.75:
        return language.words[digit]
    if draw < 0.85:
        return pick(language.forms(digit), rng)
    return str(digit) if draw < 0.92 else language.numerals[digit]


def surround(languages: Languages, language: Language, said: str, rng: Generator) -> str:
    """Up to five words on each side: of the same language, of another one, or of none."""
    foreign = languages[pick(list(languages), rng)]
    numbers = {form for each in languages.values() for digit in range(10) for form in each.forms(digit)}
    draws = {"own": language.context(), "foreign": [word for word in foreign.context() if word not in numbers]}
    kind = pick(["own", "own", "foreign", "none"], rng)

    def side() -> list[str]:
        count = int(rng.integers(0, 6))
        known = draws.get(kind)
        return [pick(known, rng) if known and rng.random() < 0.8 else nonsense(language, rng) for _ in range(count)]

    glue = " " if rng.random() < 0.9 or not said.isascii() else ", "
    return glue.join([*side(), said, *side()])


def nonsense(language: Language, rng: Generator) -> str:
    """A word nobody knows: the letters of two known ones, shuffled."""
    letters = list(pick(language.context(), rng) + pick(language.context(), rng))
    rng.shuffle(letters)
    return "".join(letters[: int(rng.integers(2, 9))])


def mistype(text: str, rng: Generator) -> str:
    """One slip of a finger: a letter dropped, doubled, changed, or two of them swapped."""
    if len(text) < 3:
        return text
    at = int(rng.integers(0, len(text) - 1))
    slip = int(rng.integers(0, 4))
    if slip == 0:
        return text[:at] + text[at + 1 :]
    if slip == 1:
        return text[:at] + text[at] + text[at:]
    if slip == 2:
        return text[:at] + chr(int(rng.integers(ord("a"), ord("z") + 1))) + text[at + 1 :]
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


def recase(text: str, rng: Generator) -> str:
    draw = rng.random()
    if draw < 0.7:
        return text
    return text.upper() if draw < 0.8 else text.capitalize() if draw < 0.95 else text.title()


def pick(values: list[T], rng: Generator) -> T:
    return values[int(rng.integers(0, len(values)))]
