"""A tokenizer's files to the manifest of a text, and the tokenizer.json that transformers would have used."""

import json
from typing import Any, NamedTuple

import tokenizers
from tokenizers import Tokenizer

from models.importers.huggingface.layout import Export, Json, read
from service.errors import BundleError

UNBOUNDED = 1e9  # transformers writes 1e30 where it knows no length
PADDED = ("siglip", "siglip2", "siglip_text_model", "siglip2_text_model")  # always fill a text to its longest length
OFFSET = {  # model_type whose positions start behind the padding's id
    "camembert", "clap", "data2vec-text", "ibert", "longformer", "mpnet", "roberta", "roberta-prelayernorm",
    "xlm-roberta", "xlm-roberta-xl", "xmod",
}  # fmt: skip
NORMALIZED = {
    "Bert",
    "DistilBert",
    "Electra",
    "MPNet",
    "MobileBert",
    "Funnel",
    "Lxmert",
    "Squeezebert",
    "LayoutLM",
    "Splinter",
}
PREFIXED = {"Roberta", "Bart", "Longformer", "LED", "Deberta", "GPT2", "MVP", "Blenderbot"}
TOKENIZERS = {  # config.json's model_type -> class, where tokenizer_config.json does not say it
    **dict.fromkeys(("bert", "blip", "chinese_clip", "distilbert", "electra", "mobilebert", "nomic_bert"), "Bert"),
    **dict.fromkeys(("bart", "clap", "data2vec-text", "longformer", "roberta", "roberta-prelayernorm"), "Roberta"),
    "mpnet": "MPNet",
}  # fmt: skip


class Words(NamedTuple):
    manifest: Json
    tokenizer: str  # tokenizer.json


def words(export: Export, static: int | None, *, positions: bool) -> Words:
    """`static`: tokens that the graph always takes; `positions`: whether it is told them. Raises BundleError."""
    file = export.file("tokenizer.json")
    if file is None:
        raise BundleError(
            f"{export.folder}: no tokenizer.json; where transformers is installed write it by "
            f"AutoTokenizer.from_pretrained({str(export.folder)!r}).save_pretrained({str(export.folder)!r})"
        )
    said = export.json("tokenizer_config.json") or {}
    about = export.json("sentence_bert_config.json") or {}
    content = normalized(read(file), said, str(export.config.get("model_type", "")))
    try:
        tokenizer = Tokenizer.from_str(content)
    except Exception as error:  # tokenizers raises nothing narrower
        raise BundleError(
            f"{file}: not a tokenizer that the library tokenizers {tokenizers.__version__} reads"
        ) from error
    made: Json = {"kind": "text", "max_tokens": longest(export, said, about)}
    made["pad_id"] = pad_id(export, said, tokenizer)
    if about.get("do_lower_case"):
        made["lowercase"] = True
    if prompt := prefix(export):
        made["prefix"] = prompt
    if said.get("truncation_side") == "left":
        made["truncate"] = "left"
    if static or export.config.get("model_type") in PADDED:
        made["max_tokens"] = made["pad_to"] = static or made["max_tokens"]
        if said.get("padding_side") == "left":
            made["side"] = "left"
    if positions and export.config.get("model_type") in OFFSET:
        made["first_position"] = made["pad_id"] + 1
    return Words(made, content)


def prefix(export: Export) -> str:
    """What sentence-transformers puts before every text unless it is told otherwise."""
    said = export.json("config_sentence_transformers.json") or {}
    prompts = said.get("prompts") or {}
    chosen = said.get("default_prompt_name")
    if others := sorted(name for name, prompt in prompts.items() if prompt and name != chosen):
        export.say(
            f"config_sentence_transformers.json: prompts {', '.join(others)} are for the client to put before a text"
        )
    return str(prompts.get(chosen, "")) if chosen else ""


def longest(export: Export, said: Json, about: Json) -> int:
    """Tokens of the longest text: what sentence-transformers says, or the tokenizer, or the model; never more than the
    model has positions for."""
    config = export.config
    inner = config.get("text_config") or config
    positions = inner.get("max_position_embeddings")
    if positions is not None and (config.get("model_type") in OFFSET or inner.get("model_type") in OFFSET):
        positions -= int(inner.get("pad_token_id", 1)) + 1
    given = about.get("max_seq_length") or said.get("model_max_length")
    if given is None or given >= UNBOUNDED:
        given = positions
    if given is None:
        raise BundleError(
            f"{export.folder}: neither sentence_bert_config.json nor tokenizer_config.json (model_max_length) nor "
            "config.json (max_position_embeddings) says how long a text may be; add one of them"
        )
    return int(min(given, positions or given))


def pad_id(export: Export, said: Json, tokenizer: Tokenizer) -> int:
    """Of the token that fills texts."""
    token = (export.json("special_tokens_map.json") or {}).get("pad_token") or said.get("pad_token")
    if isinstance(token, dict):
        token = token.get("content")
    found = tokenizer.token_to_id(token) if token else None
    return int(found if found is not None else export.config.get("pad_token_id") or 0)


def normalized(content: Json, said: Json, model_type: str = "") -> str:
    """Whatever tokenizer.json says, transformers has BERT's case and accents and the space before RoBERTa's first word
    from tokenizer_config.json, or from its classes' defaults."""
    name = str(said.get("tokenizer_class") or TOKENIZERS.get(model_type, ""))
    name = name.removesuffix("Fast").removesuffix("Tokenizer")
    split: Any = content.get("pre_tokenizer")
    if name in NORMALIZED:
        chosen = {
            "type": "BertNormalizer",
            "clean_text": True,
            "lowercase": said.get("do_lower_case", True),
            "strip_accents": said.get("strip_accents"),
            "handle_chinese_chars": said.get("tokenize_chinese_chars", True),
        }
        content = {**content, "normalizer": chosen}
    if name in PREFIXED and isinstance(split, dict) and split.get("type") == "ByteLevel":
        content = {**content, "pre_tokenizer": {**split, "add_prefix_space": bool(said.get("add_prefix_space"))}}
    return json.dumps(content, ensure_ascii=False)
