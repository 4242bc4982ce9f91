"""Tiny random models of transformers, exported and laid out as its users' tools do; `FAMILIES` names them all."""

import json
import warnings
from collections.abc import Callable, Mapping, Sequence
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
}  # fmt: skip
BERT = {
    "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32, "vocab_size": 512,
    "max_position_embeddings": 40,
}  # fmt: skip
IDS = torch.tensor([[2, 9, 10, 11, 3]])
PICTURE = torch.zeros(1, 3, SIDE, SIDE)
FREE = {"input_ids": 1, "attention_mask": 1, "token_type_ids": 1}  # input -> its axis of any length


class Named(nn.Module):
    """A model whose inputs and outputs are in order."""

    def __init__(self, model: nn.Module, inputs: Sequence[str], outputs: Sequence[str]) -> None:
        super().__init__()
        self.model, self.inputs, self.outputs = model, inputs, outputs

    def forward(self, *given: Tensor) -> tuple[Tensor, ...]:
        found = self.model(**dict(zip(self.inputs, given, strict=True)), return_dict=True)
        return tuple(found[name] for name in self.outputs)


def graph(
    file: Path,
    model: nn.Module,
    inputs: Mapping[str, Tensor],
    outputs: Sequence[str],
    free: Mapping[str, Sequence[int]] | None = None,
) -> None:
    """`free`: axes of any length, besides the batch's and FREE's."""
    file.parent.mkdir(parents=True, exist_ok=True)
    axes: dict[str, dict[int, str]] = {name: {0: "batch"} for name in (*inputs, *outputs)}
    for name in inputs:
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


def tokenizer(folder: Path, made: Tokenizer, *, embedded: bool = True, **said: Any) -> None:
    """`embedded`: with a length and padding in it, as gte-small's and all-MiniLM-L6-v2's have."""
    folder.mkdir(parents=True, exist_ok=True)
    if embedded:
        made.enable_truncation(12)
        made.enable_padding(length=12)
    made.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(said))


def words(folder: Path, **said: Any) -> None:
    tokenizer(folder, bert(), **{"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]", **said})


def vit(folder: Path) -> None:
    """optimum's flat layout, transformers 5."""
    model = made("ViTForImageClassification", transformers.ViTConfig(**VIT, num_labels=5))
    config(folder, model)
    transformers.ViTImageProcessorPil(size={"height": SIDE, "width": SIDE}).save_pretrained(folder)
    graph(folder / "model.onnx", model, {"pixel_values": PICTURE}, ["logits"])


def resnet(folder: Path) -> None:
    """The export bot's layout: everything in onnx/; transformers 4 wrote ConvNeXT's processor for ResNets."""
    sizes = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}
    model = made("ResNetForImageClassification", transformers.ResNetConfig(**sizes, num_labels=4))
    config(folder / "onnx", model)
    said = {
        "crop_pct": 0.875, "do_normalize": True, "do_resize": True,
        "feature_extractor_type": "ConvNextFeatureExtractor", "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225], "resample": 3, "size": SIDE,
    }  # fmt: skip
    (folder / "onnx" / "preprocessor_config.json").write_text(json.dumps(said))
    graph(folder / "onnx" / "model.onnx", model, {"pixel_values": PICTURE}, ["logits"])


def bert_multilabel(folder: Path) -> None:
    labels = {"id2label": {0: "calm", 1: "glad", 2: "cross"}, "problem_type": "multi_label_classification"}
    model = made("BertForSequenceClassification", transformers.BertConfig(**BERT, **labels, type_vocab_size=4))
    config(folder, model)
    words(folder, model_max_length=1e30)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "token_type_ids": torch.zeros_like(IDS)}
    graph(folder / "model.onnx", model, inputs, ["logits"])


def roberta_regression(folder: Path) -> None:
    model = made("RobertaForSequenceClassification", transformers.RobertaConfig(**BERT, pad_token_id=1, num_labels=1))
    config(folder, model)
    tokenizer(folder, roberta(), tokenizer_class="PreTrainedTokenizerFast", pad_token="<pad>")
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    graph(folder / "model.onnx", model, inputs, ["logits"])


FAMILIES: dict[str, Export] = {
    "vit": vit,
    "resnet": resnet,
    "bert-multilabel": bert_multilabel,
    "roberta-regression": roberta_regression,
}
