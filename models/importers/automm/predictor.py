"""A predictor's folder to what its configuration says; pickles in it are never opened.

Written after AutoGluon's source: learners/base.py (save), utils/export.py (export_onnx), models/ (input_keys, forward).
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from service.errors import BundleError

Json = dict[str, Any]
IMAGES = {"image", "image_path", "image_bytearray", "image_base64_str"}  # column types of pictures
KINDS = {"timm_image": "image", "hf_text": "text"}  # how models' names begin -> their part
FUSION = "fusion_mlp"


@dataclass(frozen=True)
class Predictor:
    folder: Path
    config: Json
    assets: Json

    @property
    def names(self) -> list[str]:
        """Of its models, as config.yaml has them."""
        names = self.model.get("names") or []
        return [names] if isinstance(names, str) else [str(name) for name in names]

    @property
    def model(self) -> Json:
        return section(self.config, "model")

    @property
    def parts(self) -> dict[str, str]:
        """Model's name -> the part that it takes; of the fusion nothing."""
        return {name: kind for name in self.names for start, kind in KINDS.items() if name.startswith(start)}

    @property
    def task(self) -> str:
        return str(self.assets.get("problem_type") or self.assets.get("pipeline"))

    def columns(self, types: set[str]) -> list[str]:
        """The table's columns of these types, but its label."""
        label = self.assets.get("label_column")
        return [
            name for name, kind in (self.assets.get("column_types") or {}).items() if kind in types and name != label
        ]

    def file(self, *names: str) -> Path | None:
        path = self.folder.joinpath(*names)
        return path if path.is_file() else None


def read(folder: Path) -> Predictor:
    """Raises BundleError where something of it cannot be served."""
    for name in ("config.yaml", "assets.json"):
        if not (folder / name).is_file():
            raise BundleError(f"{folder}: no {name} in it; give the folder that MultiModalPredictor.save has written")
    try:
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        assets = json.loads((folder / "assets.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise BundleError(f"{folder}: config.yaml or assets.json is not readable") from error
    found = Predictor(folder, config if isinstance(config, dict) else {}, assets if isinstance(assets, dict) else {})
    possible(found)
    return found


def possible(found: Predictor) -> None:
    """Raises BundleError."""
    if not found.names:
        raise BundleError(f"{found.folder / 'config.yaml'}: model.names: none; is it a predictor's?")
    for name in found.names:
        if name not in found.parts and not name.startswith(FUSION):
            raise BundleError(
                f"config.yaml: model {name!r} takes what no part of Braid is; pictures (timm_image), texts (hf_text) "
                "and their fusion (fusion_mlp) can be imported"
            )
    kinds = list(found.parts.values())
    if len(set(kinds)) < len(kinds):
        raise BundleError(
            f"config.yaml: several models take the same part ({', '.join(found.parts)}), Braid feeds one each"
        )
    for kind, types in {"image": IMAGES, "text": {"text"}}.items():
        if kind in kinds and len(columns := found.columns(types)) > 1:
            raise BundleError(
                f"assets.json: columns {', '.join(columns)} share one input; Braid feeds it from one part"
            )
    data = section(found.config, "data")
    if section(data, "text").get("normalize_text"):
        raise BundleError("config.yaml: data.text.normalize_text is not among the steps that Braid knows")


def section(document: Json, key: str) -> Json:
    found = document.get(key)
    return found if isinstance(found, dict) else {}
