"""A tri-modal fixture model that computes what a human can check, as a bundle: `write(folder, ...)`.

`sense` holds the number of tokens, the mean brightness (white = 1.0) and the loudness (root of the mean square).
The word `poison` has an id beyond the graph's table: onnxruntime then fails the whole batch.
"""

import functools
import io
import struct
import wave
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from service import bundle
from service.calibrate import best
from service.model import Model

RATE, SIDE = 8000, 8
WORDS = ["a", "b", "c", "d", "e", "f", "g", "h", "white", "noise", "quiet", "loud", "poison"]
PARTS = ("text", "image", "audio")
LABELS = ["tokens", "brightness", "loudness"]
WIDTH = 32  # of the matrices that make a model slow: too small for threads, and for wide registers to gain much
PRODUCTS = 20  # a round


def png(level: int = 255, size: tuple[int, int] = (20, 10)) -> bytes:
    """A grey picture; its brightness is level / 255."""
    out = io.BytesIO()
    Image.new("L", size, level).save(out, "PNG")
    return out.getvalue()


def wav(loudness: float = 0.5, seconds: float = 0.1, rate: int = RATE) -> bytes:
    """A square wave: its loudness is its height."""
    level = round(loudness * 32768)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setparams((1, 2, rate, 0, "NONE", ""))
        file.writeframes(struct.pack("<2h", level, -level) * round(rate * seconds / 2))
    return out.getvalue()


def write(
    folder: Path,
    name: str = "senses",
    *,
    policy: str = "mask",
    slow: float = 0,
    batch: int | str = "batch",
    outputs: dict[str, Any] | None = None,
    version: int = 7,
    needs: dict[str, list[str]] | None = None,
    hang: bool = False,
    large: bool = False,
) -> bundle.Bundle:
    """`slow` is processor seconds a run, whatever the machine and the batch; `batch` the graph's batch axis.

    `measures` come times `version`, but for the usual one. With `hang` a white picture keeps the graph busy for years.
    `large` ones have 10 MB of weights.
    """
    folder.mkdir(parents=True)
    made = graph(policy == "mask", slow, batch, 1 if version == 7 else version)
    made = hanging(made) if hang else laden(made) if large else made
    onnx.save(made, folder / "model.onnx")
    tokenizer().save(str(folder / "tokenizer.json"))
    parts = {"text": ("txt", b"a white noise"), "image": ("png", png(51)), "audio": ("wav", wav(0.25))}
    described = manifest(name, policy) | {"version": str(version)}
    said = {"outputs": outputs or described["outputs"]} | ({"needs": needs} if needs else {})
    spec = bundle.Manifest.model_validate({**described, **said})
    model = Model(bundle.Bundle(folder=folder, manifest=spec))
    row = model.encode({part: data for part, (_, data) in parts.items()}, {})
    return bundle.write(folder, spec, parts, row, model.run([row])[0])


def manifest(name: str = "senses", policy: str = "mask") -> dict[str, Any]:
    masked = policy == "mask"
    sense = {"kind": "classification", "tensor": "measures", "labels": LABELS}
    return {
        "schema": 1,
        "name": name,
        "version": "7",
        "inputs": {
            "text": {"kind": "text", "max_tokens": 16, "tensors": {"ids": "ids", "mask": "mask"}},
            "image": {
                "kind": "image",
                "mode": "L",
                "resize": {"to": "exact", "height": SIDE, "width": SIDE},
                "scale": 1 / 255,
                "tensors": {"pixels": "pixels"},
            },
            "audio": {
                "kind": "audio",
                "sample_rate": RATE,
                "max_seconds": 1.0,
                "features": {"kind": "waveform"},
                "tensors": {"features": "samples", "mask": "sample_mask"},
            },
        },
        "missing": {"policy": "mask", "tensor": "present"} if masked else {"policy": "reject"},
        "prior": {"measures": [0.0, 0.0, 0.0]} if masked else {},
        "outputs": {"sense": sense} | ({"share": {"kind": "weights", "tensor": "share"}} if masked else {}),
    }


def tokenizer() -> Tokenizer:
    """Words between blanks; what is unknown is a token, too."""
    made = Tokenizer(models.WordLevel({"[UNK]": 0} | {word: i + 1 for i, word in enumerate(WORDS)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return made


def graph(masked: bool, slow: float, batch: int | str, gain: int = 1) -> onnx.ModelProto:
    """measures (B, 3) = [sum of the text mask, mean of the pixels, rms of the samples] x present x gain."""
    real, whole = TensorProto.FLOAT, TensorProto.INT64
    inputs = {
        "ids": (whole, [batch, "tokens"]),
        "mask": (real, [batch, "tokens"]),
        "pixels": (real, [batch, 1, SIDE, SIDE]),
        "samples": (real, [batch, "frames"]),
        "sample_mask": (real, [batch, "frames"]),
    }
    outputs = {"measures": (real, [batch, 3])}
    nodes = [
        node("Gather", "ones ids", "known"),  # fails on `poison`
        node("Mul", "known mask", "counted"),
        node("ReduceSum", "counted last", "tokens"),
        node("Flatten", "pixels", "flat"),
        node("ReduceMean", "flat last", "brightness"),
        node("Mul", "samples sample_mask", "heard"),
        node("Mul", "heard heard", "squares"),
        node("ReduceSum", "squares last", "energy"),
        node("ReduceSum", "sample_mask last", "heard_frames"),
        node("Max", "heard_frames one", "frames_or_one"),
        node("Div", "energy frames_or_one", "mean_square"),
        node("Sqrt", "mean_square", "loudness"),
        node("Concat", "tokens brightness loudness", "three", axis=1),
        node("Mul", "three gain", "all"),
    ]
    constants: dict[str, NDArray[Any]] = {
        "ones": np.ones(len(WORDS), np.float32),  # one too few: [UNK] and all words but `poison`
        "last": np.array([1], np.int64),
        "one": np.array(1, np.float32),
        "gain": np.array(gain, np.float32),
    }
    if masked:
        inputs["present"] = (real, [batch, 3])
        outputs["share"] = (real, [batch, 3])
        nodes += [
            node("Mul", "all present", "slowed"),
            node("ReduceSum", "present last", "parts"),
            node("Div", "present parts", "share"),
        ]
    else:
        nodes.append(node("Identity", "all", "slowed"))
    if slow:
        constants |= {"identity": np.eye(WIDTH, dtype=np.float32), "rounds": np.array(rounds(slow), np.int64)}
        constants["true"] = np.array(True)
        nodes += [node("Shape", "ids", "shape"), node("Cast", "shape", "sizes", to=real)]
        nodes += [node("Min", "sizes one", "both"), node("ReduceMin", "both", "unit", keepdims=0)]  # 1, not foldable
        nodes += [
            node("Mul", "identity unit", "power"),
            helper.make_node("Loop", ["rounds", "", "power"], ["last_power"], body=products()),
            node("ReduceMax", "last_power", "still_one", keepdims=0),
            node("Mul", "slowed still_one", "measures"),
        ]
    else:
        nodes.append(node("Identity", "slowed", "measures"))
    made = helper.make_graph(
        nodes,
        "senses",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(name, *kind) for name, kind in outputs.items()],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    onnx.checker.check_model(model)
    return model


def laden(model: onnx.ModelProto) -> onnx.ModelProto:
    """With a matrix that adds nothing to the brightness."""
    bright = next(one for one in model.graph.node if one.output[0] == "brightness")
    bright.output[0] = "light"
    at = list(model.graph.node).index(bright) + 1
    more = [
        node("MatMul", "flat ballast", "wide"),
        node("ReduceSum", "wide last", "nothing"),
        node("Add", "light nothing", "brightness"),
    ]
    for i, one in enumerate(more):
        model.graph.node.insert(at + i, one)
    model.graph.initializer.append(numpy_helper.from_array(np.zeros((SIDE * SIDE, 40_000), np.float32), "ballast"))
    onnx.checker.check_model(model)
    return model


def products() -> onnx.GraphProto:
    """A round of a loop: a matrix times itself, again and again."""
    real, whole, truth = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    info = helper.make_tensor_value_info
    return helper.make_graph(
        [
            node("Identity", "true", "go_on"),
            *(node("MatMul", f"power{i} power{i}", f"power{i + 1}") for i in range(PRODUCTS)),
        ],
        "round",
        [info("round", whole, []), info("go", truth, []), info("power0", real, [WIDTH, WIDTH])],
        [info("go_on", truth, []), info(f"power{PRODUCTS}", real, [WIDTH, WIDTH])],
    )


def rounds(seconds: float) -> int:
    """That take this machine so many seconds of one core."""
    return max(1, round(seconds / a_round()))


@functools.cache
def a_round() -> float:
    """Seconds."""
    real, truth, count = TensorProto.FLOAT, np.array(True), 200
    info = helper.make_tensor_value_info
    made = helper.make_graph(
        [helper.make_node("Loop", ["rounds", "", "power"], ["last_power"], body=products())],
        "rounds",
        [info("power", real, [WIDTH, WIDTH])],
        [info("last_power", real, [WIDTH, WIDTH])],
        [numpy_helper.from_array(truth, "true"), numpy_helper.from_array(np.array(count, np.int64), "rounds")],
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    model = helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 18)])
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
    return best(lambda: session.run(None, {"power": np.eye(WIDTH, dtype=np.float32)})) / count


def hanging(model: onnx.ModelProto) -> onnx.ModelProto:
    """Goes round and round, (5 x brightness) ** 20 times, before it answers."""
    real, whole, truth = TensorProto.FLOAT, TensorProto.INT64, TensorProto.BOOL
    info = helper.make_tensor_value_info
    body = helper.make_graph(
        [node("Identity", "true", "go_on"), node("Mul", "still still", "and_still")],
        "round",
        [info("round", whole, []), info("go", truth, []), info("still", real, [])],
        [info("go_on", truth, []), info("and_still", real, [])],
    )
    nodes = [
        node("ReduceMax", "brightness", "brightest", keepdims=0),
        node("Mul", "brightest five", "fivefold"),
        node("Pow", "fivefold twenty", "many"),
        node("Cast", "many", "rounds", to=whole),
        helper.make_node("Loop", ["rounds", "", "unity"], ["at_last"], body=body),
        node("Mul", "measured at_last", "measures"),
    ]
    last = next(one for one in model.graph.node if one.output[0] == "measures")
    last.output[0] = "measured"
    model.graph.node.extend(nodes)
    for name, value in (("five", 5.0), ("twenty", 20.0), ("unity", 1.0)):
        model.graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), name))
    model.graph.initializer.append(numpy_helper.from_array(np.array(True), "true"))
    onnx.checker.check_model(model)
    return model


def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(kind, inputs.split(), [output], **attributes)
