"""What `python -m models quantize` is asked for; knows nothing of onnx, so that the command line loads without it."""

from enum import StrEnum
from pathlib import Path

from service.types import Spec


class Kind(StrEnum):
    FP16 = "fp16"
    INT8 = "int8"


class Device(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"


BOUNDS = {Kind.FP16: 1e-2, Kind.INT8: 0.15}
USUAL = {Device.CPU: Kind.INT8, Device.CUDA: Kind.FP16}


class Order(Spec):
    """`bound`: largest difference of an output on the examples; it becomes the variant's tolerance at each load."""

    folder: Path
    kind: Kind
    bound: float
    device: Device = Device.CPU
    examples: Path | None = None

    @property
    def file(self) -> str:
        return f"model.{self.kind}.onnx"
