"""A loaded bundle: parts -> row, rows -> rows, row -> answer."""

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from service import fits, lanes
from service.bundle import Bundle, Example
from service.engine import first_line
from service.errors import BundleError, InvalidInput, Malformed, MissingPart, RequestError, UnknownPart
from service.inputs import Audio, Image
from service.isolation import Confinement, Decoders
from service.lanes import Lanes
from service.lending import Lending
from service.limits import DEFAULTS, Limits
from service.outputs import ZeroShot
from service.types import FLOAT, NOTHING, Array, Asked, Encode, Parts, Row, Stages

ROW_TOLERANCE = 1e-4  # relative to max(1, |x|); a wrong resize is off by 1e-2, another CPU's FFT by 1e-6


class Model:
    """`encode`, `run` and `decode` may be called from any thread."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        limits: Limits = DEFAULTS,
        providers: Sequence[str] = ("CPU",),
        confinement: Confinement | None = None,
        lending: Lending | None = None,
    ) -> None:
        """`confinement`: pictures and sounds are decoded in processes of their own. `lending`: weights are shared with
        other workers."""
        self.bundle = bundle
        self.manifest = bundle.manifest
        self._graphs = lanes.loaded(bundle, providers, lending)
        self._slots = lanes.absent(bundle)
        self.engine = Lanes(self.manifest, self._graphs, providers, 1, self._slots)
        self._limits = limits
        apart = {name: spec for name, spec in self.manifest.inputs.items() if confinement and spec.kind != "text"}
        self.decoders = (
            Decoders(apart, bundle.folder, limits, bundle.intact, confinement) if apart and confinement else None
        )
        self._encoders = {
            name: self.decoders.encoder(name) if self.decoders and name in apart else spec.load(bundle.folder, limits)
            for name, spec in self.manifest.inputs.items()
        }
        self._anew = {
            name: spec.anew(bundle.folder, limits)
            for name, spec in self.manifest.inputs.items()
            if isinstance(spec, Image | Audio)
        }
        self.blanks = {
            name: self._encoders[name](spec.absent.encode()) if spec.kind == "text" and spec.absent is not None else {}
            for name, spec in self.manifest.inputs.items()
            if self.manifest.missing.policy == "blank"
        }  # part -> what stands for it where it is absent, beside zeros
        try:
            fits.check(self.manifest, bundle.folder, self.engine.inputs, self.engine.outputs)
        except BundleError as error:
            raise BundleError(f"{bundle.folder}: {error}") from error
        self.wide: Lanes | None = None
        self._halves = [name for name, dtype in self.engine.types.items() if dtype is np.float16]
        self._present = self.manifest.missing.tensor
        self._demanded = self.manifest.demanded
        kinds = [output for output in self.manifest.outputs.values() if isinstance(output, ZeroShot)]
        self.zero_shot = next(iter(kinds), None)
        self.controls = frozenset().union(*(output.controls for output in self.manifest.outputs.values()))

    @cached_property
    def example(self) -> Example:
        """The bundle's, read once: a folder may change while what was in it is served. Raises BundleError."""
        return self.bundle.example()

    @property
    def most(self) -> int | None:
        """The graph's own batch size, if it is not dynamic."""
        return self.engine.most

    def bulk(self, parts: Parts) -> int:
        """At a glance, how much there is to decode: a few compressed bytes may hold many pixels or samples."""
        inputs = self.manifest.inputs
        return sum(inputs[name].bulk(data) for name, data in parts.items() if name in inputs)

    def encode(self, parts: Parts, stages: Stages) -> Row:
        """The tensors of the parts that are there. Adds seconds a part to `stages`.

        Raises UnknownPart, MissingPart, and what the part's decoder raises, with the part's name.
        """
        return self.whole(self.encode_all([(parts, stages)]))

    def shares(self, parts: Parts) -> list[list[str]]:
        """The part that is most work, and the others: to be encoded side by side."""
        names = sorted(parts, key=lambda name: self.bulk({name: parts[name]}))
        return [names[-1:], names[:-1]] if len(names) > 1 else [names]

    def encode_share(self, parts: Parts, share: Collection[str], stages: Stages) -> Row | RequestError:
        """Of `encode`, these parts' share."""
        return self.encode_all([(parts, stages)], share)[0]

    def whole(self, shares: Sequence[Row | RequestError]) -> Row:
        """As `encode` gives and raises it: of several bad parts the first."""
        names = list(self._encoders)
        if wrong := [share for share in shares if isinstance(share, RequestError)]:
            raise min(wrong, key=lambda error: names.index(error.part) if error.part in names else -1)
        return joined(share for share in shares if not isinstance(share, RequestError))

    def encode_all(
        self, calls: Sequence[tuple[Parts, Stages]], only: Collection[str] | None = None
    ) -> list[Row | RequestError]:
        """Several calls, in their order: all texts, all pictures, all sounds; or `only` some of their parts.

        So the code of one kind of part stays in the processor's caches, which saves a quarter of a small part's time.
        """
        rows = [self._begun(parts) for parts, _ in calls]
        for name, encode in self._encoders.items():
            if only is not None and name not in only:
                continue
            for i, (parts, stages) in enumerate(calls):
                row = rows[i]
                if name in parts and not isinstance(row, RequestError):
                    start = time.perf_counter()
                    rows[i] = extended(row, encode, parts[name], name)
                    stages[f"encode.{name}"] = time.perf_counter() - start
        return rows

    def _begun(self, parts: Collection[str]) -> Row | RequestError:
        """A row that says which parts there are."""
        for name in parts:
            if name not in self.manifest.inputs:
                known = ", ".join(self.manifest.inputs)
                return UnknownPart(f"this model has no such part; it takes {known}")
        if not parts:
            return MissingPart(f"no part at all; send at least one of {', '.join(self.manifest.inputs)}")
        if self._present:
            return {self._present: np.array([name in parts for name in self.manifest.inputs], FLOAT)}
        if self.blanks:
            return joined(row for name, row in self.blanks.items() if name not in parts)
        for name in self._demanded:
            if name not in parts:
                return MissingPart("this model cannot do without it", part=name)
        return {}

    def encode_part(self, name: str, data: bytes) -> Row:
        """The tensors of one part. Raises what its decoder raises."""
        return self._encoders[name](data)

    def bare(self, name: str, data: bytes) -> Array:
        """Of a picture its pixels, of a sound its samples, before all that the manifest names."""
        if self.decoders:
            return self.decoders.bare(name, data)
        spec = self.manifest.inputs[name]
        assert isinstance(spec, Image | Audio)
        return spec.bare(data, self._limits)

    def encode_bare(self, name: str, bare: Array) -> Row:
        """The tensors of a picture or a sound as `bare` gives them, changed or not."""
        return self._anew[name](bare)

    def candidates(self, parts: Parts, asked: Asked) -> Row:
        """What a row has of the labels that the request names; where there is a server, see Prompts.

        Raises Malformed, MissingPart.
        """
        if self.zero_shot is None:
            raise Malformed("this model's answers know no labels")
        self.zero_shot.fit(parts)
        rows = [self.encode_part(self.zero_shot.candidates, text.encode()) for text in self.zero_shot.prompts(asked)]
        return self.zero_shot.compared(self.run(rows))

    def spans(self, name: str) -> Callable[[str], list[tuple[int, int]]]:
        """Of a text part: text -> from and to of its tokens, in characters."""
        spec = self.manifest.inputs[name]
        assert spec.kind == "text"
        return spec.spans(self._encoders[name])

    def widen(self, threads: int) -> None:
        """Loads the graph once more, for `run_alone`, with several threads inside.

        Raises BundleError where it must be read again, and the folder holds another bundle by now.
        """
        if any(isinstance(graph, Path) for graph in self._graphs.values()):
            self.bundle.intact()
        self.wide = Lanes(self.manifest, self._graphs, self.engine.providers, threads, self._slots)

    def run(self, rows: Sequence[Row]) -> list[Row]:
        """One answer a row, in their order; rows share a run of the graph where their shapes allow it."""
        return self.engine.run(rows)

    def run_alone(self, rows: Sequence[Row]) -> list[Row]:
        """The same, on all threads: fastest for who is alone, wasteful in company."""
        return (self.wide or self.engine).run(rows)

    def shrink(self) -> None:
        """Gives back the memory that batches larger than usual have taken."""
        self.engine.shrink(self.example.row)

    def decode(self, row: Row, used: Collection[str], asked: Asked = NOTHING, *, raw: bool = False) -> dict[str, Any]:
        """`outputs` and `parts` of the answer; with `raw` the graph's outputs as well.

        `row` holds what was encoded and what the graph made of it: boxes need the picture's frame, pooling a mask.
        """
        if self._halves:  # float16's sums overflow at 65504, and its exponentials are off by 1e-3
            row = row | {name: row[name].astype(FLOAT) for name in self._halves if name in row}
        parts: dict[str, dict[str, Any]] = {name: {"used": name in used} for name in self.manifest.inputs}
        outputs = {}
        for name, output in self.manifest.given(used).items():
            if output.kind == "weights":
                for part, weight in zip(parts, output.decode(row, used, asked), strict=True):
                    if part in used:
                        parts[part]["weight"] = weight
            elif self.zero_shot is None or (asked.labels is None) == (output is not self.zero_shot):
                outputs[name] = output.decode(row, used, asked)
        answer: dict[str, Any] = {"outputs": outputs, "parts": parts}
        if raw:
            answer["raw"] = {name: row[name].tolist() for name in self.engine.outputs if name in row}
            if self.zero_shot and asked.labels is not None:
                answer["raw"][self.zero_shot.tensor] = self.zero_shot.logits(row).tolist()
        return answer

    def replay(self) -> dict[str, float]:
        """Tensor -> largest difference to the bundle's example, relative to max(1, |x|): the row's, then the outputs'.

        Raises BundleError where a tensor is absent or has another shape, or where the example cannot be run at all.
        """
        parts, row, outputs = self.example
        try:
            encoded = self.encode(parts, {})
        except RequestError as error:
            raise BundleError(f"{self.bundle.folder}: example: part {error.part!r}: {error.detail}") from error
        try:
            answer = self.engine.alone(encoded)
        except BundleError as error:
            raise BundleError(f"{self.bundle.folder}: {error}") from error
        return differences(encoded, row) | differences(answer, outputs)

    def prove(self) -> None:
        """Replays the example and raises BundleError, naming the tensor, unless training's numbers come out."""
        for tensor, difference in self.replay().items():
            tolerance = self.tolerance(tensor)
            if not difference <= tolerance:
                raise BundleError(
                    f"{self.bundle.folder}: tensor {tensor!r} of the example differs by {difference:.3g} "
                    f"(allowed: {tolerance:g}); preprocessing or graph are not those of {self.manifest.reference}"
                )
        parts, row, outputs = self.example
        try:
            self.decode(row | outputs, parts)
        except Exception as error:  # of numbers that the manifest did not expect
            why = error.detail if isinstance(error, RequestError) else first_line(error)
            raise BundleError(f"{self.bundle.folder}: the graph's numbers make no answer: {why}") from error

    def tolerance(self, tensor: str) -> float:
        return ROW_TOLERANCE if tensor in self.engine.inputs else self.bundle.tolerance


def joined(rows: Iterable[Row]) -> Row:
    return {name: array for row in rows for name, array in row.items()}


def extended(row: Row, encode: Encode, data: bytes, part: str) -> Row | RequestError:
    try:
        return row | encode(data)
    except RequestError as error:
        error.part = part
        return error
    except Exception as error:  # a decoder's bug that an upload has found must cost its sender only
        refusal = InvalidInput("cannot be decoded", part=part)
        refusal.__cause__ = error
        return refusal


def differences(row: Row, expected: Row) -> dict[str, float]:
    found: dict[str, float] = {}
    for name, reference in expected.items():
        if name not in row or row[name].shape != reference.shape:
            shape = row[name].shape if name in row else "nothing"
            raise BundleError(f"tensor {name!r} of the example is {shape}, training made {reference.shape}")
        scale = np.maximum(1, np.abs(reference.astype(np.float64)))
        found[name] = float((np.abs(row[name].astype(np.float64) - reference) / scale).max(initial=0.0))
    return found
