"""A bundle of two towers that a human can check: `write(folder)`.

A text's vector counts the tokens that name red, green and blue, a picture's is the mean of its colours: the cosine of
a red picture and `red` is 1.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from service import bundle
from service.model import Model

WORDS = ["red", "green", "blue", "a", "photo", "of"]
OUTPUTS: dict[str, Any] = {
    "classification": {
        "kind": "zero_shot", "query": "image", "candidates": "text", "scale": 10.0, "template": "a {}",
        "vectors": {"text": "text_embeds", "image": "image_embeds"},
    },
    "embedding": {"kind": "embedding", "parts": {"text": "text_embeds", "image": "image_embeds"}, "normalize": True},
}  # fmt: skip


def png(*colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (10, 6), colour).save(out, "PNG")
    return out.getvalue()


def write(folder: Path, name: str = "colours", outputs: dict[str, Any] | None = None) -> bundle.Bundle:
    folder.mkdir(parents=True)
    names = {"red": 0, "green": 1, "blue": 2}
    table = np.full((len(WORDS) + 1, 3), 0.0, np.float32)
    for word, place in names.items():
        table[WORDS.index(word), place] = 1
    nodes = [
        helper.make_node("Gather", ["table", "ids"], ["known"]),
        helper.make_node("Unsqueeze", ["mask", "last"], ["wide"]),
        helper.make_node("Mul", ["known", "wide"], ["there"]),
        helper.make_node("ReduceSum", ["there", "second"], ["text_embeds"], keepdims=0),
    ]
    constants = {"table": table, "last": np.array([2]), "second": np.array([1])}
    graph(folder / "text.onnx", nodes, {"ids": (7, ["b", "t"]), "mask": (1, ["b", "t"])}, "text_embeds", constants)
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixels"], ["means"]),
        helper.make_node("Flatten", ["means"], ["image_embeds"]),
    ]
    graph(folder / "image.onnx", nodes, {"pixels": (1, ["b", 3, 4, 4])}, "image_embeds", {})
    made = Tokenizer(models.WordLevel({word: i for i, word in enumerate([*WORDS, "[UNK]"])}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made.save(str(folder / "tokenizer.json"))
    spec = bundle.Manifest.model_validate({**MANIFEST, "name": name, "outputs": outputs or OUTPUTS})
    parts = {"text": ("txt", b"a red photo"), "image": ("png", png(200, 100, 0))}
    model = Model(bundle.Bundle(folder=folder, manifest=spec))
    row = model.encode({part: data for part, (_, data) in parts.items()}, {})
    return bundle.write(folder, spec, parts, row, model.run([row])[0])


MANIFEST: dict[str, Any] = {
    "schema": 1,
    "inputs": {
        "text": {"kind": "text", "max_tokens": 16, "tensors": {"ids": "ids", "mask": "mask"}},
        "image": {
            "kind": "image", "resize": {"to": "exact", "height": 4, "width": 4}, "scale": 1 / 255,
            "tensors": {"pixels": "pixels"},
        },
    },
    "towers": {
        "text": {"file": "text.onnx", "outputs": {"text_embeds": "text_embeds"}},
        "image": {"file": "image.onnx", "outputs": {"image_embeds": "image_embeds"}},
    },
}  # fmt: skip


def graph(file: Path, nodes: list[Any], inputs: dict[str, Any], output: str, constants: dict[str, Any]) -> None:
    made = helper.make_graph(
        nodes, "tower",
        [helper.make_tensor_value_info(name, *kind) for name, kind in inputs.items()],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, ["b", 3])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(made, ir_version=10, opset_imports=[helper.make_opsetid("", 18)]), file)
