"""One part to one vector (B, width); what is padding changes nothing. Each kind is a Spec whose `build` makes it.

Text: build(vocabulary, width) takes ids (B, T) int64 and mask (B, T).
"""

from typing import Annotated

from pydantic import Field

from models.encoders.bag import BagSpec, TfidfSpec
from models.encoders.bert import BertSpec
from models.encoders.lstm import TextLstmSpec
from models.encoders.text import TextCnnSpec
from models.encoders.transformer import TransformerSpec
from models.encoders.word2vec import Word2VecSpec

TextEncoder = Annotated[
    BagSpec | TfidfSpec | Word2VecSpec | TextCnnSpec | TextLstmSpec | TransformerSpec | BertSpec,
    Field(discriminator="kind"),
]
