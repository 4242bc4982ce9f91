"""Classes, numbers and vectors of texts."""

from pathlib import Path

import torch

from tests.models.exports.tiny import BERT, IDS, config, graph, made, subwords, transformers, words, write


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
    subwords(folder)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    graph(folder / "model.onnx", model, inputs, ["logits"])


def distilbert(folder: Path) -> None:
    """Cased, with a tokenizer.json of lower case: transformers follows tokenizer_config.json."""
    sizes = {"dim": 16, "n_layers": 2, "n_heads": 2, "hidden_dim": 32, "vocab_size": 512, "max_position_embeddings": 40}
    model = made("DistilBertForSequenceClassification", transformers.DistilBertConfig(**sizes, num_labels=3))
    config(folder, model)
    words(
        folder,
        tokenizer_class="DistilBertTokenizer",
        do_lower_case=False,
        model_max_length=30,
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        mask_token="[MASK]",
    )
    graph(folder / "model.onnx", model, {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}, ["logits"])


def mpnet(folder: Path) -> None:
    """sentence-transformers, files in its folders."""
    model = made("MPNetModel", transformers.MPNetConfig(**BERT))
    config(folder, model)
    subwords(folder, model_max_length=512)
    modules(folder, {"Transformer": "", "Pooling": "1_Pooling", "Normalize": "2_Normalize"}, ["mean_tokens"])
    write(folder / "sentence_bert_config.json", {"max_seq_length": 24, "do_lower_case": False})
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS)}
    graph(folder / "onnx" / "model.onnx", model, inputs, ["last_hidden_state"], {"last_hidden_state": [1]})


MODES = ["cls_token", "max_tokens", "mean_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken"]


def modules(folder: Path, kinds: dict[str, str], pooling: list[str]) -> None:
    """sentence-transformers' steps, and how it pools."""
    steps = [
        {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for i, (kind, path) in enumerate(kinds.items())
    ]
    write(folder / "modules.json", steps)
    said = {"word_embedding_dimension": 16, "include_prompt": True}
    write(folder / "1_Pooling" / "config.json", said | {f"pooling_mode_{mode}": mode in pooling for mode in MODES})


def sentences(folder: Path) -> None:
    """An older layout of theirs, all poolings joined, a prompt, small letters; of a model that once filled in words."""
    model = made("BertModel", transformers.BertConfig(**BERT, type_vocab_size=4))
    model.config.architectures = ["BertForMaskedLM"]
    inner = folder / "0_Transformer"
    config(inner, model)
    words(inner, model_max_length=512)
    write(inner / "sentence_bert_config.json", {"max_seq_length": 30, "do_lower_case": True})
    modules(folder, {"Transformer": "0_Transformer", "Pooling": "1_Pooling"}, MODES)
    prompts = {"prompts": {"query": "Fox: ", "document": ""}, "default_prompt_name": "query"}
    write(folder / "config_sentence_transformers.json", prompts)
    inputs = {"input_ids": IDS, "attention_mask": torch.ones_like(IDS), "token_type_ids": torch.zeros_like(IDS)}
    graph(folder / "onnx" / "model.onnx", model, inputs, ["last_hidden_state"], {"last_hidden_state": [1]})
