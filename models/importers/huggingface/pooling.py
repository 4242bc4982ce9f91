"""Which vector of a graph stands for an input: by sentence-transformers' files, else the graph's own, else a mean."""

from collections.abc import Mapping

from models.importers.bundles import Shapes
from models.importers.huggingface.layout import Export, Json, read
from service.errors import BundleError

VECTORS = ("sentence_embedding", "embedding", "text_embeds", "image_embeds", "audio_embeds")  # finished ones
TOKENS = ("token_embeddings", "last_hidden_state")
MODES = {  # sentence-transformers' switches in 1_Pooling/config.json -> ours; several are joined in this order
    "pooling_mode_cls_token": "cls", "pooling_mode_max_tokens": "max", "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt", "pooling_mode_weightedmean_tokens": "weighted",
    "pooling_mode_lasttoken": "last",
}  # fmt: skip
NAMES = {
    "cls": "cls", "max": "max", "mean": "mean", "mean_sqrt_len_tokens": "mean_sqrt", "weightedmean": "weighted",
    "lasttoken": "last",
}  # fmt: skip
MEANING = {"cls": "the first token", "mean": "the mean of the tokens"}
ABOUT = {"word_embedding_dimension", "embedding_dimension", "include_prompt", "pooling_mode"}
POOLED = (
    "clip",
    "siglip",
    "chinese_clip",
    "altclip",
    "clap",
)  # start of a model_type whose pooler_output is a text's vector


def vector(export: Export, parts: Mapping[str, Json], found: Shapes) -> Json:
    """An output of kind embedding. Raises BundleError."""
    said = modules(export)
    for name in VECTORS:
        if name in found and len(found[name]) == 1:
            return {"kind": "embedding", "tensor": name} | ({"normalize": True} if "Normalize" in said else {})
    if odd := set(said) - {"Transformer", "Pooling", "Normalize"}:
        raise BundleError(
            f"modules.json: {', '.join(sorted(odd))} is not in the graph; export one with the output sentence_embedding"
        )
    hidden = next((name for name in TOKENS if name in found), None)
    pooled = "text" not in parts or str(export.config.get("model_type")).startswith(POOLED)
    if "Pooling" not in said and pooled and "pooler_output" in found:
        return {"kind": "embedding", "tensor": "pooler_output"}
    if hidden is None:
        raise BundleError(f"config.json and the graph's outputs ({', '.join(found)}) are of no task that Braid knows")
    pooling = modes(export, parts, said["Pooling"]) if "Pooling" in said else guessed(export, parts, found[hidden])
    made: Json = {"kind": "embedding", "tensor": hidden, "pooling": pooling}
    mask = next((part["tensors"]["mask"] for part in parts.values() if "mask" in part["tensors"]), None)
    if mask and "text" in parts:
        made["mask"] = mask
    return made | ({"normalize": True} if "Normalize" in said else {})


def modules(export: Export) -> dict[str, str]:
    """sentence-transformers' steps -> their folders."""
    file = export.file("modules.json")
    steps = read(file, list) if file else []
    try:
        return {str(step["type"]).rpartition(".")[2]: str(step["path"]) for step in steps}
    except (TypeError, KeyError) as error:
        raise BundleError(f"{file}: a step without type or path") from error


def modes(export: Export, parts: Mapping[str, Json], folder: str) -> list[str]:
    """How sentence-transformers makes one vector of the tokens'."""
    name = f"{folder}/config.json"
    said = export.json(name)
    if said is None:
        raise BundleError(f"{export.folder}: no {name}, which modules.json names")
    if said.get("include_prompt") is False and any("prefix" in part for part in parts.values()):
        raise BundleError(f"{name}: include_prompt: false, but Braid pools the prompt's tokens, too")
    if unknown := sorted(said.keys() - MODES.keys() - ABOUT):
        export.say(f"{name}: unknown keys, ignored: {', '.join(unknown)}")
    given = said.get("pooling_mode")
    if given is not None:
        given = [given] if isinstance(given, str) else given
        if not {*given} <= NAMES.keys():
            raise BundleError(f"{name}: pooling_mode: {given}; Braid knows {', '.join(NAMES)}")
        return [NAMES[mode] for mode in NAMES if mode in given]
    return [mode for key, mode in MODES.items() if said.get(key)] or ["mean"]


def guessed(export: Export, parts: Mapping[str, Json], shape: tuple[int, ...]) -> list[str]:
    if len(shape) != 2:
        raise BundleError(f"the graph gives {shape} for one row, and no pooler_output; export one that gives a vector")
    if export.pooling:
        return export.pooling.split("+")
    mode = "cls" if "image" in parts else "mean"
    export.say(f"no 1_Pooling/config.json: {MEANING[mode]} stands for the input; --pooling chooses another")
    return [mode]
