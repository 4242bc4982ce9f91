"""Several vectors, some of them absent, to one; and how much each part had to say in it.

Each kind is a module: hidden (B, M, width), present (B, M) -> h (B, width), weights (B, M). What is in an absent slot
changes nothing, not even NaN; weights are 0 for absent parts and sum to 1 over the others; any subset works.
"""

from typing import Annotated

from pydantic import Field

from models.fusion.joined import ConcatenationSpec, LowRankSpec
from models.fusion.late import AverageSpec, ProductSpec
from models.fusion.related import CrossAttentionSpec, GraphSpec
from models.fusion.weighted import Attention, AttentionSpec, DecaySpec, Gated, GatedSpec, LearnedSpec

Hidden = (
    ConcatenationSpec
    | LearnedSpec
    | DecaySpec
    | AttentionSpec
    | GatedSpec
    | CrossAttentionSpec
    | GraphSpec
    | LowRankSpec
)
Late = AverageSpec | ProductSpec  # of predictions, not of hidden vectors
Fusion = Annotated[Hidden | Late, Field(discriminator="kind")]

KINDS: dict[str, type[Attention] | type[Gated]] = {"attention": Attention, "gated": Gated}
