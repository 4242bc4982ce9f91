"""Where a picture's pixels go: the sizes that resizing, cropping and padding make of it."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from service.types import Spec

RESAMPLE = {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3, "box": 4, "hamming": 5}  # Pillow's numbers
Resample = Literal["nearest", "lanczos", "bilinear", "bicubic", "box", "hamming"]
Size = tuple[int, int]  # width, height
Box = tuple[int, int, int, int]  # left, top, right, bottom


class Exact(Spec):
    """To this size; the aspect is not kept."""

    to: Literal["exact"] = "exact"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> Size:
        return self.width, self.height

    def most(self) -> Size | None:
        """No result is larger; None: there is no limit."""
        return self.width, self.height


class Shortest(Spec):
    """The shorter edge to `edge`, the other by the same ratio, rounded down; less where it would pass `longest`."""

    to: Literal["shortest"] = "shortest"
    edge: int = Field(gt=0)
    longest: int | None = Field(None, gt=0, description="limit of the longer edge, as transformers' longest_edge")
    rounding: Literal["down", "half_up"] = Field("down", description="half_up: as ViLT, down: as the others")
    multiple_of: int = Field(1, gt=0, description="then both edges down to a multiple: YOLOS 16, ViLT 32")
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> Size:
        short, long = min(width, height), max(width, height)
        edges = self._rounded(short, long) if self.rounding == "half_up" else self._floored(short, long)
        if self.multiple_of > 1:
            edges = multiple(edges, self.multiple_of)
        return edges if width <= height else (edges[1], edges[0])

    def most(self) -> Size | None:
        return (self.longest, self.longest) if self.longest else None

    def _floored(self, short: int, long: int) -> Size:
        """transformers' get_size_with_aspect_ratio, float for float: a shorter edge that would stay as it is keeps the
        longer one, too, which then passes `longest` by a pixel or so."""
        if self.longest is None:
            return self.edge, self.edge * long // short
        if long / short * self.edge <= self.longest:
            return self.edge, (long if short == self.edge else int(self.edge * long / short))
        exact = self.longest * short / long
        edge = max(round(exact), 1)
        return edge, (long if short == edge else int(exact * long / short))

    def _rounded(self, short: int, long: int) -> Size:
        """ViLT's get_resize_output_image_size, float for float."""
        edges = float(self.edge), self.edge / short * long
        if self.longest is not None and max(edges) > self.longest:
            ratio = self.longest / max(edges)
            edges = edges[0] * ratio, edges[1] * ratio
        return max(int(edges[0] + 0.5), 1), int(edges[1] + 0.5)


class Fit(Spec):
    """As large as fits into this size; the aspect is kept. With `pad` a letterbox."""

    to: Literal["fit"] = "fit"
    height: int = Field(gt=0)
    width: int = Field(gt=0)
    rounding: Literal["down", "nearest", "half_up"] = "down"
    enlarge: bool = Field(True, description="false: what is smaller stays as it is")
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> Size:
        ratio = self.ratio(width, height)
        across, down = (max(1, rounded(self.rounding, side * ratio)) for side in (width, height))
        return across, down

    def ratio(self, width: int, height: int) -> float:
        """Before rounding to whole pixels; detectors divide their boxes by it."""
        ratio = min(self.height / height, self.width / width)
        return ratio if self.enlarge else min(ratio, 1.0)

    def most(self) -> Size | None:
        return self.width, self.height


class Multiple(Spec):
    """Both sides down to a multiple of `of`, as GLPN's size_divisor."""

    to: Literal["multiple"] = "multiple"
    of: int = Field(gt=1)
    resample: Resample = "bilinear"

    def size(self, width: int, height: int) -> Size:
        return multiple((width, height), self.of)

    def most(self) -> Size | None:
        return None


Resize = Annotated[Exact | Shortest | Fit | Multiple, Field(discriminator="to")]


class Crop(Spec):
    """The middle; what reaches beyond the picture is zero."""

    height: int = Field(gt=0)
    width: int = Field(gt=0)
    rounding: Literal["down", "half_even"] = Field("down", description="of left and top; half_even: as torchvision")

    def corner(self, width: int, height: int) -> tuple[int, int]:
        """Left and top of what is kept; negative beyond the picture."""
        if self.rounding == "half_even":
            return middle(width - self.width), middle(height - self.height)
        return (width - self.width) // 2, (height - self.height) // 2

    def box(self, width: int, height: int) -> Box:
        """What is kept."""
        left, top = self.corner(width, height)
        return left, top, left + self.width, top + self.height


class Pad(Spec):
    """More pixels around the picture, up to a size or to a multiple."""

    height: int | None = Field(None, gt=0)
    width: int | None = Field(None, gt=0)
    multiple_of: int | None = Field(None, gt=1)
    value: float = 0.0
    position: Literal["corner", "middle"] = Field("corner", description="of the picture; corner: upper left")
    unit: Literal["pixels", "tensor"] = Field(
        "pixels", description="of value: a grey level, or what the graph sees (after scale, mean and std)"
    )

    @model_validator(mode="after")
    def possible(self) -> "Pad":
        sides = (self.height is not None) + (self.width is not None)
        if sides != (0 if self.multiple_of else 2):
            raise ValueError("pad: takes height and width, or multiple_of")
        if self.unit == "pixels" and self.value not in range(256):
            raise ValueError(f"value: {self.value:g} is no grey level from 0 to 255; unit tensor takes any number")
        return self

    def size(self, width: int, height: int) -> Size:
        if self.multiple_of:
            return -(-width // self.multiple_of) * self.multiple_of, -(-height // self.multiple_of) * self.multiple_of
        return self.width or width, self.height or height

    def corner(self, size: Size, padded: Size) -> tuple[int, int]:
        """Left and top of the picture in what is padded."""
        if self.position == "corner":
            return 0, 0
        return (padded[0] - size[0]) // 2, (padded[1] - size[1]) // 2


def middle(rest: int) -> int:
    """torchvision's CenterCrop: half to even within the picture, down in what it adds around a smaller one."""
    return round(rest / 2) if rest >= 0 else -(-rest // 2)


def multiple(size: Size, of: int) -> Size:
    """Down to a multiple, but never to nothing."""
    return max(size[0] // of, 1) * of, max(size[1] // of, 1) * of


def rounded(how: Literal["down", "nearest", "half_up"], length: float) -> int:
    if how == "nearest":
        return round(length)
    return int(length + 0.5) if how == "half_up" else int(length)
