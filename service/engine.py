"""A graph in onnxruntime: feed -> arrays. The only user of onnxruntime."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault(
    "ORT_DISABLE_TELEMETRY", "1"
)  # from 1.29 on it reports to Microsoft and writes to the home folder

import numpy as np
import onnxruntime

from service import memory
from service.errors import BundleError, SettingsError
from service.lending import Lending
from service.ports import Port, Ports
from service.types import Array
from service.weights import LEAST, WEIGHTS, Memory, Shared

VERSION: str = onnxruntime.__version__
CPU = "CPUExecutionProvider"
NONE: Mapping[str, Any] = {}
BUFFERS = 64  # inputs kept on a device
LARGE = 8 * 2**20  # bytes of a graph; below, a copy of its weights costs less than sharing them
ELEMENTS = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(double)": np.float64,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
ANSWERS = ELEMENTS | {  # outputs that numpy can hold; sequences, maps and bfloat16 are not asked for
    "tensor(int8)": np.int8,
    "tensor(int16)": np.int16,
    "tensor(uint16)": np.uint16,
    "tensor(uint32)": np.uint32,
    "tensor(uint64)": np.uint64,
    "tensor(string)": np.object_,
}


class Engine:
    """Strict about `providers`: one that was asked for and is not active is an error, never the CPU in silence.

    On a CPU it may be called from any threads, elsewhere from one at a time.
    """

    def __init__(
        self,
        graph: Path | Shared,
        providers: Sequence[str],
        threads: int,
        *,
        constants: Mapping[str, Any] = NONE,
        whole: Sequence[str] = (),
        wanted: Sequence[str] = (),
    ) -> None:
        """`constants` and `whole` as in Ports; `wanted` outputs, or all. Raises BundleError, SettingsError."""
        self.providers, self.threads = tuple(providers), threads
        self._weights = values(graph)  # the session reads them, and would not keep them
        self._session = load(graph, providers, threads, self._weights)
        inputs = {port.name: Port(element(port), axes(port)) for port in self._session.get_inputs()}
        answers = [port for port in self._session.get_outputs() if port.type in ANSWERS]
        if missing := set(wanted) - {port.name for port in answers}:
            have = ", ".join(port.name for port in answers)
            raise BundleError(f"no output {missing.pop()!r}; the graph has {have}")
        answers = [port for port in answers if not wanted or port.name in wanted]
        ports = Ports(inputs, {port.name: axes(port) for port in answers}, constants, whole)
        self.inputs, self.outputs = ports.inputs, ports.outputs
        self.types = {port.name: ANSWERS[port.type] for port in answers}
        self._ports = None if ports.plain else ports
        self._names = list(self.outputs)
        self._buffers = None if provider(providers[0]) == CPU else Buffers("cuda")

    @property
    def metadata(self) -> dict[str, str]:
        """What its exporter has written into the graph's file."""
        return dict(self._session.get_modelmeta().custom_metadata_map)

    @property
    def shared(self) -> bool:
        """Several threads may run it at once."""
        return self._buffers is None

    def __call__(self, feed: Mapping[str, Array]) -> Sequence[Array]:
        """The outputs in their order, batch axis first."""
        if self._ports:
            return self._ports.answers(self._run(self._ports.feed(feed)))
        return self._run(feed)

    def _run(self, feed: Mapping[str, Array]) -> Sequence[Array]:
        if self._buffers is None:
            return self._session.run(self._names, feed)  # type: ignore[no-any-return]  # onnxruntime has no types
        return self._buffers.run(self._session, self._names, feed)

    def shrink(self, feed: Mapping[str, Array]) -> None:
        """Runs once more and gives back what larger batches have taken; onnxruntime's arena would keep it."""
        options = onnxruntime.RunOptions()
        options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session.run(self._names, self._ports.feed(feed) if self._ports else feed, options)


class Buffers:
    """Inputs on the device, allocated once for each shape (onnxruntime's I/O binding).

    The last few are kept, so that memory does not follow the variety of lengths.
    """

    def __init__(self, device: str) -> None:
        self._device = device
        self._kept: dict[tuple[str, tuple[int, ...]], Any] = {}

    def run(
        self, session: onnxruntime.InferenceSession, names: Sequence[str], feed: Mapping[str, Array]
    ) -> Sequence[Array]:
        binding = session.io_binding()
        for name, array in feed.items():
            binding.bind_ortvalue_input(name, self._filled(name, array))
        for name in names:
            binding.bind_output(name, self._device)
        session.run_with_iobinding(binding)
        return binding.copy_outputs_to_cpu()  # type: ignore[no-any-return]  # onnxruntime has no types

    def _filled(self, name: str, array: Array) -> Any:
        key = name, array.shape
        buffer = self._kept.pop(key, None)
        if buffer is None:
            buffer = onnxruntime.OrtValue.ortvalue_from_numpy(array, self._device, 0)
        else:
            buffer.update_inplace(np.ascontiguousarray(array))
        self._kept[key] = buffer
        if len(self._kept) > BUFFERS:
            del self._kept[next(iter(self._kept))]  # the one that was not used for longest
        return buffer


def share(graph: Path, providers: Sequence[str], name: str = "", lending: Lending | None = None) -> Path | Shared:
    """The graph, optimised, with weights that its sessions need not copy; itself, where that does not pay or work.

    `lending`: other workers that serve what has this `name` use the same memory.
    """
    if [provider(one) for one in providers] != [CPU] or graph.stat().st_size < LARGE:
        return graph
    try:
        return lending.get(name, lambda: optimised(graph), Shared) if lending else optimised(graph)
    except Exception:  # onnxruntime's exceptions share no base class; a graph's own faults are said when it is loaded
        return graph


def optimised(graph: Path) -> Shared:
    """Raises OSError where there is no room for a folder of two links, AttributeError where this is not Linux, and what
    onnxruntime raises."""
    place = Memory()
    try:
        options = settings(threads=1)
        options.optimized_model_filepath = str(place.graph)
        for key, value in {"file_name": WEIGHTS, "min_size_in_bytes": str(LEAST)}.items():
            options.add_session_config_entry(f"session.optimized_model_external_initializers_{key}", value)
        onnxruntime.InferenceSession(str(graph), options, providers=[CPU])
        shared = place.read()
        started(shared, settings(threads=1), [CPU], values(shared))
        return shared
    finally:
        place.close()


def settings(threads: int) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # what fails is raised; its own words hold numbers of the upload
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # spinning starves the event loop
    return options


def values(graph: Path | Shared) -> dict[str, onnxruntime.OrtValue]:
    """Of its weights, without a copy."""
    arrays = {} if isinstance(graph, Path) else graph.weights
    return {name: onnxruntime.OrtValue.ortvalue_from_numpy(array) for name, array in arrays.items()}


def load(
    graph: Path | Shared, providers: Sequence[str], threads: int, weights: Mapping[str, onnxruntime.OrtValue]
) -> onnxruntime.InferenceSession:
    names = [provider(name) for name in providers]
    if names != [CPU]:
        onnxruntime.preload_dlls()  # CUDA and cuDNN from their Python packages, where they are installed
    try:
        session = started(graph, settings(threads), names, weights)
    except Exception as error:  # onnxruntime's exceptions share no base class
        name = graph if isinstance(graph, Path) else "the optimised graph"
        raise BundleError(f"{name}: onnxruntime cannot load it: {first_line(error)}") from error
    if session.get_providers()[: len(names)] != names:
        active = ", ".join(map(short, session.get_providers()))
        raise SettingsError(f"of the providers {', '.join(providers)} only {active} started; is the driver there?")
    memory.trim()
    if isinstance(graph, Shared):
        graph.let_go()
    return session


def started(
    graph: Path | Shared,
    options: onnxruntime.SessionOptions,
    providers: list[str],
    weights: Mapping[str, onnxruntime.OrtValue],
) -> onnxruntime.InferenceSession:
    if isinstance(graph, Path):
        return onnxruntime.InferenceSession(str(graph), options, providers=providers)
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    for name, value in weights.items():
        options.add_initializer(name, value)
    with graph.placed() as file:
        return onnxruntime.InferenceSession(str(file), options, providers=providers)


def provider(name: str) -> str:
    """onnxruntime's own name of CPU, CUDA, TensorRT, ... Raises SettingsError."""
    available = onnxruntime.get_available_providers()
    for known in available:
        if short(known).lower() == name.lower():
            return str(known)
    have = ", ".join(map(short, available))
    raise SettingsError(f"provider {name!r} is not in this installation of onnxruntime, which has {have}")


def short(name: str) -> str:
    return name.removesuffix("ExecutionProvider")


def first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def element(port: onnxruntime.NodeArg) -> Any:
    if port.type not in ELEMENTS:
        raise BundleError(f"input {port.name!r} of the graph is a {port.type}, which no part can become")
    return ELEMENTS[port.type]


def axes(port: onnxruntime.NodeArg) -> tuple[int | None, ...]:
    return tuple(size if isinstance(size, int) else None for size in port.shape)
