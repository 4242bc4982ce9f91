"""Do served explanations depend on what was learnt, and do they agree with gradients? For the recipe digits.

Randomised weights: a map that stays the same when the weights are noise explains nothing (Adebayo et al., Sanity Checks
for Saliency Maps, NeurIPS 2018). Gradients: integrated ones, summed over the same pieces. Both are compared with the
occlusion that POST explain answers, by Spearman's rank correlation over the pieces of a sample.
"""

import re
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import onnx
from onnx import TensorProto, numpy_helper
from scipy.stats import spearmanr

from models import attribution, recover
from models.augment import audio, image, text
from models.datasets.digits import Digits
from models.marks import markdown
from models.pools import Maker, Sample
from models.recipe import Recipe
from models.samples import Drawings, Sentences, Takes
from service.bundle import CARD, GRAPH, Bundle
from service.explain import check
from service.explain.canvas import Piece
from service.explain.occlusion import Method
from service.explain.places import Question, answered
from service.explain.target import Target
from service.inputs import Audio
from service.inputs.audio import trimmed
from service.inputs.wave import read
from service.limits import DEFAULTS
from service.model import Model
from service.types import NOTHING, Array

FEWEST = 4  # pieces of which an order says something
BEGIN, END = "<!-- explain-sanity -->", "<!-- /explain-sanity -->"


class Agreement(NamedTuple):
    """Mean rank correlation with the served explanation; by chance about 0."""

    randomised: float  # of that of the same graph, its weights random
    gradients: float  # of integrated gradients
    samples: int


def run(recipe: Recipe, data: Digits, bundle: Bundle, work: Path, count: int) -> dict[str, Agreement]:
    """Part -> means over `count` samples. Raises ValueError where the bundle's graph is not the recipe's."""
    model, net = Model(bundle), recover.network(recipe, bundle.graph)
    noise = randomised(bundle, work / "randomised", recipe.seed)
    found: dict[str, Agreement] = {}
    for part, several in samples(recipe, data).items():
        pairs: list[tuple[float, float]] = []
        for sample in several:
            pieces, mine = occlusion(model, part, sample)
            if len(pieces) < FEWEST:
                continue
            theirs = occlusion(noise, part, sample)[1]
            attributed = attribution.of(net, model, part, sample.data, sample.label)
            slopes = attribution.over(model, part, sample.data, attributed, pieces)
            pairs.append((correlation(mine, theirs), correlation(mine, slopes)))
            if len(pairs) == count:
                break
        randomly, gradients = np.mean(pairs, 0).tolist()
        found[part] = Agreement(randomly, gradients, len(pairs))
    return found


def samples(recipe: Recipe, data: Digits) -> dict[str, Iterator[Sample]]:
    """Of sentence templates and pictures that nobody was trained on; and of recordings, without the silence around."""
    spec = recipe.inputs["audio"]
    assert isinstance(spec, Audio)
    assert spec.trim
    trim = spec.trim

    def cut(sample: Sample) -> Sample:
        """So that a frame of the features is a moment of the file."""
        return sample._replace(data=audio.wav(trimmed(trim, read(sample.data, spec.sample_rate, None, DEFAULTS))))

    pictures = Drawings(data.test, image.Components(data.test.images), len(data.test.images), 0, "clean")
    return {
        "text": shuffled(Sentences(text.read(), 4000, recipe.seed + 1, ["held"]), recipe.seed),
        "image": shuffled(pictures, recipe.seed),
        "audio": map(cut, shuffled(Takes(data.recordings, [], 1, 0, "clean"), recipe.seed)),
    }


def shuffled(maker: Maker, seed: int) -> Iterator[Sample]:
    return (maker(int(i)) for i in np.random.default_rng(seed).permutation(len(maker)))


def occlusion(model: Model, part: str, sample: Sample) -> tuple[list[Piece], Array]:
    """As it is served: what the log-odds of the truth lose without each piece (a grid, slices of time, words)."""
    parts = {part: sample.data}
    row = model.encode(parts, {})
    row |= model.run([row])[0]
    board = check.canvas_of(model, part, sample.data)
    target = Target(next(iter(model.manifest.outputs)), str(sample.label), "log_odds", NOTHING)
    question = Question(model, parts, row, target, Method(budget=len(board.pieces)))
    found = dict(answered(question.find(part, board), model.run))
    return board.pieces, np.array([found[piece] for piece in board.pieces])


def randomised(bundle: Bundle, folder: Path, seed: int) -> Model:
    """The same graph, each matrix of weights normal with the mean and spread that it had."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(bundle.folder, folder)
    rng = np.random.default_rng(seed)
    proto = onnx.load(bundle.graph)
    for one in proto.graph.initializer:
        if one.data_type == TensorProto.FLOAT and len(one.dims) > 1:
            values = numpy_helper.to_array(one)
            noise = rng.normal(values.mean(), values.std(), values.shape).astype(values.dtype)
            one.CopyFrom(numpy_helper.from_array(noise, one.name))
    onnx.save(proto, folder / GRAPH)
    return Model(bundle.model_copy(update={"folder": folder}))


def correlation(one: Array, other: Array) -> float:
    """Spearman's; 0 where one of them has no order."""
    if np.ptp(one) == 0 or np.ptp(other) == 0:
        return 0.0
    return float(spearmanr(one, other).statistic)


def good(found: Mapping[str, Agreement]) -> bool:
    return all(abs(one.randomised) < one.gradients / 2 for one in found.values())


def write(folder: Path, found: Mapping[str, Agreement]) -> None:
    """Into the model card, in place of what an earlier check wrote there."""
    head = ["part", "samples", "with random weights", "integrated gradients"]
    lines = [[part, str(one.samples), f"{one.randomised:.2f}", f"{one.gradients:.2f}"] for part, one in found.items()]
    about = (
        "Rank correlation over the pieces of a sample, mean over samples, of what `POST explain` says: with what the "
        "same graph with random weights says, which is 0 if explanations show what was learnt and no more; and with "
        "integrated gradients of torch's network. By `python -m models sanity`."
    )
    section = "\n\n".join([BEGIN, "## Do explanations show what was learnt?", about, markdown([head, *lines]), END])
    card = folder / CARD
    text = card.read_text(encoding="utf-8") if card.is_file() else ""
    old = re.compile(f"{re.escape(BEGIN)}.*{re.escape(END)}", re.DOTALL)
    new = old.sub(lambda _: section, text) if old.search(text) else f"{text.rstrip()}\n\n{section}\n"
    card.write_text(new, encoding="utf-8")
