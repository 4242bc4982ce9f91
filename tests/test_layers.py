"""Imports go down only, and files stay short: nobody has to remember it."""

import ast
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted((ROOT / "service").rglob("*.py"))

LAYERS = [  # from the top; a module may import what stands lower, and its neighbours inside a package
    {"cli"},
    {"server", "supervisor", "bench", "score", "client"},
    {"spans"},
    {"web"},
    {"orders"},
    {"workers", "registry", "tls", "changes", "descriptors"},
    {"health"},
    {"trial"},
    {"folders"},
    {"keys"},
    {"settings", "calibrate", "explain", "metrics", "sums", "logs", "prompts", "tracing"},
    {"model"},
    {"lanes"},
    {"engine", "fits", "isolation", "decoder"},
    {"state"},
    {"collate", "batcher", "admission", "bundle", "weights", "lending"},
    {"manifest"},
    {"kinds"},
    {"inputs", "outputs"},
    {"limits", "memory", "fair", "threads", "graph", "ports", "files", "messages", "forks", "signing", "frames"},
    {"types", "errors"},
]
HEIGHT = {module: -i for i, layer in enumerate(LAYERS) for module in layer}
ONLY = {  # library -> the one place that imports it
    "onnxruntime": ["engine.py"],
    "PIL": [
        "client/content.py",
        "explain/canvas.py",
        "explain/heat.py",
        "inputs/image.py",
        "inputs/ink.py",
        "inputs/picture.py",
        "inputs/webp.py",
    ],
    "tokenizers": ["inputs/text.py"],
    "soundfile": ["inputs/wave.py"],
    "soxr": ["inputs/wave.py"],
    "yaml": ["bundle.py"],
    "librosa": ["inputs/by_librosa.py"],  # when it is loaded, and no sooner
    "typer": ["cli.py"],
    "opentelemetry": ["spans.py"],
}
NEVER = {"torch", "onnx", "models", "tests", "transformers", "requests", "pickle"}


def imports(file: Path) -> set[str]:
    """Dotted names that a file imports, wherever in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def layer(dotted: str) -> str:
    """service.web.app -> web."""
    return dotted.split(".")[1] if "." in dotted else "types"


def named(file: Path) -> str:
    return file.relative_to(ROOT / "service").as_posix()


@pytest.mark.parametrize("file", FILES, ids=named)
def test_imports_go_down(file: Path) -> None:
    own = named(file).split("/")[0].removesuffix(".py")
    if own == "__init__":
        return
    assert own in HEIGHT, f"{own} has no layer: say in DESIGN.md and here where it stands"
    for dotted in imports(file):
        other = layer(dotted) if dotted.startswith("service.") else own
        if other in HEIGHT and other != own and dotted != "service.__version__":
            assert HEIGHT[other] < HEIGHT[own], f"{named(file)} imports {dotted}"


def test_each_library_has_one_place() -> None:
    users: dict[str, list[str]] = defaultdict(list)
    for file in FILES:
        for library in {dotted.split(".")[0] for dotted in imports(file)}:
            users[library].append(named(file))
    for library, files in ONLY.items():
        assert [file for file in users[library] if not file.startswith(("bench/", "score/"))] == files, library
    assert not NEVER & users.keys()
    for library in ("fastapi", "starlette"):
        assert all(file.startswith("web/") for file in users[library]), library


def test_models_may_import_what_prepares_bundles_and_not_the_server() -> None:
    allowed = {"inputs", "outputs", "bundle", "model", "explain", "types", "errors", "limits", "__version__"}
    allowed |= {"collate", "engine", "fits", "graph", "kinds", "ports", "state"}  # of graphs made elsewhere
    for file in (ROOT / "models").rglob("*.py"):
        used = {layer(dotted) for dotted in imports(file) if dotted.split(".")[0] == "service"}
        assert used <= allowed, f"{file} imports {used - allowed}"


@pytest.mark.parametrize("file", FILES, ids=named)
def test_a_file_has_at_most_300_lines_and_a_function_50(file: Path) -> None:
    text = file.read_text()
    assert len(text.splitlines()) <= 300
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[
                1 if ast.get_docstring(node) and len(node.body) > 1 else 0
            ]  # options of commands are long
            assert (node.end_lineno or 0) - first.lineno < 50, node.name


@pytest.mark.parametrize("file", FILES, ids=named)
def test_a_file_says_in_its_first_line_what_goes_in_and_out(file: Path) -> None:
    assert ast.get_docstring(ast.parse(file.read_text())), named(file)


def test_serving_loads_neither_torch_nor_librosa_nor_models() -> None:
    code = "import sys, service.cli, service.server; print(*{name.split('.')[0] for name in sys.modules})"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert not {"torch", "onnx", "librosa", "numba", "scipy", "models"} & set(run.stdout.split())
