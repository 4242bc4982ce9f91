"""A folder of an export to its files: graphs and configurations, wherever the tool that wrote it has put them."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from models.importers import graphs as graph_files
from models.importers.graphs import readable
from service.errors import BundleError

Json = dict[str, Any]
Say = Callable[[str], None]  # told what the user should know
TOWERS = {"text_model": "text", "vision_model": "image", "audio_model": "audio"}  # graph -> its part
GRAPHS = ("model", "encoder_model", *TOWERS)
FULL = ("", "fp32", "O1", "O2", "O3", "optimized")  # what follows a graph's name: all float32
REDUCED = ("fp16", "O4")  # then any other
GENERATORS = ("decoder", "embed_tokens", "past", "lm_head")


@dataclass
class Export:
    """Where to look, what was found, and whom to tell."""

    folder: Path
    say: Say
    pooling: str | None = None  # what the user says where no file does
    config: Json = field(default_factory=dict)
    graphs: dict[str, Path] = field(default_factory=dict)  # "model", or part -> its tower

    def file(self, name: str) -> Path | None:
        """In the folder, in its onnx/, in sentence-transformers' 0_Transformer/, or, of an onnx/ itself, beside it."""
        places = [self.folder, *(self.folder / inner for inner in ("onnx", "0_Transformer"))]
        places += [self.folder.parent] if self.folder.name == "onnx" else []
        return next((place / name for place in places if (place / name).is_file()), None)

    def json(self, name: str) -> Json | None:
        file = self.file(name)
        return None if file is None else read(file)


def find(folder: Path, variant: str | None, pooling: str | None, say: Say) -> Export:
    """Raises BundleError, which names the file that is missing or unfit."""
    if not folder.is_dir():
        raise BundleError(f"{folder}: no such folder; give one with config.json and a graph (.onnx)")
    export = Export(folder, say, pooling)
    config = export.json("config.json")
    if config is None:
        raise BundleError(f"{folder}: no config.json in it or in its onnx/; copy it from the model's repository")
    export.config = config
    export.graphs = graphs(folder, variant, say)
    for graph in export.graphs.values():
        graph_files.check(graph)
    return export


def graphs(folder: Path, variant: str | None, say: Say) -> dict[str, Path]:
    """The one graph as `model`, or each part's tower."""
    files = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if not files:
        raise BundleError(f"{folder}: no .onnx file in it or in its onnx/; export one: optimum-cli export onnx")
    named: dict[str, dict[str, Path]] = {}
    for file in files:
        name = next((name for name in GRAPHS if file.stem == name or file.stem.startswith(f"{name}_")), None)
        if name:
            named.setdefault(name, {}).setdefault(file.stem[len(name) + 1 :], file)
    if not named:
        if len(files) > 1 or any(word in files[0].stem for word in GENERATORS):
            raise BundleError(f"{folder}: none of {', '.join(file.name for file in files)} is a graph that answers")
        return {"model": files[0]}
    for name in ("model", "encoder_model"):
        if name in named:
            return {"model": chosen(named[name], variant, say)}
    found = {TOWERS[name]: chosen(named[name], variant, say) for name in TOWERS if name in named}
    return found if len(found) > 1 else {"model": next(iter(found.values()))}


def chosen(files: dict[str, Path], variant: str | None, say: Say) -> Path:
    """Of one graph's variants the one asked for, else the most precise."""
    if variant is not None:
        if variant not in files:
            have = ", ".join(sorted(name or file.stem for name, file in files.items()))
            raise BundleError(f"no variant {variant!r} of {next(iter(files.values()))}; there is {have}")
        return files[variant]
    best = next((name for name in (*FULL, *REDUCED) if name in files), min(files))
    if best not in FULL:
        others = ", ".join(sorted(files.keys() - {best}))
        say(f"{files[best].name}: no float32 graph beside it" + (f"; --variant takes {others}, too" if others else ""))
    return files[best]


def read(file: Path, kind: type = dict) -> Any:
    """An object, or an array where `kind` is list. Raises BundleError."""
    readable(file)
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise BundleError(f"{file}: not JSON in UTF-8; fetch it again") from error
    if not isinstance(found, kind):
        raise BundleError(f"{file}: not a JSON {'object' if kind is dict else 'array'}")
    return found
