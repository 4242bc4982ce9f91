"""UTF-8 bytes to token ids and their mask."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field
from tokenizers import Tokenizer

from service.errors import BundleError, InvalidInput
from service.limits import DEFAULTS, Limits
from service.types import FLOAT, Array, Encode, Row, Spec


class Tensors(Spec):
    """The graph's names for what a text becomes; `mask` covers padding, so that texts of any length share a batch."""

    ids: str
    mask: str | None = None
    types: str | None = None


class Text(Spec):
    kind: Literal["text"] = "text"
    tokenizer: str = "tokenizer.json"
    max_tokens: int = Field(512, gt=0, description="longer texts keep their first tokens, special tokens included")
    max_characters: int | None = Field(None, gt=0, description="cut before the tokenizer, whose cost is per character")
    pad_to: int | None = Field(None, gt=0, description="always this many tokens, for graphs of a static length")
    pad_id: int = 0
    tensors: Tensors

    def files(self) -> list[str]:
        return [self.tokenizer]

    def masks(self) -> Mapping[str, str]:
        """Tensor -> the mask tensor that covers its padding."""
        if self.tensors.mask is None:
            return {}
        return {name: self.tensors.mask for name in (self.tensors.ids, self.tensors.types, self.tensors.mask) if name}

    def limit(self, limits: Limits) -> int:
        return limits.text_bytes

    def bulk(self, data: bytes) -> int:
        return len(data)

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        return partial(encode, self, self._read(folder))

    def spans(self, folder: Path) -> Callable[[str], list[tuple[int, int]]]:
        """Text -> from and to of each of its tokens, in characters."""
        tokenizer = self._read(folder)
        return lambda text: list(tokenizer.encode(text[: self.max_characters]).offsets)

    def _read(self, folder: Path) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(folder / self.tokenizer))
        except Exception as error:  # tokenizers raises nothing narrower
            raise BundleError(f"{self.tokenizer}: not a tokenizer file") from error
        tokenizer.enable_truncation(self.max_tokens)  # files may embed lengths of their own: ours are the manifest's
        tokenizer.no_padding()
        return tokenizer


def encode(spec: Text, tokenizer: Tokenizer, data: bytes) -> Row:
    """ids (T,) int64, mask (T,) float32. Raises InvalidInput on bytes that are not UTF-8."""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("text is not valid UTF-8") from error
    # encode_batch_fast: unlike encode() it releases the GIL and computes no offsets
    ids = tokenizer.encode_batch_fast([text[: spec.max_characters]])[0].ids
    length = max(len(ids), 1)
    padded = np.full(spec.pad_to or length, spec.pad_id, np.int64)
    padded[: len(ids)] = ids[: len(padded)]
    return tensors(spec, padded, length)


def tensors(spec: Text, ids: Array, length: int) -> Row:
    row = {spec.tensors.ids: ids}
    if spec.tensors.mask:
        row[spec.tensors.mask] = (np.arange(len(ids)) < length).astype(FLOAT)
    if spec.tensors.types:
        row[spec.tensors.types] = np.zeros(len(ids), np.int64)
    return row
