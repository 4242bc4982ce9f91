"""A predictor's folder and the graph of its `export_onnx` to a bundle, or to the lines that are to be completed.

AutoMM's own answers are reached by its own means: an absent picture has a count of 0, an absent text is "".
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from models.importers import graphs, media
from models.importers.automm import parts, predictor
from models.importers.automm.predictor import Predictor, section
from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given
from models.importers.guess.labels import named
from models.importers.place import free
from service import graph as graph_file
from service.bundle import CARD, GRAPH, MANIFEST, Bundle, Manifest
from service.engine import Engine
from service.errors import BundleError
from service.model import Model, joined

CLASSES = ("binary", "multiclass", "classification")
VECTORS = ("feature_extraction",)
SHOW = "python -c \"from autogluon.multimodal import MultiModalPredictor as P; p = P.load('{folder}'); {what}\""
CARDS = """# {name}

{models} of AutoGluon-MultiModal {version}, trained for {task}.
Imported from `{folder}` by `python -m models import automm`.
What it is for, what it was trained on and whose it is must be said here by its owner.
"""


def start(folder: Path, to: Path, graph: Path | None, given: Given, sets: Sequence[str], *, force: bool) -> Draft:
    """Writes the graph, its files and the manifest, which may have lines to complete. Raises BundleError."""
    found = predictor.read(folder)
    file = graph or folder / GRAPH
    if not file.is_file():
        raise BundleError(
            f"{file}: no such file; MultiModalPredictor.load(...).export_onnx(data, path='DIR') writes one"
        )
    graphs.check(file)
    graph_file.check(file, graph_file.read(file))
    name = free(to, force=force, source=folder)
    engine = Engine(file, ("CPU",), threads=1)
    draft, files = Draft(name), {}
    for model, kind in sorted(found.parts.items(), key=lambda item: item[1], reverse=True):  # text, image
        if kind == "text":
            files = parts.text(draft, model, found, engine.inputs)
        else:
            parts.picture(draft, model, found, engine.inputs, given)
    if len(found.parts) > 1:
        draft.put("missing", {"policy": "blank"}, Origin.FILE, "AutoMM's way: a count of 0, an empty text")
        draft.put("inputs.text.absent", "", Origin.FILE, "as AutoMM fills what is missing")
    answers(draft, engine, found, given)
    draft.put("reference", "Braid", Origin.GIVEN, "who made the example's row, by these steps")
    draft.assign(sets)
    to.mkdir(parents=True, exist_ok=True)
    graphs.copy(file, to, GRAPH)
    for target, content in files.items():
        (to / target).write_bytes(content)
    about = {"models": ", ".join(found.names), "version": found.assets.get("version"), "task": found.task}
    (to / CARD).write_text(CARDS.format(name=name, folder=folder.resolve().name, **about), encoding="utf-8")
    alone(draft, to)
    (to / MANIFEST).write_text(draft.text(), encoding="utf-8")
    return draft


def answers(draft: Draft, engine: Engine, found: Predictor, given: Given) -> None:
    """The graph's first outputs are features and logits, whatever their names; a fusion has more, one of no row.

    Raises BundleError.
    """
    names = list(engine.outputs)
    if len(names) < 2:
        raise BundleError(f"the graph gives {', '.join(names)}; AutoMM's exports give features, logits and more")
    features, logits = names[:2]
    last, count = (engine.outputs[logits] or (None,))[-1], found.assets.get("output_shape")
    if found.task not in VECTORS and None not in (last, count) and last != count:
        raise BundleError(f"the graph's second output {logits!r} has {last} numbers, assets.json says {count}")
    if found.task in CLASSES:
        place = "outputs.classification"
        draft.put(f"{place}.kind", "classification", Origin.FILE, f"assets.json: {found.task}")
        draft.put(f"{place}.tensor", logits, Origin.GRAPH, "logits, the second output")
        labels(draft, place, found, given)
        draft.put(f"{place}.activation", "softmax", Origin.FILE, "as predict_proba")
    elif found.task == "regression":
        number(draft, logits, found)
    elif found.task not in VECTORS:
        raise BundleError(f"assets.json: problem_type {found.task!r} has no answer in Braid")
    draft.put(
        "outputs.embedding", {"kind": "embedding", "tensor": features}, Origin.GRAPH, "features, the first output"
    )
    wanted = [features] if found.task in VECTORS else [features, logits]
    draft.put("wanted", wanted, Origin.GRAPH, "the others serve training")


def labels(draft: Draft, place: str, found: Predictor, given: Given) -> None:
    count, known = found.assets.get("output_shape"), found.assets.get("classes")
    names = named(given, {}) or [str(name) for name in known or []]
    if not names:
        how = SHOW.format(folder=found.folder, what="print(*p.class_labels, sep='\\\\n')")
        draft.ask(
            f"{place}.labels",
            f"{count} names in their order, which only df_preprocessor.pkl holds; --labels FILE of: {how}",
        )
        return
    if count not in (None, len(names)):
        raise BundleError(f"{len(names)} labels, but the model has {count} classes")
    draft.put(f"{place}.labels", names, Origin.FILE, given.labels.name if given.labels else "assets.json")


def number(draft: Draft, logits: str, found: Predictor) -> None:
    """The scaler of the label: y = x scale + offset."""
    place = "outputs.regression"
    draft.put(f"{place}.kind", "regression", Origin.FILE, "assets.json")
    draft.put(f"{place}.tensor", logits, Origin.GRAPH, "the second output")
    scaler = section(section(found.config, "data"), "label").get("numerical_preprocessing")
    formulas = {
        "standardscaler": ("s.scale_[0]", "s.mean_[0]"),
        "minmaxscaler": ("1 / s.scale_[0]", "-s.min_[0] / s.scale_[0]"),
    }
    if scaler is None:
        return
    if scaler not in formulas:
        raise BundleError(f"config.yaml: data.label.numerical_preprocessing {scaler!r} is none that Braid knows")
    for key, formula in zip(("scale", "offset"), formulas[scaler], strict=True):
        how = SHOW.format(folder=found.folder, what=f"s = p._learner._df_preprocessor.label_scaler; print({formula})")
        draft.ask(f"{place}.{key}", f"of the label's {scaler}, which only df_preprocessor.pkl holds: {how}")


def alone(draft: Draft, to: Path) -> None:
    """Whether the graph gives numbers where parts are missing, and which with no part at all; explanations start there.

    torch's exporter turns AutoMM's clamp(count, min=1e-6) of whole numbers into max(count, 0): then it is 0 / 0.
    """
    if "missing" not in draft:
        return
    said = draft.document()
    logits = said["wanted"][-1]
    said["outputs"] = {"any": {"kind": "embedding", "tensor": logits}}
    said["inputs"]["image"] |= {"mean": [0.0], "std": [1.0]}  # unknown yet, and no matter here
    model = Model(Bundle(folder=to, manifest=Manifest.model_validate(said)))
    examples = {part: media.example(spec)[1] for part, spec in model.manifest.inputs.items()}
    rows = [model.encode({part: examples[part]}, {}) for part in examples]
    none = joined(model.blanks.values())
    answers = model.run([*rows, none])
    if all(np.isfinite(answer[logits]).all() for answer in answers):
        prior = {logits: [float(number) for number in answers[-1][logits].reshape(-1)]}
        draft.put("prior", prior, Origin.MEASURED, "the answer with no part at all")
        return
    draft.assign(["inputs.text.absent="])
    draft.put("missing", {"policy": "reject"}, Origin.MEASURED, "where a part is missing the graph gives no numbers")
