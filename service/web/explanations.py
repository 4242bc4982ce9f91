"""What predict?explain=parts and POST explain ask for, to the work that answers it."""

from collections.abc import Mapping
from dataclasses import replace

from service.errors import Malformed, OverLimit
from service.explain import places as inside
from service.explain import shapley, target
from service.explain.occlusion import Method
from service.limits import Limits
from service.model import Model
from service.types import Asked, Parts, Row
from service.web.options import Options, whole


def parts(model: Model, parts: Parts, row: Row, asked: Asked, options: Options) -> shapley.Runs:
    """`row` with the graph's outputs. Raises NotExplainable, Malformed."""
    chosen = target.choose(model.manifest.given(parts), row, asked, options.why)
    return shapley.explained(model, row, [name for name in model.manifest.inputs if name in parts], chosen)


def places(model: Model, parts: Parts, row: Row, asked: Asked, options: Options, limits: Limits) -> inside.Places:
    """Raises NotExplainable, Malformed, OverLimit."""
    chosen = target.choose(model.manifest.given(parts), row, asked, options.why)
    return inside.places(inside.Question(model, parts, row, chosen, method(options.why, limits)))


def method(why: Mapping[str, str], limits: Limits) -> Method:
    name = why.get("method", "occlusion")
    if name not in ("occlusion", "random"):
        raise Malformed("method is occlusion or random")
    asked, most = whole(why, "budget"), limits.explain_rows
    if asked and asked > most:
        raise OverLimit(f"a budget of {asked} rows", limit=most)
    usual = Method(name, seed=whole(why, "seed", 0) or 0)  # type: ignore[arg-type]  # checked just above
    return replace(usual, budget=asked or min(usual.budget, most), sounds=asked or min(usual.sounds, most))
