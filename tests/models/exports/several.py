"""Several parts: compared by towers, or fused."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tests.models.exports.tiny import (
    BERT,
    IDS,
    PICTURE,
    SIDE,
    SQUARE,
    VIT,
    Export,
    config,
    graph,
    made,
    nested,
    subwords,
    transformers,
    words,
    write,
)


def clip_model() -> Any:
    text = {**BERT, "projection_dim": 12, "bos_token_id": 2, "eos_token_id": 3, "pad_token_id": 0}
    return made(
        "CLIPModel",
        transformers.CLIPConfig(text_config=text, vision_config={**VIT, "projection_dim": 12}, projection_dim=12),
    )


def clip_files(folder: Path, model: Any, *, modern: bool = True) -> None:
    config(folder, model)
    words(folder, model_max_length=40)
    processor = transformers.CLIPImageProcessorPil(size={"shortest_edge": SIDE}, crop_size=SQUARE)
    if modern:
        nested(folder, "CLIP", image_processor=processor)
    else:
        processor.save_pretrained(folder)


CLIP_INPUTS = {"input_ids": IDS, "pixel_values": PICTURE, "attention_mask": torch.ones_like(IDS)}
CLIP_OUTPUTS = ["logits_per_image", "logits_per_text", "text_embeds", "image_embeds"]


def clip(folder: Path) -> None:
    """onnx-community's layout: configurations outside, one graph of both towers in onnx/."""
    model = clip_model()
    clip_files(folder, model)
    axes = {"logits_per_image": [1], "logits_per_text": [1], "pixel_values": [1, 2, 3]}
    graph(folder / "onnx" / "model.onnx", model, CLIP_INPUTS, CLIP_OUTPUTS, axes, texts="text_batch")


def clip_logits(folder: Path) -> None:
    """A graph that gives nothing but its comparison."""
    model = clip_model()
    clip_files(folder, model)
    axes = {"logits_per_image": [1]}
    graph(folder / "model.onnx", model, CLIP_INPUTS, ["logits_per_image"], axes, texts="text_batch")


def clip_towers(folder: Path) -> None:
    """transformers.js: a graph each, of which neither knows how they are compared."""
    model = clip_model()
    clip_files(folder, model, modern=False)
    inner = folder / "onnx"
    text = transformers.CLIPTextModelWithProjection(model.config.text_config)
    vision = transformers.CLIPVisionModelWithProjection(model.config.vision_config)
    text.load_state_dict(model.state_dict(), strict=False)
    vision.load_state_dict(model.state_dict(), strict=False)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    graph(inner / "text_model.onnx", text, inputs, ["text_embeds"])
    graph(inner / "vision_model.onnx", vision, {"pixel_values": PICTURE}, ["image_embeds"])


def siglip(folder: Path) -> None:
    """Texts are always filled to their longest; a bias; a sigmoid."""
    sizes = {**BERT, "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 2, "eos_token_id": 3}
    model = made(
        "SiglipModel", transformers.SiglipConfig(text_config={**sizes, "projection_size": 16}, vision_config=VIT)
    )
    with torch.no_grad():
        model.logit_scale.fill_(2.0)
        model.logit_bias.fill_(-3.5)
    config(folder, model)
    words(folder, model_max_length=16)
    transformers.SiglipImageProcessorPil(size=SQUARE).save_pretrained(folder)
    ids = torch.nn.functional.pad(IDS, (0, 11))
    axes = {"logits_per_image": [1], "logits_per_text": [1]}
    inputs = {"input_ids": ids, "pixel_values": PICTURE}
    graph(folder / "model.onnx", model, inputs, CLIP_OUTPUTS, axes, texts="text_batch")


def clap(fusion: bool) -> Export:
    def export(folder: Path) -> None:
        audio = {
            "window_size": 4,
            "num_mel_bins": 16,
            "spec_size": 64,
            "patch_size": 4,
            "patch_stride": [4, 4],
            "num_classes": 4,
            "hidden_size": 32,
            "projection_dim": 12,
            "depths": [1, 1],
            "num_attention_heads": [1, 2],
            "patch_embeds_hidden_size": 16,
            "enable_fusion": fusion,
            "num_hidden_layers": 2,
            "fusion_num_hidden_layers": 1,
        }
        model = made(
            "ClapModel",
            transformers.ClapConfig(
                text_config={**BERT, "pad_token_id": 1, "projection_dim": 12}, audio_config=audio, projection_dim=12
            ),
        )
        config(folder, model)
        subwords(folder, model_max_length=512)
        truncation = "fusion" if fusion else "rand_trunc"
        extractor = transformers.ClapFeatureExtractor(
            feature_size=16, max_length_s=2, truncation=truncation, frequency_min=50
        )
        nested(folder, "Clap", feature_extractor=extractor)
        features = torch.randn(1, 4 if fusion else 1, 201, 16)
        inputs = {"input_ids": IDS, "input_features": features, "attention_mask": torch.ones_like(IDS)}
        inputs |= {"is_longer": torch.tensor([[True]])} if fusion else {}
        outputs = ["logits_per_audio", "logits_per_text", "text_embeds", "audio_embeds"]
        axes = {"logits_per_audio": [1], "logits_per_text": [1]}
        graph(folder / "model.onnx", model, inputs, outputs, axes, texts="text_batch")

    return export


class Fused(nn.Module):
    """A text, a picture and a sound, any of them, weighed by a softmax over those that are there."""

    def __init__(self, text: nn.Module, image: nn.Module, audio: nn.Module) -> None:
        super().__init__()
        self.text, self.image, self.audio = text, image, audio
        self.score, self.head = nn.Linear(16, 1), nn.Linear(16, 3)

    def forward(self, **given: Tensor) -> dict[str, Tensor]:
        text = self.text(input_ids=given["input_ids"], attention_mask=given["attention_mask"]).last_hidden_state[:, 0]
        image = self.image(pixel_values=given["pixel_values"]).last_hidden_state[:, 0]
        audio = self.audio(input_values=given["input_values"]).last_hidden_state[:, 0]
        several = torch.stack([text, image, audio], 1)  # (B, 3, 16)
        scores = self.score(several)[..., 0].masked_fill(given["modality_mask"] < 0.5, -1e9)
        weights = scores.softmax(-1)
        vector = (weights[..., None] * several).sum(1)
        return {"logits": self.head(vector), "attention_weights": weights, "embedding": vector}


def fused(folder: Path) -> None:
    """No class of transformers: its processors in files of their own, a mask that says which parts there are."""
    text = made("BertModel", transformers.BertConfig(**BERT))
    image = made("ViTModel", transformers.ViTConfig(**VIT))
    sizes = {**VIT, "max_length": 64, "num_mel_bins": 32, "frequency_stride": 8, "time_stride": 8, "patch_size": 8}
    sizes.pop("image_size")
    model = Fused(text, image, made("ASTModel", transformers.ASTConfig(**sizes)))
    with torch.no_grad():
        model.score.weight.mul_(5)
        model.head.weight.mul_(5)
    words(folder, model_max_length=40)
    write(
        folder / "config.json",
        {"architectures": ["FusedClassifier"], "model_type": "fused", "id2label": {"0": "a", "1": "b", "2": "c"}},
    )
    write(folder / "preprocessor_config.json", transformers.ViTImageProcessorPil(size=SQUARE).to_dict())
    extractor = transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32)
    write(folder / "audio_preprocessor_config.json", json.loads(extractor.to_json_string()))
    inputs = {
        "input_ids": IDS,
        "attention_mask": torch.ones_like(IDS),
        "pixel_values": PICTURE,
        "input_values": torch.randn(1, 64, 32),
        "modality_mask": torch.ones(1, 3),
    }
    graph(folder / "model.onnx", model, inputs, ["logits", "attention_weights", "embedding"])
