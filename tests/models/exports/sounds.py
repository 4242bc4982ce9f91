"""Classes and vectors of sounds."""

from pathlib import Path

import torch

from tests.models.exports.tiny import VIT, Export, config, graph, made, transformers


def whisper(folder: Path) -> None:
    """The encoder of optimum's three graphs."""
    sizes = {
        "d_model": 16,
        "encoder_layers": 2,
        "encoder_attention_heads": 2,
        "encoder_ffn_dim": 32,
        "decoder_layers": 1,
        "decoder_attention_heads": 2,
        "decoder_ffn_dim": 32,
        "vocab_size": 100,
        "num_mel_bins": 80,
        "max_source_positions": 100,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "decoder_start_token_id": 3,
    }
    model = made("WhisperForConditionalGeneration", transformers.WhisperConfig(**sizes))
    config(folder, model)
    transformers.WhisperFeatureExtractor(chunk_length=2).save_pretrained(folder)
    graph(
        folder / "encoder_model.onnx",
        model.get_encoder(),
        {"input_features": torch.zeros(1, 80, 200)},
        ["last_hidden_state"],
    )


def spectrogram(folder: Path) -> None:
    sizes = {**VIT, "max_length": 64, "num_mel_bins": 32, "frequency_stride": 8, "time_stride": 8, "patch_size": 8}
    sizes.pop("image_size")
    model = made("ASTForAudioClassification", transformers.ASTConfig(**sizes, num_labels=4))
    config(folder, model)
    transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32, mean=-6.0, std=3.0).save_pretrained(folder)
    graph(folder / "model.onnx", model, {"input_values": torch.zeros(1, 64, 32)}, ["logits"])


def wav2vec2(norm: str, masked: bool) -> Export:
    """Norm of `layer` or `group`; of group, where a recording's padding would change its answer, masked or not."""

    def export(folder: Path) -> None:
        sizes = {
            "hidden_size": 16,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "intermediate_size": 32,
            "conv_dim": [8, 8],
            "conv_kernel": [10, 8],
            "conv_stride": [5, 4],
            "num_feat_extract_layers": 2,
            "num_conv_pos_embeddings": 16,
            "num_conv_pos_embedding_groups": 2,
            "classifier_proj_size": 8,
            "num_labels": 3,
            "vocab_size": 32,
        }
        norms = {"feat_extract_norm": norm, "do_stable_layer_norm": norm == "layer"}
        model = made("Wav2Vec2ForSequenceClassification", transformers.Wav2Vec2Config(**sizes, **norms))
        config(folder, model)
        transformers.Wav2Vec2FeatureExtractor(return_attention_mask=masked).save_pretrained(folder)
        inputs = {"input_values": torch.randn(1, 8000)} | (
            {"attention_mask": torch.ones(1, 8000, dtype=torch.int64)} if masked else {}
        )
        graph(folder / "model.onnx", model, inputs, ["logits"], {name: [1] for name in inputs})

    return export
