"""Features and targets to fitted estimators, and both to one graph."""

import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from models.classic.estimators import build
from models.classic.features import FEATURES, IR, ML_OPSET, OPSET, value
from models.classic.recipe import Task
from models.table.check import UNKNOWN
from models.table.columns import CLASSIFICATION, REGRESSION
from models.table.manifest import PRESENT
from service.types import FLOAT, Array


class Fitted(NamedTuple):
    """One estimator of a classification, one for each label or value of other tasks."""

    task: Task
    estimators: list[Any]

    def answer(self, features: Array) -> Array:
        """(N, K) probabilities, or values."""
        if self.task.kind == CLASSIFICATION:
            return np.asarray(self.estimators[0].predict_proba(features), FLOAT)
        if self.task.kind == REGRESSION:
            return np.stack([each.predict(features) for each in self.estimators], 1).astype(FLOAT)
        return np.stack([each.predict_proba(features)[:, 1] for each in self.estimators], 1).astype(FLOAT)


def fit(task: Task, features: Array, targets: Array, seed: int, threads: int = 1) -> Fitted:
    """features (N, D); rows of which a target is not known do not count for it."""
    if task.kind == CLASSIFICATION:
        known = targets != UNKNOWN
        return Fitted(task, [build(task.estimator, seed, threads, values=False).fit(features[known], targets[known])])
    estimators = []
    for column in targets.T:
        known = ~np.isnan(column)
        y = column[known] if task.kind == REGRESSION else column[known].astype(np.int64)
        made = build(task.estimator, seed, threads, values=task.kind == REGRESSION)
        estimators.append(made.fit(features[known], y))
    return Fitted(task, estimators)


def merged(features: ModelProto, width: int, heads: Mapping[str, Fitted], reach: Mapping[str, Array]) -> ModelProto:
    """`reach`: regression -> (subsets, values), half of its intervals, by the number of the subset of parts."""
    model, results = features, []
    for name, head in heads.items():
        raw = []
        for i, estimator in enumerate(head.estimators):
            prefix = f"{name}_{i}_"
            part = compose.add_prefix(converted(estimator, width, head.task), prefix)
            model = compose.merge_models(
                model, part, io_map=[(FEATURES, f"{prefix}{FEATURES}")], outputs=kept(model, part)
            )
            raw.append(part.graph.output[-1].name)
        results.append((name, head, raw))
    outputs = []
    for name, head, raw in results:
        outputs += answer(model, name, head, raw, reach.get(name))
    del model.graph.output[:]
    model.graph.output.extend(outputs)
    return model


def kept(model: ModelProto, part: ModelProto) -> list[str]:
    """The features stay an output, for the next head."""
    return [*(each.name for each in model.graph.output), part.graph.output[-1].name]


def converted(estimator: Any, width: int, task: Task) -> ModelProto:
    options = None if task.kind == REGRESSION else {id(estimator): {"zipmap": False}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # skl2onnx reads attributes of SVC that are to be renamed
        model: ModelProto = convert_sklearn(
            estimator,
            initial_types=[(FEATURES, FloatTensorType([None, width]))],
            target_opset={"": OPSET, "ai.onnx.ml": ML_OPSET},
            options=options,
        )
    for each in model.opset_import:
        each.version = ML_OPSET if each.domain == "ai.onnx.ml" else OPSET  # it writes the least; merging wants equals
    model.ir_version = IR
    return model


def answer(model: ModelProto, name: str, head: Fitted, raw: list[str], reach: Array | None) -> list[Any]:
    """Adds the nodes that join what the estimators say; returns the outputs."""
    nodes, constants, size = model.graph.node, model.graph.initializer, head.task.size
    if head.task.kind == CLASSIFICATION:
        nodes.append(helper.make_node("Identity", raw, [f"{name}_probabilities"]))
        return [value(f"{name}_probabilities", TensorProto.FLOAT, ["batch", size])]
    if head.task.kind != REGRESSION:
        constants.append(numpy_helper.from_array(np.array([1], np.int64), f"{name}_yes"))
        for each in raw:
            nodes.append(helper.make_node("Gather", [each, f"{name}_yes"], [f"{each}_yes"], axis=1))
        nodes.append(helper.make_node("Concat", [f"{each}_yes" for each in raw], [f"{name}_probabilities"], axis=1))
        return [value(f"{name}_probabilities", TensorProto.FLOAT, ["batch", size])]
    assert reach is not None
    constants.append(numpy_helper.from_array(np.array([-1, 1], np.int64), f"{name}_column"))
    for each in raw:
        nodes.append(helper.make_node("Reshape", [each, f"{name}_column"], [f"{each}_value"]))
    nodes.append(helper.make_node("Concat", [f"{each}_value" for each in raw], [f"{name}_value"], axis=1))
    parts = int(np.log2(len(reach)))
    tables: dict[str, Array] = {
        "powers": (2.0 ** np.arange(parts)).astype(FLOAT),
        "reach": reach.astype(FLOAT),
        "last": np.array([2], np.int64),
    }
    for title, values in tables.items():
        constants.append(numpy_helper.from_array(values, f"{name}_{title}"))
    for kind, inputs, output, attributes in (
        ("MatMul", [PRESENT, f"{name}_powers"], "number", {}),
        ("Cast", [f"{name}_number"], "subset", {"to": TensorProto.INT64}),
        ("Gather", [f"{name}_reach", f"{name}_subset"], "half", {"axis": 0}),
        ("Sub", [f"{name}_value", f"{name}_half"], "low", {}),
        ("Add", [f"{name}_value", f"{name}_half"], "high", {}),
        ("Unsqueeze", [f"{name}_low", f"{name}_last"], "lows", {}),
        ("Unsqueeze", [f"{name}_high", f"{name}_last"], "highs", {}),
        ("Concat", [f"{name}_lows", f"{name}_highs"], "interval", {"axis": 2}),
    ):
        nodes.append(helper.make_node(kind, inputs, [f"{name}_{output}"], **attributes))
    return [
        value(f"{name}_value", TensorProto.FLOAT, ["batch", size]),
        value(f"{name}_interval", TensorProto.FLOAT, ["batch", size, 2]),
    ]
