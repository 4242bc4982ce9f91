"""Predictors of AutoGluon-MultiModal as its source saves and exports them, with tiny random networks for large ones.

Layout after learners/base.py (save); inputs and outputs after models/timm_image.py, hf_text.py, fusion/fusion_mlp.py;
the call of the exporter after utils/export.py and utils/onnx.py.
"""

import json
import pickle
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from torch import Tensor, nn

from tests.test_foreign_text import bert

transformers: Any = pytest.importorskip("transformers", reason="pip install .[dev]")
SIDE, WIDTH = 32, 12
MEAN, STD = [0.5, 0.45, 0.4], [0.25, 0.2, 0.3]


class Picture(nn.Module):
    """images (B, n, 3, S, S), image_valid_num (B,): the logits of what counts are averaged ("all_logits").

    `exact`: a count of 0 divides by 1e-6, as it does in AutoMM, but not in what torch's exporter makes of its clamp.
    """

    keys = ("timm_image_image", "timm_image_image_valid_num")

    def __init__(self, classes: int, exact: bool) -> None:
        super().__init__()
        self.exact = exact
        self.conv, self.head = nn.Conv2d(3, WIDTH, 5, stride=4), nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor, valid: Tensor) -> tuple[Tensor, Tensor]:
        b, n, c, h, w = images.shape
        features = self.conv(images.reshape(b * n, c, h, w)).relu().mean((2, 3))
        steps = torch.arange(0, n).type_as(valid)
        masks = (steps.reshape(1, -1) < valid.reshape(-1, 1))[:, :, None].type_as(features)
        divisor = torch.clamp(valid.float() if self.exact else valid, min=1e-6)[:, None]
        logits = (self.head(features).reshape(b, n, -1) * masks).sum(1) / divisor
        return (features.reshape(b, n, -1) * masks).sum(1) / divisor, logits


class Text(nn.Module):
    """text_token_ids, text_segment_ids (B, T), text_valid_length (B,): a tiny BERT, pooled by its first token."""

    keys = ("hf_text_text_token_ids", "hf_text_text_segment_ids", "hf_text_text_valid_length")

    def __init__(self, classes: int, vocabulary: int) -> None:
        super().__init__()
        config = transformers.BertConfig(
            vocab_size=vocabulary, hidden_size=WIDTH, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16,
            max_position_embeddings=24,
        )  # fmt: skip
        self.model, self.head = transformers.BertModel(config), nn.Linear(WIDTH, classes)

    def forward(self, ids: Tensor, segments: Tensor, length: Tensor) -> tuple[Tensor, Tensor]:
        steps = torch.arange(0, ids.shape[1]).type_as(length)
        mask = (steps.reshape(1, -1) < length.reshape(-1, 1)).type_as(ids)
        hidden = self.model(input_ids=ids, token_type_ids=segments, attention_mask=mask).last_hidden_state
        return hidden[:, 0], self.head(hidden[:, 0])


def keys(model: nn.Module) -> list[str]:
    """torch types attributes of modules as tensors or modules."""
    found: Any = model.keys
    return list(found)


class Fusion(nn.Module):
    """All models' features through an MLP; it returns what its losses need as well, some of it without a row."""

    def __init__(self, models: Sequence[nn.Module], classes: int) -> None:
        super().__init__()
        self.models = nn.ModuleList(models)
        self.keys = [key for model in models for key in keys(model)]
        self.mlp, self.head = nn.Linear(WIDTH * len(models), WIDTH), nn.Linear(WIDTH, classes)

    def forward(self, *given: Tensor) -> tuple[Any, ...]:
        features, logits, at = [], [], 0
        for model in self.models:
            count = len(keys(model))
            one, two = model(*given[at : at + count])
            features.append(one)
            logits.append(two)
            at += count
        fused = torch.nn.functional.leaky_relu(self.mlp(torch.cat(features, 1)))
        answer = self.head(fused)
        return (
            fused,
            answer,
            logits,
            features,
            None,
            None,
            answer[: len(fused)].detach(),
            answer[len(fused) :],
            None,
            None,
        )


class Trap:
    """Whoever unpickles it touches a file."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


def networks(names: Sequence[str], classes: int, folder: Path, exact: bool) -> nn.Module:
    """With weights large enough to see mistakes, the same each time."""
    torch.manual_seed(5)
    made: list[nn.Module] = []
    if "hf_text" in names:
        made.append(Text(classes, transformers.AutoTokenizer.from_pretrained(folder / "hf_text").vocab_size))
    if "timm_image" in names:
        made.append(Picture(classes, exact))
    net = Fusion(made, classes) if "fusion_mlp" in names else made[0]
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(2)
    return net.eval()


def predictor(
    folder: Path,
    names: Sequence[str],
    *,
    problem: str = "multiclass",
    classes: int = 4,
    slots: int = 1,
    exact: bool = False,
) -> nn.Module:
    """Writes the folder, and model.onnx in it."""
    folder.mkdir(parents=True)
    said: dict[str, Any] = {"names": list(names)}
    if "timm_image" in names:
        said["timm_image"] = {
            "checkpoint_name": "swin_base_patch4_window7_224", "mix_choice": "all_logits", "data_types": ["image"],
            "train_transforms": ["resize_shorter_side", "center_crop", "trivial_augment"],
            "val_transforms": ["resize_shorter_side", "center_crop"], "image_norm": "imagenet", "image_size": None,
            "max_img_num_per_col": slots,
        }  # fmt: skip
        (folder / "timm_image").mkdir()
        config = {"architecture": "swin", "num_features": WIDTH, "pretrained_cfg": {"mean": MEAN, "std": STD}}
        (folder / "timm_image" / "config.json").write_text(json.dumps(config))
    if "hf_text" in names:
        said["hf_text"] = {
            "checkpoint_name": "local://hf_text", "pooling_mode": "cls", "max_text_len": 20, "insert_sep": True,
            "text_segment_num": 2, "data_types": ["text"],
        }  # fmt: skip
        tokenizer = bert()
        transformers.BertTokenizerFast(
            tokenizer_object=tokenizer, cls_token="[CLS]", sep_token="[SEP]", pad_token="[PAD]", unk_token="[UNK]"
        ).save_pretrained(folder / "hf_text")
        (folder / "hf_text" / "config.json").write_text(json.dumps({"max_position_embeddings": 24}))
    if "fusion_mlp" in names:
        said["fusion_mlp"] = {"hidden_sizes": [WIDTH], "data_types": None}
    data: dict[str, Any] = {"label": {"numerical_preprocessing": "standardscaler"}, "text": {"normalize_text": False}}
    data["image"] = {"missing_value_strategy": "zero"}
    (folder / "config.yaml").write_text(yaml.safe_dump({"model": said, "data": data, "env": {"precision": 32}}))
    columns = {"photo": "image_path"} if "timm_image" in names else {}
    columns |= {"note": "text"} if "hf_text" in names else {}
    kind = "numerical" if problem == "regression" else "categorical"
    assets = {
        "class_name": "BaseLearner", "column_types": {**columns, "target": kind}, "label_column": "target",
        "problem_type": problem, "output_shape": classes, "version": "1.4.0",
    }  # fmt: skip
    (folder / "assets.json").write_text(json.dumps(assets))
    for name in ("df_preprocessor.pkl", "data_processors.pkl", "model.ckpt"):
        (folder / name).write_bytes(pickle.dumps(Trap(folder / "opened")))
    net = networks(names, classes, folder, exact)
    export(folder, net, slots)
    return net


def export(folder: Path, net: nn.Module, slots: int) -> None:
    """torch.onnx.export as ExportMixin.export_onnx calls it: inputs named after the keys, outputs by nobody."""
    batch = {
        "timm_image_image": torch.rand(2, slots, 3, SIDE, SIDE), "timm_image_image_valid_num": torch.tensor([1, slots]),
        "hf_text_text_token_ids": torch.tensor([[2, 5, 6, 3], [2, 5, 3, 0]]),
        "hf_text_text_segment_ids": torch.zeros(2, 4, dtype=torch.long),
        "hf_text_text_valid_length": torch.tensor([4, 3]),
    }  # fmt: skip
    axes: dict[str, dict[int, str]] = {}
    for key in keys(net):
        if "token_ids" in key or "segment_ids" in key:
            axes[key] = {0: "batch_size", 1: "seq_length"}
        elif "valid_length" in key or key.startswith("timm_image"):
            axes[key] = {0: "batch_size"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the tracer's
        torch.onnx.export(
            net, tuple(batch[key] for key in keys(net)), str(folder / "model.onnx"), input_names=keys(net),
            dynamic_axes=axes, opset_version=16, dynamo=False,
        )  # fmt: skip
