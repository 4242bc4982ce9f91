"""A synthetic table in a medical style: a note, a picture of skin, a recording of heart and breath; signs, a severity.

Nothing in it comes from a person, and no number of it from medicine: it shows several labels, a regression with
intervals, and parts that each know something else.
"""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.random import Generator, default_rng

from models.made.rows import Made, kept
from models.made.signals import flac, png, spot, surface
from service.types import Array

RATE, SECONDS, SIDE = 4000, 3.0, 40
SIGNS = ("fever", "inflammation", "rapid_pulse", "wheeze")
OPENINGS = ["patient reports", "family says", "seen at the desk:", "on arrival", "since yesterday", "two days of"]
TOLD = {  # sign -> what a note says where it is there, and where it is not
    "fever": (["feeling hot", "chills at night", "temperature was high"], ["no chills", "not hot"]),
    "inflammation": (["the arm is sore", "red and warm spot"], ["skin looks fine"]),
    "rapid_pulse": (["heart is racing", "palpitations"], ["calm at rest"]),
    "wheeze": (["short of breath", "breath whistles"], ["breathes freely"]),
}
SAID = {"fever": 0.95, "inflammation": 0.35, "rapid_pulse": 0.35, "wheeze": 0.35}  # how often a note speaks of it
POINTS = {"fever": 2.0, "inflammation": 1.5, "rapid_pulse": 2.5, "wheeze": 3.0}


def rows(data: Path, count: int, seed: int) -> Iterator[Made]:
    """severity = sum of the signs' points, of which each is more or less strong, and chance; 0..10."""
    for i in range(count):
        rng = default_rng([seed, 31, i])
        strength = {sign: float(rng.uniform(0.4, 1.0)) if rng.random() < 0.35 else 0.0 for sign in SIGNS}
        severity = sum(POINTS[sign] * strength[sign] for sign in SIGNS) + rng.normal(0, 0.4)
        note, photo, recording = kept(rng, 3, 0.85)
        signs = "|".join(sign for sign in SIGNS if strength[sign])
        yield Made(
            {
                "note": told(strength, rng) if note else "",
                "signs": signs,
                "severity": f"{np.clip(severity, 0, 10):.2f}",
            },
            {
                "skin": ("png", png(skin(strength["inflammation"], rng)) if photo else b""),
                "recording": ("flac", flac(body(strength, rng), RATE) if recording else b""),
            },
        )


def told(strength: dict[str, float], rng: Generator) -> str:
    """Not everything is told, and some of it wrongly."""
    found = []
    for sign, (yes, no) in TOLD.items():
        if rng.random() < SAID[sign]:
            words = yes if (strength[sign] > 0) == (rng.random() < 0.95) else no
            found.append(words[int(rng.integers(len(words)))])
    order = rng.permutation(len(found))
    opening = OPENINGS[int(rng.integers(len(OPENINGS)))]
    return f"{opening} {', '.join(found[i] for i in order)}" if found else f"{opening} nothing more"


def skin(inflammation: float, rng: Generator) -> Array:
    """A patch of any tone; where inflamed, a spot that is as red as the sign is strong."""
    tone = np.array([225.0, 180, 150]) * rng.uniform(0.4, 1.0)
    patch = surface(SIDE, tone, rng)
    inner = spot(SIDE, rng, 0.1, 0.25) * inflammation
    return np.asarray(patch * (1 - inner) + inner * np.array([tone[0] * 1.05, tone[1] * 0.4, tone[2] * 0.4]))


def body(strength: dict[str, float], rng: Generator) -> Array:
    """Two thuds a beat, breath as noise that comes and goes, a tone over it where it wheezes."""
    time = np.arange(int(RATE * SECONDS)) / RATE
    rate = 110 + 50 * strength["rapid_pulse"] if strength["rapid_pulse"] else rng.uniform(55, 95)
    out = np.zeros(len(time))
    for beat in np.arange(rng.uniform(0, 0.5), SECONDS, 60 / rate):
        for at, size in ((beat, 0.5), (beat + 0.12, 0.3)):
            out += size * np.exp(-(((time - at) / 0.02) ** 2)) * np.sin(2 * np.pi * 60 * time)
    breath = (1 + np.sin(2 * np.pi * rng.uniform(0.25, 0.5) * time + rng.uniform(0, 6))) / 2
    out += 0.05 * breath * rng.normal(size=len(time))
    out += 0.15 * strength["wheeze"] * breath * np.sin(2 * np.pi * rng.uniform(350, 700) * time)
    return np.asarray(out)
