"""A Detector spec to its network: 0..255 pixels in, boxes and scores out; and to the loss of a batch."""

from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from models.detection import twostage
from models.detection.backbone import Pyramid
from models.detection.dense import Head, dense_loss, mean, mirror, peaks
from models.detection.targets import Truth, targets
from models.detection.twostage import Second, second_loss
from service.types import Spec

TOLD = 4.0  # weight of the boxes beside the heat
MEAN, STD = 114.0, 57.0  # of 0..255; batch normalisation does the rest


class Detector(Spec):
    stages: Literal[1, 2] = 1
    widths: list[int] = Field([16, 32, 64, 96], min_length=2, description="channels at strides 2, 4, 8, ...")
    depths: list[int] = Field([2, 2, 2], description="residual blocks at strides 4, 8, ...")
    stride: Literal[4, 8] = Field(8, description="of the map that is searched")
    width: int = Field(64, gt=0, description="channels of that map")
    regions: int = Field(64, gt=0, description="boxes that the graph gives, or that the second stage judges")
    context: int = Field(0, ge=0, description="width of a text's or sound's vector that shifts the map's channels")
    mirrored: bool = Field(False, description="one stage: the mirror image is asked, too, which takes twice as long")

    @model_validator(mode="after")
    def possible(self) -> "Detector":
        if self.mirrored and self.stages == 2:
            raise ValueError("mirrored: needs one stage")
        return self


class Network(nn.Module):
    """Either detector; `detect` is what is served."""

    def __init__(self, spec: Detector, classes: int) -> None:
        super().__init__()
        self.spec, self.classes = spec, classes
        self.backbone = Pyramid(spec.widths, spec.depths, spec.stride, spec.width)
        self.first = Head(spec.width, 1 if spec.stages == 2 else classes, spec.stride, spec.context)
        self.second = Second(spec.width, classes, spec.stride) if spec.stages == 2 else None

    def features(self, pixels: Tensor) -> Tensor:
        """(B, 3, H, W) of 0..255, any type."""
        kept: Tensor = self.backbone((pixels.float() - MEAN) / STD)
        return kept

    def losses(self, pixels: Tensor, truths: list[Truth], context: Tensor | None = None) -> dict[str, Tensor]:
        """Name -> loss; they are summed."""
        features = self.features(pixels)
        dense = self.first(features, context)
        height, width = dense.logits.shape[2:]
        one = [Truth(truth.boxes, torch.zeros_like(truth.classes)) for truth in truths] if self.second else truths
        aims = targets(one, dense.logits.shape[1], height, width, self.spec.stride)
        heat, boxes = dense_loss(dense, aims)
        if self.second is None:
            return {"heat": heat, "boxes": TOLD * boxes}
        with torch.no_grad():
            tried = twostage.regions(peaks(dense, self.spec.regions, self.spec.stride, least=0.0), truths)
        kinds, corrected = second_loss(self.second(features, tried), tried, truths)
        return {"heat": heat, "boxes": TOLD * boxes, "kinds": kinds, "corrected": corrected}

    def detect(self, pixels: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """-> boxes (B, K, 4) in pixels of the input, scores (B, K, classes)."""
        features = self.features(pixels)
        dense = self.first(features, context)
        if self.spec.mirrored:
            dense = mean(dense, mirror(self.first(self.features(pixels.flip(3)), context), pixels.shape[3]))
        found = peaks(dense, self.spec.regions, self.spec.stride)
        sure = found.scores[..., None]
        if self.second is None:
            return found.boxes, sure * nn.functional.one_hot(found.classes, self.classes)
        height, width = pixels.shape[2:]
        return self.second.judge(features, found.boxes, sure, (height, width))
