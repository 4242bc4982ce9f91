"""Classifiers, vectors and detectors of pictures."""

from pathlib import Path
from typing import Any

import torch

from tests.models.exports.tiny import PICTURE, SIDE, SQUARE, VIT, Export, config, graph, made, transformers, write


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
    write(folder / "onnx" / "preprocessor_config.json", said)
    graph(folder / "onnx" / "model.onnx", model, {"pixel_values": PICTURE}, ["logits"])


def classifier(name: str, said: dict[str, Any], processor: str, how: dict[str, Any], side: int = SIDE) -> Export:
    """optimum's flat layout of any `name`ForImageClassification."""

    def export(folder: Path) -> None:
        model = made(f"{name}ForImageClassification", getattr(transformers, f"{name}Config")(**said, num_labels=3))
        config(folder, model)
        getattr(transformers, f"{processor}ImageProcessorPil")(**how).save_pretrained(folder)
        graph(folder / "model.onnx", model, {"pixel_values": torch.zeros(1, 3, side, side)}, ["logits"])

    return export


def short(edge: int, side: int = SIDE) -> dict[str, Any]:
    return {"size": {"shortest_edge": edge}, "crop_size": {"height": side, "width": side}}


TWO: dict[str, Any] = {"hidden_sizes": [8, 16], "depths": [1, 1]}
FOUR: dict[str, Any] = {"hidden_sizes": [8, 8, 16, 16], "depths": [1, 1, 1, 1]}
LEVIT = {"hidden_sizes": [16, 24, 32], "num_attention_heads": [1, 2, 2], "depths": [1, 1, 1], "key_dim": [8, 8, 8]}
EFFICIENT = {"width_coefficient": 0.25, "depth_coefficient": 0.1, "hidden_dim": 320, "image_size": SIDE}
OFFSET = {"size": SQUARE, "rescale_offset": True, "rescale_factor": 1 / 127.5, "include_top": False}
CROPPED = {"size": {"shortest_edge": SIDE}, "crop_pct": 0.9}
MOBILE = {"hidden_sizes": [16, 16, 16], "neck_hidden_sizes": [8, 8, 8, 8, 8, 8, 16], "num_attention_heads": 2}
SWIN = {"embed_dim": 8, "depths": [1, 1], "num_heads": [1, 2], "window_size": 4, "image_size": 64}
CLASSIFIERS: dict[str, Export] = {
    "beit": classifier("Beit", VIT, "Beit", {"size": SQUARE}),
    "deit": classifier("DeiT", VIT, "DeiT", {"size": {"height": 56, "width": 56}, "crop_size": SQUARE}),
    "bit": classifier("Bit", {**TWO, "embedding_size": 8, "num_groups": 4}, "Bit", short(52)),
    "convnext": classifier(
        "ConvNext", {**TWO, "num_stages": 2}, "ConvNext", {"size": {"shortest_edge": SIDE}, "crop_pct": 0.9}
    ),
    "efficientnet": classifier("EfficientNet", EFFICIENT, "EfficientNet", OFFSET),
    "levit": classifier("Levit", {**LEVIT, "image_size": 64}, "Levit", short(64, 64), 64),
    "poolformer": classifier("PoolFormer", FOUR, "PoolFormer", short(64, 64), 64),
    "mobilevit": classifier("MobileViT", {**MOBILE, "image_size": 64}, "MobileViT", short(72, 64), 64),
    "segformer": classifier("Segformer", {**FOUR, "num_attention_heads": [1, 1, 2, 2]}, "Segformer", {"size": SQUARE}),
    "swin": classifier("Swin", SWIN, "ViT", {"size": {"height": 64, "width": 64}}, 64),
}


def dinov2(folder: Path) -> None:
    """A vector of a picture: pooler_output."""
    model = made("Dinov2Model", transformers.Dinov2Config(**VIT))
    config(folder, model)
    transformers.BitImageProcessorPil(size={"shortest_edge": 56}, crop_size=SQUARE).save_pretrained(folder)
    graph(folder / "model.onnx", model, {"pixel_values": PICTURE}, ["last_hidden_state", "pooler_output"])


def resnet_backbone() -> Any:
    return transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 8, 16, 16], depths=[1, 1, 1, 1], layer_type="basic", out_features=["stage4"]
    )


def detr(folder: Path) -> None:
    sizes = {
        "d_model": 16,
        "encoder_layers": 1,
        "decoder_layers": 1,
        "encoder_attention_heads": 2,
        "decoder_attention_heads": 2,
        "encoder_ffn_dim": 16,
        "decoder_ffn_dim": 16,
        "num_queries": 7,
    }
    model = made(
        "DetrForObjectDetection",
        transformers.DetrConfig(
            **sizes,
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            backbone=None,
            backbone_config=resnet_backbone(),
            num_labels=4,
        ),
    )
    config(folder, model)
    transformers.DetrImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    inputs = {"pixel_values": torch.zeros(1, 3, 64, 96), "pixel_mask": torch.ones(1, 64, 96, dtype=torch.int64)}
    graph(
        folder / "model.onnx", model, inputs, ["logits", "pred_boxes"], {"pixel_values": [2, 3], "pixel_mask": [1, 2]}
    )


def yolos(folder: Path) -> None:
    sizes = {**VIT, "image_size": [64, 96], "num_detection_tokens": 6, "num_labels": 3}
    model = made("YolosForObjectDetection", transformers.YolosConfig(**sizes))
    config(folder, model)
    transformers.YolosImageProcessorPil(size={"shortest_edge": 64, "longest_edge": 96}).save_pretrained(folder)
    graph(
        folder / "model.onnx",
        model,
        {"pixel_values": torch.zeros(1, 3, 64, 96)},
        ["logits", "pred_boxes"],
        {"pixel_values": [2, 3]},
    )


def rt_detr(folder: Path) -> None:
    backbone = transformers.RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 8, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    sizes = {
        "encoder_hidden_dim": 16,
        "encoder_in_channels": [8, 16, 16],
        "encoder_ffn_dim": 16,
        "encoder_attention_heads": 2,
        "d_model": 16,
        "num_queries": 9,
        "decoder_in_channels": [16, 16, 16],
        "decoder_ffn_dim": 16,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_n_points": 2,
        "num_denoising": 0,
        "num_labels": 4,
    }
    model = made(
        "RTDetrForObjectDetection",
        transformers.RTDetrConfig(
            **sizes,
            backbone_config=backbone,
            use_timm_backbone=False,
            use_pretrained_backbone=False,
            anchor_image_size=None,
        ),
    )
    config(folder, model)
    transformers.RTDetrImageProcessorPil(size={"height": 64, "width": 64}).save_pretrained(folder)
    graph(folder / "model.onnx", model, {"pixel_values": torch.zeros(1, 3, 64, 64)}, ["logits", "pred_boxes"])
