"""Makes the SMALL or MEDIUM bundle of the comparison from the assets that every contestant shares."""

import argparse
import json
import shutil
from pathlib import Path

import numpy as np
import yaml

from service import bundle
from service.model import Model

CROPS = {"small": (28, 28, 1, [0.5], [0.25], 16, 0.5), "medium": (256, 224, 3, [0.485, 0.456, 0.406], [0.229, 0.224, 0.225], 32, 3.0)}


def manifest(size: str) -> str:
    """The bench's prep.py, as a manifest."""
    short, side, channels, mean, std, tokens, seconds = CROPS[size]
    document = {
        "schema": 1,
        "name": size,
        "version": "1",
        "inputs": {
            "text": {"kind": "text", "tokenizer": "tokenizer.json", "max_tokens": tokens, "pad_to": tokens, "tensors": {"ids": "text"}},
            "image": {
                "kind": "image",
                "mode": "L" if channels == 1 else "RGB",
                "resize": {"to": "shortest", "edge": short, "resample": "bilinear"},
                "crop": {"height": side, "width": side},
                "scale": 1 / 255,
                "mean": mean,
                "std": std,
                "tensors": {"pixels": "image"},
            },
            "audio": {
                "kind": "audio",
                "sample_rate": 16000,
                "max_seconds": seconds,
                "min_seconds": seconds,
                "features": {
                    "kind": "log_mel", "bank": "mel.npy", "n_fft": 400, "hop": 160, "log": "db", "floor": 1e-10,
                    "scale": 1 / 40, "offset": 1.0, "channel": True,
                },
                "tensors": {"features": "audio"},
            },
        },
        "missing": {"policy": "reject"},
        "outputs": {
            "answer": {"kind": "classification", "tensor": "probabilities", "labels": [str(i) for i in range(10)]},
            "attention": {"kind": "weights", "tensor": "attention"},
        },
    }
    return yaml.safe_dump(document, sort_keys=False)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("assets", type=Path, help="the bench's assets folder, with small/ and medium/ in it")
    parser.add_argument("output", type=Path)
    parser.add_argument("--size", choices=sorted(CROPS), default="small")
    given = parser.parse_args()
    source, folder = given.assets / given.size, given.output
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("model.onnx", "tokenizer.json", "mel.npy"):
        shutil.copy(source / file, folder / file)
    image = next(source.glob("0.png"), source / "0.jpg")
    parts = {
        "text": ("txt", (source / "0.txt").read_bytes()),
        "image": (image.suffix[1:], image.read_bytes()),
        "audio": ("wav", (source / "0.wav").read_bytes()),
    }
    parsed = bundle.parse(manifest(given.size), folder)
    model = Model(bundle.Bundle(folder=folder, manifest=parsed))
    row = model.encode({name: data for name, (_, data) in parts.items()}, {})
    outputs = model.run([row])[0]
    outputs["probabilities"] = np.float32(json.loads((source / "expected.json").read_text())[0])
    bundle.write(folder, parsed, parts, row, outputs)


if __name__ == "__main__":
    main()
