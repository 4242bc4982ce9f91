"""Tensors of the parts to one vector (B, D), as a graph of ONNX: what training reads of it is what serving computes."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from models.classic.recipe import AudioPart, ImagePart, Recipe, TextPart
from models.table.columns import axes, bands, tensors
from models.table.manifest import PRESENT
from models.table.rows import Rows
from service.types import FLOAT, Array, Row

OPSET, ML_OPSET, IR = 17, 3, 8
FEATURES = "features"
CHUNK = 256  # rows of a run
FARTHEST = 8.0  # deviations from the mean: what hardly varied in training may vary later
Session = Any  # onnxruntime has no types


class Builder:
    """Nodes and constants as they are named one after the other."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []

    def constant(self, values: Any) -> str:
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values), name))
        return name

    def __call__(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """The name of the one output."""
        name = f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], **attributes))
        return name


def ngrams(rows: Sequence[Array], smallest: int, largest: int, most: int) -> list[tuple[tuple[int, ...], int]]:
    """The most frequent n-grams of ids (T,), shorter ones first, with the number of rows that hold each."""
    total: Counter[tuple[int, ...]] = Counter()
    holding: Counter[tuple[int, ...]] = Counter()
    for ids in rows:
        values = [int(each) for each in ids]
        found = [tuple(values[i : i + n]) for n in range(smallest, largest + 1) for i in range(len(values) - n + 1)]
        total.update(found)
        holding.update(set(found))
    kept = sorted(total, key=lambda gram: (-total[gram], gram))[:most]
    return [(gram, holding[gram]) for gram in sorted(kept, key=lambda gram: (len(gram), gram))]


def text(build: Builder, part: TextPart, train: Rows) -> str:
    """TF-IDF of length 1; idf = ln((1 + n) / (1 + df)) + 1, as scikit-learn has it. Padding is id 0, of no n-gram.

    Raises ValueError where no text has an n-gram.
    """
    ids, mask = tensors(part.input)
    spec, rows = part.features, [row[ids] for row in train.rows if ids in row]
    grams = ngrams(rows, spec.smallest, spec.largest, spec.features)
    if not grams:
        raise ValueError(f"{part.column}: no text has {spec.smallest} tokens")
    lengths = [len(gram) for gram, _ in grams]
    starts = [sum(length * lengths.count(length) for length in range(1, n)) for n in range(1, spec.largest + 1)]
    there = build("Mul", ids, build("Cast", mask, to=TensorProto.INT64))
    counts = build(
        "TfIdfVectorizer",
        there,
        mode="TF",
        min_gram_length=spec.smallest,
        max_gram_length=spec.largest,
        max_skip_count=0,
        ngram_counts=starts,
        ngram_indexes=list(range(len(grams))),
        pool_int64s=[each for gram, _ in grams for each in gram],
    )
    idf = [np.log((1 + len(rows)) / (1 + df)) + 1 for _, df in grams]
    weighted = build("Mul", counts, build.constant(np.array(idf, FLOAT)))
    size = build("ReduceL2", weighted, axes=[1], keepdims=1)
    return build("Div", weighted, build("Max", size, build.constant(FLOAT(1e-12))))


def image(build: Builder, part: ImagePart, blank: Array) -> str:
    """(B, C, H, W) -> means in the fields of a grid, and their steps; mean and deviation of each colour.

    Raises ValueError where pictures have no fixed size, or are smaller than the grid.
    """
    (pixels,), spec = tensors(part.input), part.features
    side = min(blank.shape[1:])
    if part.input.resize is None and part.input.ink is None:
        raise ValueError(f"{part.column}: statistics need pictures of one size: input: resize: {{to: exact, ...}}")
    if side < spec.fields + 1:
        raise ValueError(f"{part.column}: a grid of {spec.fields} fields in a picture of {side}")
    found = [build("Flatten", mean_fields(build, pixels, blank.shape[1:], spec.fields))]
    for axis in (2, 3):
        size = blank.shape[axis - 1]
        at = build.constant(np.array([axis], np.int64))
        first, last = (
            [build.constant(np.array([each], np.int64)) for each in pair] for pair in ((0, 1), (size - 1, size))
        )
        before = build("Slice", pixels, first[0], last[0], at)
        after = build("Slice", pixels, first[1], last[1], at)
        step = build("Abs", build("Sub", after, before))
        shape = [blank.shape[1] - (axis == 2), blank.shape[2] - (axis == 3)]
        found.append(build("Flatten", mean_fields(build, step, shape, spec.fields)))
    mean = build("ReduceMean", pixels, axes=[2, 3], keepdims=1)
    spread = build("ReduceMean", build("Abs", build("Sub", pixels, mean)), axes=[2, 3], keepdims=1)
    return build("Concat", *found, build("Flatten", mean), build("Flatten", spread), axis=1)


def mean_fields(build: Builder, pixels: str, shape: Sequence[int], fields: int) -> str:
    sizes = [max(1, size // fields) for size in shape]
    return build("AveragePool", pixels, kernel_shape=sizes, strides=sizes)


def audio(build: Builder, part: AudioPart) -> str:
    """(B, bands, F) under (B, F) -> mean, deviation and maximum of each band, and the means of stretches.

    Raises ValueError where there are samples, not bands.
    """
    if not bands(part):
        raise ValueError(f"{part.column}: statistics need features of frames, not a waveform")
    (x, mask), count = tensors(part.input), part.features.stretches
    two = build.constant(np.array([2], np.int64))
    one = build.constant(np.array([1], np.int64))
    valid = build("Unsqueeze", mask, one)  # (B, 1, F)
    size = build("Max", build("ReduceSum", mask, one, keepdims=1), build.constant(FLOAT(1)))  # (B, 1)
    wide = build("Unsqueeze", size, two)  # (B, 1, 1)
    mean = build("Div", build("ReduceSum", build("Mul", x, valid), two, keepdims=1), wide)  # (B, bands, 1)
    apart = build("Mul", build("Sub", x, mean), valid)
    spread = build("Sqrt", build("Div", build("ReduceSum", build("Mul", apart, apart), two, keepdims=1), wide))
    top = build("Add", build("ReduceMax", apart, axes=[2], keepdims=1), mean)
    place = build("Sub", build("CumSum", mask, build.constant(np.int64(1))), build.constant(FLOAT(1)))
    stretch = build("Floor", build("Div", build("Mul", place, build.constant(FLOAT(count))), size))  # (B, F)
    each = build("Equal", build("Unsqueeze", stretch, two), build.constant(np.arange(count, dtype=FLOAT)))  # (B, F, k)
    inside = build("Mul", build("Cast", each, to=TensorProto.FLOAT), build("Unsqueeze", mask, two))
    counts = build("Max", build("ReduceSum", inside, one, keepdims=1), build.constant(FLOAT(1)))  # (B, 1, k)
    means = build("Div", build("MatMul", x, inside), counts)  # (B, bands, k)
    return build("Flatten", build("Concat", mean, spread, top, means, axis=2))


def graph(recipe: Recipe, train: Rows, scales: Mapping[str, tuple[Array, Array]]) -> ModelProto:
    """Inputs of all parts and `present` -> features (B, D): zeros for what is absent, then `present` itself."""
    build = Builder()
    blocks = []
    for i, (name, part) in enumerate(recipe.parts.items()):
        if isinstance(part, TextPart):
            block = text(build, part, train)
        elif isinstance(part, ImagePart):
            block = image(build, part, train.blank[tensors(part.input)[0]])
        else:
            block = audio(build, part)
        if name in scales:
            mean, std = scales[name]
            block = build("Div", build("Sub", block, build.constant(mean)), build.constant(std))
            size = np.sqrt(len(mean))
            block = build(
                "Clip", block, build.constant(FLOAT(-FARTHEST / size)), build.constant(FLOAT(FARTHEST / size))
            )
        there = build("Gather", PRESENT, build.constant(np.array([i], np.int64)), axis=1)  # (B, 1)
        there = build("Greater", there, build.constant(FLOAT(0)))
        blocks.append(build("Where", there, block, build.constant(FLOAT(0))))
    build.nodes.append(helper.make_node("Concat", [*blocks, PRESENT], [FEATURES], axis=1))
    made = helper.make_graph(
        build.nodes,
        "features",
        inputs(recipe, train),
        [value(FEATURES, TensorProto.FLOAT, ["batch", None])],
        build.constants,
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=IR)
    checker.check_model(model)
    return model


def inputs(recipe: Recipe, train: Rows) -> list[Any]:
    found = []
    for part in recipe.parts.values():
        free = axes(part.input)
        for name in tensors(part.input):
            blank = train.blank[name]
            shape: list[str | int] = ["batch", *blank.shape]
            for axis, title in free.get(name, {}).items():
                shape[axis] = title
            kind = TensorProto.INT64 if blank.dtype == np.int64 else TensorProto.FLOAT
            found.append(value(name, kind, shape))
    return [*found, value(PRESENT, TensorProto.FLOAT, ["batch", len(recipe.parts)])]


def value(name: str, kind: int, shape: Sequence[str | int | None]) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def fit(recipe: Recipe, train: Rows) -> ModelProto:
    """Pictures and sounds are at mean 0 over the training rows that have them, and so scaled that a part's block has
    the length 1 on average, as TF-IDF has: no part drowns another one in distances."""
    plain, scales, start = session(graph(recipe, train, {})), {}, 0
    features = run(plain, train, train.present)
    for i, (name, part) in enumerate(recipe.parts.items()):
        alone = np.zeros_like(train.present[:1])
        alone[0, i] = 1
        size = width(recipe, train, name)
        if not isinstance(part, TextPart):
            block = features[train.present[:, i] > 0, start : start + size]
            std = block.std(0)
            std = np.where(std > 1e-6, std, 1) * np.sqrt(size)
            scales[name] = (block.mean(0).astype(FLOAT), std.astype(FLOAT))
        start += size
    return graph(recipe, train, scales)


def width(recipe: Recipe, train: Rows, name: str) -> int:
    """Of one part's block."""
    single = recipe.model_copy(update={"parts": {name: recipe.parts[name]}})
    at = list(recipe.parts).index(name)
    present = np.ones((1, 1), FLOAT)
    some = train.take(np.flatnonzero(train.present[:, at] > 0)[:1])
    return int(run(session(graph(single, train, {})), some, present).shape[1]) - 1


def session(model: ModelProto) -> Session:
    return onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])


def run(graph: Session, rows: Rows, present: Array) -> Array:
    """(N, D) of the first output."""
    names = {each.name for each in graph.get_inputs()}
    found = []
    for at in range(0, len(rows), CHUNK):
        chosen = np.arange(at, min(at + CHUNK, len(rows)))
        batch: Row = rows.take(chosen).batch() | {PRESENT: present[chosen].astype(FLOAT)}
        found.append(graph.run(None, {name: values for name, values in batch.items() if name in names})[0])
    return np.concatenate(found)
