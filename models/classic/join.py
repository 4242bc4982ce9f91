"""A graph of features and fitted estimators to one graph: calibrated probabilities, values with intervals."""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, TensorProto, compose, helper, numpy_helper
from skl2onnx import convert_sklearn
from skl2onnx.common.data_types import FloatTensorType

from models.classic.features import FEATURES, IR, ML_OPSET, OPSET, value
from models.classic.heads import SMALL, Fitted
from models.classic.recipe import Task
from models.table.columns import CLASSIFICATION, REGRESSION
from models.table.manifest import PRESENT
from service.types import FLOAT, Array

Step = tuple[str, list[str], str, dict[str, Any]]  # operator, inputs, output, attributes


def merged(features: ModelProto, width: int, heads: Mapping[str, Fitted], scales: Mapping[str, Array]) -> ModelProto:
    """`scales`, by the number of the subset of parts: regression -> (subsets, values), half of its intervals; others ->
    (subsets, 1), temperatures."""
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
        outputs += answer(model, name, head, raw, scales[name])
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


def answer(model: ModelProto, name: str, head: Fitted, raw: list[str], scale: Array) -> list[Any]:
    """Adds the nodes that join what the estimators say; returns the outputs."""
    steps: list[Step] = [
        ("MatMul", [PRESENT, "powers"], "number", {}),
        ("Cast", ["number"], "subset", {"to": TensorProto.INT64}),
        ("Gather", ["scale", "subset"], "scaled", {"axis": 0}),  # (B, values) or (B, 1)
    ]
    for i, each in enumerate(raw):
        if head.task.kind == REGRESSION:
            steps.append(("Reshape", [each, "column"], f"said_{i}", {}))
        elif head.task.kind == CLASSIFICATION:
            steps.append(("Identity", [each], f"said_{i}", {}))
        else:
            steps.append(("Gather", [each, "yes"], f"said_{i}", {"axis": 1}))
    steps.append(("Concat", [f"said_{i}" for i in range(len(raw))], "said", {"axis": 1}))
    constants: dict[str, Array] = {
        "powers": (2.0 ** np.arange(int(np.log2(len(scale))))).astype(FLOAT),
        "scale": scale.astype(FLOAT),
        "column": np.array([-1, 1], np.int64),
        "yes": np.array([1], np.int64),
        "last": np.array([2], np.int64),
        "least": np.array(SMALL, FLOAT),
        "most": np.array(1 - SMALL, FLOAT),
        "one": np.array(1, FLOAT),
    }
    add(model, name, [*steps, *finish(head.task.kind)], constants)
    size = head.task.size
    if head.task.kind != REGRESSION:
        return [value(f"{name}_probabilities", TensorProto.FLOAT, ["batch", size])]
    return [
        value(f"{name}_value", TensorProto.FLOAT, ["batch", size]),
        value(f"{name}_interval", TensorProto.FLOAT, ["batch", size, 2]),
    ]


def finish(kind: str) -> list[Step]:
    """As heads.softened; or value and interval."""
    if kind == REGRESSION:
        return [
            ("Identity", ["said"], "value", {}),
            ("Sub", ["said", "scaled"], "low", {}),
            ("Add", ["said", "scaled"], "high", {}),
            ("Unsqueeze", ["low", "last"], "lows", {}),
            ("Unsqueeze", ["high", "last"], "highs", {}),
            ("Concat", ["lows", "highs"], "interval", {"axis": 2}),
        ]
    begin: list[Step] = [("Clip", ["said", "least", "most"], "safe", {}), ("Log", ["safe"], "log", {})]
    if kind == CLASSIFICATION:
        return [*begin, ("Div", ["log", "scaled"], "z", {}), ("Softmax", ["z"], "probabilities", {"axis": 1})]
    return [
        *begin,
        ("Sub", ["one", "safe"], "rest", {}),
        ("Log", ["rest"], "logrest", {}),
        ("Sub", ["log", "logrest"], "logit", {}),
        ("Div", ["logit", "scaled"], "z", {}),
        ("Sigmoid", ["z"], "probabilities", {}),
    ]


def add(model: ModelProto, name: str, steps: Sequence[Step], constants: Mapping[str, Array]) -> None:
    """Under the task's name; what is neither a step's nor a constant is of the graph. Unused constants are left out."""
    own = {output for _, _, output, _ in steps} | constants.keys()
    used = {each for _, inputs, _, _ in steps for each in inputs}
    for title, values in constants.items():
        if title in used:
            model.graph.initializer.append(numpy_helper.from_array(values, f"{name}_{title}"))
    for kind, inputs, output, attributes in steps:
        named = [f"{name}_{each}" if each in own else each for each in inputs]
        model.graph.node.append(helper.make_node(kind, named, [f"{name}_{output}"], **attributes))
