"""What training is shown looks and sounds like what people send, and still says the same digit."""

import io
import wave
from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from models import tokens
from models.augment import audio, image, text
from models.datasets import digits
from models.samples import Drawings, Takes
from service.inputs import Image
from tests.models.conftest import pictures, tone

LANGUAGES = text.read()
INK = Image.model_validate({"mode": "L", "ink": {"box": 20, "size": 28}, "tensors": {"pixels": "pixels"}})
PICTURES = digits.Pictures(pictures(), np.tile(np.arange(10), 3))


def test_there_are_twenty_languages_and_none_says_two_digits_alike() -> None:
    assert len(LANGUAGES) == 20
    for language in LANGUAGES.values():
        forms = [form for digit in range(10) for form in language.forms(digit)]
        assert len(set(forms)) == len(forms)
        assert all(template.count("{}") == 1 for template in language.templates)


@pytest.mark.parametrize("group", ["known", "held", "among"])
def test_a_sentence_says_its_digit(group: str) -> None:
    rng = np.random.default_rng(0)
    right = 0
    for i in range(200):
        said = text.sentence(LANGUAGES, i % 10, group, rng).lower()
        languages = LANGUAGES.values()
        forms = [form for each in languages for form in [*each.forms(i % 10), each.numerals[i % 10], str(i % 10)]]
        right += any(form in said for form in forms)
    assert right > 180  # the others are typing slips


def test_held_templates_are_never_known() -> None:
    for language in LANGUAGES.values():
        known, held = set(language.templates_of("known")), set(language.templates_of("held"))
        assert not known & held
        assert known | held == set(language.templates)


def test_the_tokenizer_knows_every_character_of_every_language(tmp_path: Path) -> None:
    size = tokens.write(tmp_path / "tokenizer.json", text.everything(LANGUAGES))
    tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    for each in text.everything(LANGUAGES):
        ids = tokenizer.encode(each).ids
        assert 1 not in ids  # unknown
        assert max(ids) < size
    assert tokenizer.encode(" Seven\n").ids == tokenizer.encode("SEVEN").ids == tokenizer.encode("ｓｅｖｅｎ").ids


def test_black_ink_on_white_paper_is_encoded_as_white_on_black() -> None:
    encode = INK.load(Path())
    for pixels in PICTURES.images[:10]:
        white, black = encode(image.png(pixels)), encode(image.png(image.inverted(pixels)))
        assert np.array_equal(white["pixels"], black["pixels"])


@pytest.mark.parametrize("condition", ["clean", "inverted", "reduced", "drawn", "varied"])
def test_every_condition_of_pictures_leaves_ink(condition: str) -> None:
    maker = Drawings(PICTURES, image.Components(PICTURES.images), 30, 0, condition)
    encode = INK.load(Path())
    for i in range(len(maker)):
        pixels = encode(maker(i).data)["pixels"]
        assert pixels.shape == (1, 28, 28)
        assert pixels.max() > 200
        assert np.median(pixels) < 128
        assert maker(i) == maker(i)  # the same each time


def test_a_skeleton_is_thin_and_in_one_piece() -> None:
    thick = np.zeros((1, 28, 28), bool)
    thick[0, 4:24, 10:15] = True
    thin = image.thin(thick)[0]
    assert (thin.sum(1) <= 2).all()
    assert thin.sum() >= 14
    assert not (thin & ~thick[0]).any()


@pytest.mark.parametrize("condition", ["clean", "noisy", "recorded", "varied"])
def test_every_condition_of_recordings_is_a_readable_sound(condition: str) -> None:
    recordings = [digits.Recording(tone(digit, 150), digit, "ann", 0) for digit in range(10)]
    noises = [np.random.default_rng(0).normal(0, 0.1, 9000).astype(np.float32)]
    maker = Takes(recordings, noises, 4, 0, condition)
    for i in range(len(maker)):
        with wave.open(io.BytesIO(maker(i).data)) as file:
            assert file.getframerate() in (8000, 16000, 44100, 48000)
            assert 0.2 < file.getnframes() / file.getframerate() < 4
            levels = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        assert np.abs(levels).max() > 300
        assert maker(i) == maker(i)


def test_noise_at_zero_decibel_is_as_strong_as_the_speech() -> None:
    speech = tone(3, 150)
    mixed = audio.noisy(speech, [], 0, np.random.default_rng(0))
    assert 0.7 < audio.power(mixed - speech) / audio.power(speech) < 1.4
