"""What predict?explain=parts and POST explain ask for, to the work that answers it."""

from collections.abc import Mapping

from service.errors import Malformed, OverLimit
from service.explain import places as inside
from service.explain import shapley, target
from service.explain.occlusion import Method
from service.limits import Limits
from service.model import Model
from service.types import Asked, Parts, Row
from service.web.options import Options, whole

BUDGET = 50  # rows a part


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
    budget = whole(why, "budget") or min(BUDGET, limits.explain_rows)
    if budget > limits.explain_rows:
        raise OverLimit(f"a budget of {budget} rows", limit=limits.explain_rows)
    return Method(name, budget, whole(why, "seed", 0) or 0)  # type: ignore[arg-type]  # checked just above
