"""The comparison's SMALL or MEDIUM model, as every contestant gets it, to a bundle.

python -m tests.bench.bundles ASSETS FOLDER --size small
"""

import argparse
import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from service import bundle
from service.bundle import Bundle
from service.model import Model
from service.types import FLOAT


@dataclass(frozen=True)
class Size:
    """The figures of the comparison's prep.py."""

    mode: str
    edge: int
    side: int
    mean: list[float]
    std: list[float]
    tokens: int
    seconds: float


SIZES = {
    "small": Size("L", 28, 28, [0.5], [0.25], tokens=16, seconds=0.5),
    "medium": Size("RGB", 256, 224, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], tokens=32, seconds=3.0),
}


def manifest(name: str, size: Size) -> dict[str, Any]:
    """The comparison's preprocessing, said as a manifest."""
    text = {
        "kind": "text",
        "tokenizer": "tokenizer.json",
        "max_tokens": size.tokens,
        "pad_to": size.tokens,
        "tensors": {"ids": "text"},
    }
    image = {
        "kind": "image",
        "mode": size.mode,
        "resize": {"to": "shortest", "edge": size.edge, "resample": "bilinear"},
        "crop": {"height": size.side, "width": size.side},
        "scale": 1 / 255,
        "mean": size.mean,
        "std": size.std,
        "tensors": {"pixels": "image"},
    }
    features = {"kind": "log_mel", "bank": "mel.npy", "n_fft": 400, "hop": 160, "log": "db", "floor": 1e-10}
    audio = {
        "kind": "audio",
        "sample_rate": 16000,
        "max_seconds": size.seconds,
        "min_seconds": size.seconds,
        "features": {**features, "scale": 1 / 40, "offset": 1.0, "channel": True},
        "tensors": {"features": "audio"},
    }
    answer = {"kind": "classification", "tensor": "probabilities", "labels": [str(k) for k in range(10)]}
    return {
        "schema": 1,
        "name": name,
        "version": "1",
        "inputs": {"text": text, "image": image, "audio": audio},
        "missing": {"policy": "reject"},
        "outputs": {"answer": answer, "attention": {"kind": "weights", "tensor": "attention"}},
    }


def make(source: Path, folder: Path, name: str) -> Bundle:
    """`source`: the comparison's assets of that size. Its own answer to sample 0 becomes the example's."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("model.onnx", "tokenizer.json", "mel.npy"):
        shutil.copy(source / file, folder / file)
    image = next(source.glob("0.png"), source / "0.jpg")
    parts = {
        "text": ("txt", (source / "0.txt").read_bytes()),
        "image": (image.suffix[1:], image.read_bytes()),
        "audio": ("wav", (source / "0.wav").read_bytes()),
    }
    parsed = bundle.parse(yaml.safe_dump(manifest(name, SIZES[name])), folder)
    model = Model(Bundle(folder=folder, manifest=parsed))
    row = model.encode({part: data for part, (_, data) in parts.items()}, {})
    outputs = model.run([row])[0]
    outputs["probabilities"] = np.array(json.loads((source / "expected.json").read_text())[0], FLOAT)
    return bundle.write(folder, parsed, parts, row, outputs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("assets", type=Path, help="folder with small/ and medium/ in it")
    parser.add_argument("folder", type=Path, help="the bundle to write")
    parser.add_argument("--size", choices=SIZES, default="small")
    given = parser.parse_args()
    make(given.assets / given.size, given.folder, given.size)


if __name__ == "__main__":
    main()
