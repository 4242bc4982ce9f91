"""A recipe and its data to what training reads: tokenizer, mel bank, and one cached pool of samples a part."""

import hashlib
from pathlib import Path

import librosa
import numpy as np
from rich.progress import Progress

from models import pools, tokens
from models.augment import image, text
from models.datasets import digits
from models.pools import Maker, Pool
from models.recipe import Recipe
from models.samples import Drawings, Sentences, Spoken, Takes, kept_noises, training_noises
from service.inputs import Audio

HERE = Path(__file__).parent
SOURCES = ("samples.py", "augment/*.py", "datasets/*.yaml")
SENTENCES = 4000  # of each condition
CONDITIONS = {  # name -> the condition of each part
    "clean": {"text": "held", "image": "clean", "audio": "clean"},
    "black on white": {"text": "held", "image": "inverted", "audio": "clean"},
    "degraded": {"text": "held", "image": "reduced", "audio": "noisy"},
    "drawn, recorded": {"text": "held", "image": "drawn", "audio": "recorded"},
}


def constants(recipe: Recipe, work: Path) -> int:
    """Writes tokenizer.json and mel.npy; returns the size of the vocabulary."""
    work.mkdir(parents=True, exist_ok=True)
    audio = recipe.inputs["audio"]
    assert isinstance(audio, Audio)
    assert audio.features.kind == "log_mel"
    assert audio.features.bank
    mel = recipe.mel
    bank = librosa.filters.mel(
        sr=audio.sample_rate, n_fft=audio.features.n_fft, n_mels=mel.mels, fmin=mel.fmin, fmax=mel.fmax
    )
    np.save(work / audio.features.bank, bank)
    return tokens.write(work / "tokenizer.json", text.everything(text.read()))


def training_pools(recipe: Recipe, data: digits.Digits, work: Path, progress: Progress) -> dict[str, Pool]:
    size, seed = recipe.samples, recipe.seed
    makers: dict[str, Maker] = {
        "text": Sentences(text.read(), size.sentences, seed),
        "image": Drawings(data.train, image.Components(data.train.images), size.pictures, seed),
        "audio": Takes(data.recordings, training_noises(data.noises), size.takes, seed),
    }
    pools = {part: cached(recipe, part, "training", maker, work, progress) for part, maker in makers.items()}
    if size.voices:
        spoken = Spoken(training_noises(data.noises), size.voices, size.voice_takes, seed)
        pools["audio"] = pools["audio"].joined(cached(recipe, "audio", "voices", spoken, work, progress))
    return pools


def evaluation_pools(recipe: Recipe, data: digits.Digits, work: Path, progress: Progress) -> dict[str, dict[str, Pool]]:
    """Condition -> part -> samples that no run has seen, if it leaves out the speakers and held templates."""
    seed, components = recipe.seed + 1, image.Components(data.train.images)

    def maker(part: str, condition: str) -> Maker:
        if part == "text":
            return Sentences(text.read(), SENTENCES, seed, [condition])
        if part == "image":
            return Drawings(data.test, components, len(data.test.images), seed, condition)
        return Takes(data.recordings, kept_noises(data.noises), 1, seed, condition)

    return {
        name: {part: cached(recipe, part, how, maker(part, how), work, progress) for part, how in parts.items()}
        for name, parts in CONDITIONS.items()
    }


def cached(recipe: Recipe, part: str, title: str, maker: Maker, work: Path, progress: Progress) -> Pool:
    """Made anew when the numbers or the code that it depends on have changed."""
    spec = recipe.inputs[part]
    said = [spec.model_dump_json(), recipe.mel.model_dump_json(), str(len(maker)), str(recipe.seed)]
    said += [file.read_text(encoding="utf-8") for glob in SOURCES for file in sorted(HERE.glob(glob))]
    digest = hashlib.sha256("".join(said).encode()).hexdigest()[:8]
    return pools.cached(work / "pools" / f"{part}-{title}-{digest}.npz", maker, spec, work, progress)
