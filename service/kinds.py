"""All kinds of inputs and outputs: ours, and what other packages bring by entry points `braid.inputs`, `braid.outputs`.

Above both, since such a package may hold kinds of both, and imports ours.
"""

import warnings
from collections.abc import Sequence
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Union, get_args

from pydantic import Field, create_model, model_validator

from service import inputs, outputs
from service.types import Spec


class Broken(Spec):
    """Stands for a kind that could not be loaded, until a manifest names it: bundles of other kinds must not suffer."""

    why: ClassVar[str]

    @model_validator(mode="before")
    @classmethod
    def only_known_keys(cls, data: object) -> object:
        raise ValueError(cls.why)


def union(group: str, own: Sequence[type[Spec]]) -> Any:
    """Of `own` kinds and of what is installed under other names."""
    found: dict[str, list[EntryPoint]] = {}
    for point in entry_points(group=group):
        found.setdefault(point.name, []).append(point)
    for kind in own:
        for point in found.pop(named(kind), []):
            warnings.warn(f"{said(point)} is not used: Braid has a kind of this name", RuntimeWarning, stacklevel=2)
    more = [loaded(name, points) for name, points in sorted(found.items())]
    return Union[(*own, *more)]  # of a tuple


def loaded(name: str, points: list[EntryPoint]) -> type[Spec]:
    if len(points) > 1:
        return broken(name, f"several packages bring this kind: {', '.join(map(said, points))}")
    try:
        kind = points[0].load()
    except Exception as error:  # whatever its code raises
        return broken(name, f"{said(points[0])} could not be loaded: {type(error).__name__}: {error}")
    if not (isinstance(kind, type) and issubclass(kind, Spec) and named(kind) == name and literal(kind, name)):
        return broken(name, f"{said(points[0])} is not a Spec whose kind is the Literal {name!r}, its default")
    return kind


def named(kind: type[Spec]) -> Any:
    field = kind.model_fields.get("kind")
    return field.default if field else None


def literal(kind: type[Spec], name: str) -> bool:
    return get_args(kind.model_fields["kind"].annotation) == (name,)


def said(point: EntryPoint) -> str:
    package = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"plug-in {point.value}{package}"


def broken(name: str, why: str) -> type[Spec]:
    tag: Any = Literal[name]
    made: type[Broken] = create_model("Broken", __base__=Broken, kind=(tag, name))
    made.why = why
    return made


if TYPE_CHECKING:
    from service.inputs import Input
    from service.outputs import Output
else:
    OWN_INPUTS, OWN_OUTPUTS = (get_args(get_args(kind)[0]) for kind in (inputs.Input, outputs.Output))
    Input = Annotated[union("braid.inputs", OWN_INPUTS), Field(discriminator="kind")]
    Output = Annotated[union("braid.outputs", OWN_OUTPUTS), Field(discriminator="kind")]

__all__ = ["Input", "Output"]
