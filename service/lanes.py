"""A bundle's graphs, to the rest of Braid as one: rows -> rows. One graph of all parts, or for each part its tower."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path

from service.bundle import Bundle, Manifest
from service.collate import Collate
from service.engine import Engine, first_line, share
from service.errors import BundleError
from service.lending import Lending
from service.types import Row, Shape
from service.weights import Shared

Graphs = Mapping[str, Path | Shared]  # file -> the graph, whose weights its sessions may share


class Lane:
    """One graph, and under which names its outputs stand in a row."""

    def __init__(self, engine: Engine, collate: Collate, tower: Mapping[str, str] | None) -> None:
        """`tower`: row's name -> the graph's output; then only rows with the graph's first input go through it."""
        self.engine, self.collate = engine, collate
        given = {output: name for name, output in (tower or {}).items()}
        self.outputs = {given.get(output, output): shape for output, shape in engine.outputs.items()}
        self._names = list(self.outputs)
        self._key = None if tower is None else next(iter(engine.inputs))

    def takes(self, row: Row) -> bool:
        return self._key is None or self._key in row

    def run(self, rows: Sequence[Row], answers: Sequence[Row]) -> None:
        """Adds to the rows' answers; rows share a run of the graph where their shapes allow it."""
        if self._key is not None:
            mine = [i for i, row in enumerate(rows) if self._key in row]
            if not mine:
                return
            rows, answers = [rows[i] for i in mine], [answers[i] for i in mine]
        for group in self.collate.groups(rows):
            outputs = self.engine(self.collate.feed([rows[i] for i in group]))
            for name, batch in zip(self._names, outputs, strict=True):
                for i, values in zip(group, batch, strict=True):
                    answers[i][name] = values

    def alone(self, row: Row) -> Row:
        """Raises BundleError where the graph fails on this row, or answers one row with none or several."""
        try:
            arrays = self.engine(self.collate.feed([row]))
        except Exception as error:  # onnxruntime's exceptions share no base class
            raise BundleError(f"the graph fails on the example: {first_line(error)}") from error
        for name, array in zip(self._names, arrays, strict=True):
            if array.shape[:1] != (1,):
                raise BundleError(
                    f"output {name!r} is {array.shape} for one row; name it under whole if it has no batch axis"
                )
        return {name: array[0] for name, array in zip(self._names, arrays, strict=True)}


class Lanes:
    """`inputs`, `outputs` and `types` are those of all graphs."""

    def __init__(
        self, manifest: Manifest, graphs: Graphs, providers: Sequence[str], threads: int, slots: Mapping[str, Shape]
    ) -> None:
        """`slots`: see `absent`. Raises BundleError, SettingsError."""
        self.providers, self.threads = tuple(providers), threads
        masked = {tensor for spec in manifest.inputs.values() for tensor in spec.masks()}
        most = 1 if manifest.whole else manifest.batch
        self.lanes: list[Lane] = []
        ways = {tower.file: tower.outputs for tower in manifest.towers.values()} or dict.fromkeys(graphs)
        for file, tower in ways.items():
            wanted = manifest.wanted if tower is None else list(tower.values())
            engine = Engine(
                graphs[file], providers, threads, constants=manifest.constants, whole=manifest.whole, wanted=wanted
            )
            self.lanes.append(Lane(engine, Collate(engine.inputs, masked, most, slots), tower))
        self.inputs = {name: port for lane in self.lanes for name, port in lane.engine.inputs.items()}
        self.outputs = {name: shape for lane in self.lanes for name, shape in lane.outputs.items()}
        self.types = {
            name: dtype
            for lane in self.lanes
            for name, dtype in zip(lane.outputs, lane.engine.types.values(), strict=True)
        }

    @property
    def shared(self) -> bool:
        """Several threads may run them at once."""
        return all(lane.engine.shared for lane in self.lanes)

    @property
    def most(self) -> int | None:
        """The graphs' own batch size, if it is dynamic in none."""
        sizes = [lane.collate.most for lane in self.lanes]
        return None if None in sizes else max(size or 0 for size in sizes)

    def takes(self, names: Collection[str]) -> bool:
        """Whether these inputs are all that one graph needs, or some."""
        needed = [lane.engine.inputs.keys() for lane in self.lanes if not lane.engine.inputs.keys().isdisjoint(names)]
        return bool(needed) and set(names) == {name for inputs in needed for name in inputs}

    def run(self, rows: Sequence[Row]) -> list[Row]:
        """One answer a row, in their order."""
        answers: list[Row] = [{} for _ in rows]
        for lane in self.lanes:
            lane.run(rows, answers)
        return answers

    def alone(self, row: Row) -> Row:
        """The answer to one row. Raises BundleError."""
        return {name: array for lane in self.lanes if lane.takes(row) for name, array in lane.alone(row).items()}

    def shrink(self, row: Row) -> None:
        """Gives back the memory that batches larger than usual have taken."""
        for lane in self.lanes:
            lane.engine.shrink(lane.collate.feed([row]))


def absent(bundle: Bundle) -> dict[str, Shape]:
    """Tensor -> shape of what stands for it where its part is absent. Raises BundleError."""
    try:
        return {
            tensor: shape
            for spec in bundle.manifest.inputs.values()
            for tensor, shape in spec.zeros(bundle.folder).items()
        }
    except BundleError as error:
        raise BundleError(f"{bundle.folder}: {error}") from error


def loaded(bundle: Bundle, providers: Sequence[str], lending: Lending | None) -> Graphs:
    """Of each file of the bundle's that is to run, its graph."""
    names = [file.relative_to(bundle.folder).as_posix() for file in bundle.graphs]
    return {name: share(bundle.folder / name, providers, f"{bundle.digest}/{name}", lending) for name in names}
