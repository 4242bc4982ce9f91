"""Input = Text | Image | Audio: registry, factory, schema and validation of the ways from bytes to tensors, in one.

`service/kinds.py` adds those of other packages.
"""

from typing import Annotated

from pydantic import Field

from service.inputs.audio import Audio
from service.inputs.image import Image
from service.inputs.part import Part
from service.inputs.text import Text

Input = Annotated[Text | Image | Audio, Field(discriminator="kind")]

__all__ = ["Audio", "Image", "Input", "Part", "Text"]
