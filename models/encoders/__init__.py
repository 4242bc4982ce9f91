"""One part to one vector (B, width); what is padding changes nothing. Each kind is a Spec whose `build` makes it.

Text: build(vocabulary, width) takes ids (B, T) int64 and mask (B, T). Those with `fit` want it called with the ids of
all training texts before training.
Image: build(colours, width) takes pixels (B, colours, H, W).
Audio: build(bands, width) takes features (B, bands, F) and mask (B, F); `wave`, of 0 bands, samples and mask (B, N).
"""

from typing import Annotated

from pydantic import Field

from models.encoders.audio import AudioCnnSpec, WaveSpec
from models.encoders.bag import BagSpec, TfidfSpec
from models.encoders.bert import BertSpec
from models.encoders.image import ImageCnnSpec
from models.encoders.inception import InceptionSpec
from models.encoders.lstm import AudioLstmSpec, TextLstmSpec
from models.encoders.resnet import ResNetSpec
from models.encoders.statistics import StatisticsSpec
from models.encoders.text import TextCnnSpec
from models.encoders.transformer import TransformerSpec
from models.encoders.vgg import VggSpec
from models.encoders.word2vec import Word2VecSpec

TextEncoder = Annotated[
    BagSpec | TfidfSpec | Word2VecSpec | TextCnnSpec | TextLstmSpec | TransformerSpec | BertSpec,
    Field(discriminator="kind"),
]
ImageEncoder = Annotated[ImageCnnSpec | ResNetSpec | VggSpec | InceptionSpec, Field(discriminator="kind")]
AudioEncoder = Annotated[AudioCnnSpec | AudioLstmSpec | StatisticsSpec | WaveSpec, Field(discriminator="kind")]
