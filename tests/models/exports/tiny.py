"""Tiny random models of transformers to graphs, configurations and tokenizers, as its users' tools write them."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from torch import Tensor, nn

from tests.test_foreign_text import bert, roberta

transformers: Any = pytest.importorskip("transformers", reason="pip install .[dev]")
transformers.logging.set_verbosity_error()
Export = Callable[[Path], None]
SIDE = 48
VIT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "image_size": SIDE,
    "patch_size": 16,
}  # fmt: skip  # fmt: skip
BERT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 512,
    "max_position_embeddings": 40,
}  # fmt: skip  # fmt: skip
IDS = torch.tensor([[2, 9, 10, 11, 3]])
PICTURE = torch.zeros(1, 3, SIDE, SIDE)
FREE = {"input_ids": 1, "attention_mask": 1, "token_type_ids": 1}  # input -> its axis of any length
SQUARE = {"height": SIDE, "width": SIDE}


class Named(nn.Module):
    """A model whose inputs and outputs are in order."""

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        found = self.model(**dict(zip(self.inputs, given, strict=True)))
        return tuple(found[name] for name in self.outputs)


def graph(
    file: Path,
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Sequence[int]] | None = None,
    *,
    texts: str = "batch",
) -> None:
    """`free`: axes of any length, besides the batch's and FREE's; `texts`: name of the texts' batch axis."""
    file.parent.mkdir(parents=True, exist_ok=True)
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*inputs, *outputs)}
    for name in (*inputs, *outputs):
        if name in FREE or "text" in name:
            axes[name][0] = texts
        if name in FREE:
            axes[name][FREE[name]] = "sequence"
    for name, numbers in (free or {}).items():
        axes.setdefault(name, {}).update({number: f"{name}_{number}" for number in numbers})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's, about Python numbers
        torch.onnx.export(
            Named(model.eval(), list(inputs), list(outputs)),
            tuple(inputs.values()),
            str(file),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=axes,
            opset_version=17,
            dynamo=False,
        )


def made(name: str, config: Any) -> Any:
    """A model with weights that are large enough to see mistakes, the same each time."""
    torch.manual_seed(7)
    model = getattr(transformers, name)(config)
    model.config.architectures = [name]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.mul_(3)
    return model


def config(folder: Path, model: Any, **more: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    model.config.save_pretrained(folder)
    if more:
        file = folder / "config.json"
        file.write_text(json.dumps(json.loads(file.read_text()) | more))


def write(file: Path, content: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content))


@cache
def trained(kind: Callable[[], Tokenizer]) -> str:
    """Training is not the same each time."""
    made = kind()
    made.enable_truncation(12)  # as gte-small's and all-MiniLM-L6-v2's files have it
    made.enable_padding(length=12)
    return made.to_str()


def tokenizer(folder: Path, kind: Callable[[], Tokenizer], **said: Any) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "tokenizer.json").write_text(trained(kind))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def nested(folder: Path, name: str, **parts: Any) -> None:
    """What transformers 5 writes of a processor of several: one file, all in it; the tokenizer is there already."""
    said = json.loads((folder / "tokenizer_config.json").read_text())
    lengths = {key: said[key] for key in ("pad_token", "model_max_length")}
    fast = transformers.PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **lengths)
    getattr(transformers, f"{name}Processor")(tokenizer=fast, **parts).save_pretrained(folder)


def words(folder: Path, **said: Any) -> None:
    tokenizer(folder, bert, **{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", **said})


def subwords(folder: Path, **said: Any) -> None:
    tokenizer(folder, roberta, **{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "<pad>", **said})
