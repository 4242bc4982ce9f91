"""A bundle to a variant of its graph, float16 or int8: drafted apart, compared with the original, kept or refused."""

import hashlib
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import yaml
from onnxruntime.quantization import (  # type: ignore[import-untyped]  # onnxruntime ships no types
    QuantType,
    quant_pre_process,
    quantize_dynamic,
)
from onnxruntime.transformers.float16 import (  # type: ignore[import-untyped]  # onnxruntime ships no types
    convert_float_to_float16,
)
from rich.console import Console
from rich.table import Table

from models import parity
from models.parity import Report, Seconds
from models.variant import Device, Kind, Order
from service.bundle import GRAPH, MANIFEST, Bundle, read
from service.errors import BundleError
from service.model import Model

INTEGER = ["MatMul", "Gather", "Attention", "LSTM", "EmbedLayerNormalization"]  # not Conv: in int8 4 times slower
SLOWER = 1.03  # times the original's time; equal graphs differ by up to 0.013 on a busy machine


class Refused(ValueError):
    """Why nothing was written, in one line."""


def quantize(order: Order, console: Console, seconds: Seconds = parity.interleaved) -> None:
    """Prints the comparison, then writes the graph and the manifest. Raises Refused, BundleError, ValueError."""
    original = Model(read(order.folder))
    original.prove()
    labelled = parity.read(original, order.examples) if order.examples else []
    with TemporaryDirectory() as folder:
        draft = write(order, Path(folder) / "draft")
        try:
            variant = Model(draft)
            variant.replay()
        except BundleError as error:
            raise Refused(f"onnxruntime cannot run what it made of this graph as {order.kind}: {error}") from error
        report = parity.compare(original, variant, labelled, seconds if order.device is Device.CPU else None)
        console.print(table(report, order))
        judge(report, order)
        keep(draft, order)


def write(order: Order, folder: Path) -> Bundle:
    """A copy of the bundle that has the variant."""
    shutil.copytree(order.folder, folder)
    convert(folder / GRAPH, folder / order.file, order.kind)
    text = (folder / MANIFEST).read_text(encoding="utf-8")
    (folder / MANIFEST).write_text(registered(text, order, (folder / order.file).read_bytes()), encoding="utf-8")
    return read(folder, order.kind)


def convert(graph: Path, to: Path, kind: Kind) -> None:
    """Names, types and axes of inputs and outputs stay as they are."""
    if kind is Kind.FP16:
        onnx.save(convert_float_to_float16(onnx.load(graph), keep_io_types=True), to)
        return
    with TemporaryDirectory() as folder:
        prepared = Path(folder) / GRAPH
        quant_pre_process(str(graph), str(prepared), skip_symbolic_shape=True)  # symbolic shapes would need sympy
        # One scale a tensor: with one a channel, onnxruntime fails at run time on products of stacked matrices.
        quantize_dynamic(prepared, to, op_types_to_quantize=INTEGER, weight_type=QuantType.QInt8)


def registered(text: str, order: Order, graph: bytes) -> str:
    """The manifest with the variant and its digest; all other values stay, comments do not."""
    manifest = yaml.safe_load(text)
    digests = manifest.pop("sha256") | {order.file: hashlib.sha256(graph).hexdigest()}
    entry = {order.kind.value: {"file": order.file, "tolerance": order.bound}}
    manifest["variants"] = manifest.get("variants", {}) | entry
    manifest["sha256"] = dict(sorted(digests.items()))
    return yaml.safe_dump(manifest, sort_keys=False, allow_unicode=True)


def judge(report: Report, order: Order) -> None:
    """Raises Refused."""
    if not report.difference <= order.bound:  # NaN, too
        raise Refused(f"{order.kind} is off by {report.difference:.2g}, allowed is {order.bound:g}; nothing written")
    if report.sizes[1] >= report.sizes[0]:
        raise Refused(f"{order.kind} is no smaller, this graph has too little to quantize; nothing written")
    for size, (original, variant) in report.seconds.items():
        if variant > SLOWER * original:
            times = f"{variant / original:.2f} times the original's CPU time in batches of {size}"
            hint = "; float16 is for GPUs: --for cuda" if order.kind is Kind.FP16 else ""
            raise Refused(f"{order.kind} is slower, {times}; nothing written{hint}")


def keep(draft: Bundle, order: Order) -> None:
    """The graph first, then the manifest that names it."""
    for file in (order.file, MANIFEST):
        part = order.folder / f"{file}.part"
        shutil.copyfile(draft.folder / file, part)
        part.replace(order.folder / file)


def table(report: Report, order: Order) -> Table:
    made = Table("", "original", order.kind.value, title=f"{order.folder}: {report.rows} rows")
    made.add_row("file", *(f"{size / 1e6:.3g} MB" for size in report.sizes))
    made.add_row("largest difference of an output", "", f"{report.difference:.2g} of {order.bound:g}")
    made.add_row("of the same row alone and in a batch", "", f"{report.company:.2g}")
    made.add_row("same top label", "", "-" if report.same is None else f"{report.same:.1%}")
    if report.accuracy:
        made.add_row(f"accuracy on {report.labelled} labelled", *(f"{share:.1%}" for share in report.accuracy))
    for size, seconds in report.seconds.items():
        made.add_row(f"CPU time a row, batch {size}", *(f"{each * 1e6:.0f} us" for each in seconds))
    if not report.seconds:
        made.add_row("speed", "", f"not measured on {order.device.upper()}")
    return made
