"""A graph's inputs to the parts of a manifest, with each guess marked, and the files that they need."""

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.importers.draft import Draft, Origin
from models.importers.guess.given import Given, Role
from models.importers.guess.picture import picture
from models.importers.guess.sound import sound
from models.importers.huggingface.text import normalized
from service.errors import BundleError
from service.fits import axes
from service.ports import Port

KINDS: dict[Role, str] = {"ids": "text", "pixels": "image", "samples": "audio", "features": "audio"}
MAIN: dict[Role, str] = {"ids": "ids", "pixels": "pixels"}
TRAINING = {"training", "is_training", "train", "dropout", "drop_rate"}  # inputs that are 0 when a model is used
UNBOUNDED = 1e9  # a tokenizer_config.json of transformers, where it knows no length


class Part(NamedTuple):
    name: str
    kind: str
    tensor: str
    port: Port


def parts(draft: Draft, ports: Mapping[str, Port], roles: Mapping[str, Role], given: Given) -> dict[str, bytes]:
    """Adds `inputs`, `constants` and `missing`; gives the files that go into the bundle. Raises BundleError."""
    made = named(ports, roles)
    if not made:
        raise BundleError(
            f"no text, picture or sound among the graph's inputs ({listed(ports)}); say which: --as INPUT=pixels"
        )
    files: dict[str, bytes] = {}
    for part in made:
        place = f"inputs.{part.name}"
        if part.kind == "text":
            files |= text(draft, place, part, given)
        elif part.kind == "image":
            picture(draft, place, part.port, given)
        else:
            files |= sound(draft, place, part.port, roles[part.tensor], given)
        others = {tensor(role): name for name, role in roles.items() if owner(role, made) is part}
        bound = {MAIN.get(roles[part.tensor], "features"): part.tensor, **others}
        guessed = "by its name and shape" if part.tensor not in given.roles else ""
        draft.put(f"{place}.tensors", bound, Origin.GUESS if guessed else Origin.GIVEN, guessed)
    constants(draft, ports, roles, given)
    if present := next((name for name, role in roles.items() if role == "present"), None):
        why = f"1 where a part is there, in the order {', '.join(part.name for part in made)}"
        draft.put("missing", {"policy": "mask", "tensor": present}, Origin.GUESS, why)
    return files


def named(ports: Mapping[str, Port], roles: Mapping[str, Role]) -> list[Part]:
    """Texts, pictures, sounds; the first of a kind bears its name, others the graph's."""
    found: list[Part] = []
    for name, role in sorted(roles.items(), key=lambda item: list(KINDS).index(item[1]) if item[1] in KINDS else -1):
        if role in KINDS:
            kind = KINDS[role]
            taken = any(part.name == kind for part in found)
            found.append(Part(re.sub(r"\W+", "-", name).strip("-") if taken else kind, kind, name, ports[name]))
    return found


def owner(role: Role, made: Sequence[Part]) -> Part | None:
    """The part that a mask, a length and the like belong to: texts before sounds."""
    kinds = {"types": ["text"], "positions": ["text"], "mask": ["text", "audio"], "length": ["text", "audio"],
             "pixel_mask": ["image"]}.get(role, [])  # fmt: skip
    return next((part for kind in kinds for part in made if part.kind == kind), None)


def tensor(role: Role) -> str:
    return "mask" if role == "pixel_mask" else role


def text(draft: Draft, place: str, part: Part, given: Given) -> dict[str, bytes]:
    """tokenizer.json, if it was given. Raises BundleError."""
    draft.put(f"{place}.kind", "text", Origin.GRAPH, f"{part.tensor} {described(part.port)}")
    said: dict[str, Any] = {}
    content: dict[str, Any] = {}
    if given.tokenizer:
        beside = given.tokenizer.parent / "tokenizer_config.json"
        content, said = read(given.tokenizer), read(beside) if beside.is_file() else {}
        draft.put(f"{place}.tokenizer", "tokenizer.json", Origin.GIVEN)
    else:
        draft.ask(f"{place}.tokenizer", "a tokenizer.json of the library tokenizers, beside this file; --tokenizer")
    static = part.port.shape[1] if len(part.port.shape) == 2 else None
    if static:
        draft.put(f"{place}.pad_to", static, Origin.GRAPH)
    longest(draft, f"{place}.max_tokens", static, given, content, said)
    if pad := padding(content, said):
        draft.put(f"{place}.pad_id", pad, Origin.FILE)
    return {"tokenizer.json": normalized(content, said).encode()} if content else {}


def longest(
    draft: Draft, place: str, static: int | None, given: Given, content: dict[str, Any], said: dict[str, Any]
) -> None:
    cut = (content.get("truncation") or {}).get("max_length")
    if given.max_tokens:
        draft.put(place, given.max_tokens, Origin.GIVEN)
    elif static:
        draft.put(place, static, Origin.GRAPH)
    elif (said.get("model_max_length") or UNBOUNDED) < UNBOUNDED:
        draft.put(place, said["model_max_length"], Origin.FILE, "tokenizer_config.json")
    elif cut:
        draft.put(place, cut, Origin.GUESS, "the tokenizer's own")
    else:
        draft.ask(place, "tokens of the longest text that the model takes; --max-tokens")


def padding(content: dict[str, Any], said: dict[str, Any]) -> int:
    """Number of the token that fills texts; 0 unless the files say more."""
    token = said.get("pad_token")
    token = token.get("content") if isinstance(token, dict) else token
    added = {each["content"]: each["id"] for each in content.get("added_tokens") or [] if "id" in each}
    return int(added.get(token, (content.get("padding") or {}).get("pad_id", 0)))


def constants(draft: Draft, ports: Mapping[str, Port], roles: Mapping[str, Role], given: Given) -> None:
    if unknown := given.constants.keys() - ports.keys():
        raise BundleError(f"--constant {unknown.pop()}: the graph takes {listed(ports)}")
    for name, role in roles.items():
        if name in given.constants:
            draft.put(("constants", name), given.constants[name], Origin.GIVEN)
        elif role == "constant" and name.lower() in TRAINING and not ports[name].shape:
            draft.put(
                ("constants", name), False if ports[name].dtype is np.bool_ else 0, Origin.GUESS, "the model is used"
            )
        elif role == "constant":
            why = f"{described(ports[name])}: what it is always fed; --constant, or --as {name}=pixels and the like"
            draft.ask(("constants", name), why)


def read(file: Path) -> dict[str, Any]:
    """Raises BundleError."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{file}: not a readable JSON file") from error
    if not isinstance(found, dict):
        raise BundleError(f"{file}: not a JSON object")
    return found


def described(port: Port) -> str:
    return f"{np.dtype(port.dtype)} {axes(port.shape)}"


def listed(ports: Mapping[str, Port]) -> str:
    return ", ".join(f"{name}: {described(port)}" for name, port in ports.items())
