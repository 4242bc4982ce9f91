"""What a kind of input is: a frozen spec that says what it needs, and makes of it a function from bytes to tensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

from service.limits import DEFAULTS, Limits
from service.types import Encode, Made, Shape, Spec


class Part(Spec):
    """A kind of one's own is a subclass with a `kind`, its keys, `tensors` (a Spec of the graph's names) and `load`."""

    fixed: ClassVar[str] = ""  # a hint: which of its keys fix the shape of its tensors

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        """The function from one upload's bytes to tensors without batch axis; files of the bundle are in `folder`.

        It is called from several threads at once. What it raises of service.errors reaches the client as it is;
        anything else becomes 422, without its words.
        """
        raise NotImplementedError

    def files(self) -> list[str]:
        """Files of the bundle that it reads."""
        return []

    def masks(self) -> Mapping[str, str]:
        """Tensor -> the mask tensor that covers its padding; only such rows share a run when they differ in length."""
        return {}

    def makes(self, folder: Path) -> Mapping[str, Made]:
        """Tensor -> its type and shape as far as they are known, held against the graph at load."""
        return {}

    def zeros(self, folder: Path) -> Mapping[str, Shape]:
        """Tensor -> shape of the zeros that stand for it where the part is absent; None: as small as can be."""
        return {tensor: made.shape for tensor, made in self.makes(folder).items()}

    def limit(self, limits: Limits) -> int:
        """Bytes that one upload may have."""
        return limits.body_bytes

    def bulk(self, data: bytes) -> int:
        """At a glance, how much there is to decode; compared with the example's."""
        return len(data)
