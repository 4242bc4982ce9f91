"""UTF-8 bytes to token ids and their mask."""

from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from pydantic import Field, model_validator
from tokenizers import Tokenizer

from service.errors import BundleError, InvalidInput
from service.inputs.part import Part
from service.limits import DEFAULTS, Limits
from service.types import FLOAT, Array, Encode, Made, Row, Spec


class Tensors(Spec):
    """The graph's names for what a text becomes; `mask` covers padding, so that texts of any length share a batch."""

    ids: str
    mask: str | None = None
    length: str | None = Field(None, description="how many tokens there are, one number, as AutoMM's valid_length")
    types: str | None = Field(None, description="token_type_ids, as the tokenizer gives them")
    positions: str | None = Field(
        None, description="position_ids, from first_position on; padding in front has the same"
    )


class Text(Part):
    kind: Literal["text"] = "text"
    tokenizer: str = "tokenizer.json"
    max_tokens: int = Field(512, gt=0, description="longer texts keep their first tokens, special tokens included")
    max_characters: int | None = Field(None, gt=0, description="cut before the tokenizer, whose cost is per character")
    truncate: Literal["right", "left"] = Field("right", description="left: longer texts keep their last tokens")
    prefix: str = Field("", description="before every text, as sentence-transformers' default prompt")
    lowercase: bool = Field(False, description="before the tokenizer, as sentence-transformers' do_lower_case")
    pad_to: int | None = Field(None, gt=0, description="always this many tokens, for graphs of a static length")
    pad_multiple_of: int = Field(1, gt=0, description="a whole multiple of this many tokens")
    pad_id: int = 0
    pad_type: int = Field(0, description="token type of padding")
    side: Literal["right", "left"] = Field("right", description="of the padding")
    first_position: int = 0
    absent: str | None = Field(None, description="what stands for a text that was not sent, where missing is blank")
    tensors: Tensors
    fixed: ClassVar[str] = "pad_to fixes its length"

    @model_validator(mode="after")
    def possible(self) -> "Text":
        if self.pad_to and self.pad_to % self.pad_multiple_of:
            raise ValueError(f"pad_to: {self.pad_to} is no multiple of pad_multiple_of, {self.pad_multiple_of}")
        if self.tensors.length and self.side == "left":
            raise ValueError("side: a length tells nothing of padding on the left")
        return self

    def files(self) -> list[str]:
        return [self.tokenizer]

    def masks(self) -> Mapping[str, str]:
        """Tensor -> the mask tensor that covers its padding."""
        mask = self.tensors.mask or self.tensors.length
        if mask is None:
            return {}
        named = self.tensors.model_dump(exclude_none=True)
        return {name: mask for key, name in named.items() if key != "length"}

    def makes(self, folder: Path) -> dict[str, Made]:
        """Tensor -> its type and shape, None where it varies."""
        names = self.tensors.model_dump(exclude_none=True)
        made = {tensor: Made(np.bool_ if key == "mask" else np.int64, (self.pad_to,)) for key, tensor in names.items()}
        return made | ({self.tensors.length: Made(np.int64, ())} if self.tensors.length else {})

    def limit(self, limits: Limits) -> int:
        return limits.text_bytes

    def bulk(self, data: bytes) -> int:
        return len(data)

    def load(self, folder: Path, limits: Limits = DEFAULTS) -> Encode:
        return partial(encode, self, self._read(folder))

    def spans(self, loaded: Encode) -> Callable[[str], list[tuple[int, int]]]:
        """Text -> from and to of each of its tokens, in characters, by the tokenizer that `load` has read."""
        assert isinstance(loaded, partial)
        tokenizer: Tokenizer = loaded.args[1]
        before = len(self.prefix)
        return lambda text: [
            (max(0, start - before), max(0, end - before))
            for start, end in tokenizer.encode(self.prepared(text)).offsets
        ]

    def prepared(self, text: str) -> str:
        """What the tokenizer sees."""
        text = self.prefix + text[: self.max_characters]
        return text.lower() if self.lowercase else text

    def _read(self, folder: Path) -> Tokenizer:
        try:
            tokenizer = Tokenizer.from_file(str(folder / self.tokenizer))
        except Exception as error:  # tokenizers raises nothing narrower
            raise BundleError(f"{self.tokenizer}: not a tokenizer file") from error
        most, special = min(self.max_tokens, self.pad_to or self.max_tokens), tokenizer.num_special_tokens_to_add(False)
        if most <= special:
            raise BundleError(f"max_tokens: {most}, but the tokenizer adds {special} of its own")
        # files may embed lengths of their own: ours are the manifest's
        tokenizer.enable_truncation(most, direction=self.truncate)
        tokenizer.no_padding()
        return tokenizer


def encode(spec: Text, tokenizer: Tokenizer, data: bytes) -> Row:
    """ids (T,) int64, mask (T,) float32. Raises InvalidInput on bytes that are not UTF-8."""
    text = decoded(data)
    # encode_batch_fast: unlike encode() it releases the GIL and computes no offsets
    found = tokenizer.encode_batch_fast([spec.prepared(text)])[0]
    return tensors(spec, found.ids, found.type_ids if spec.tensors.types else [])


def decoded(data: bytes) -> str:
    """Without the byte order mark that some editors put in front. Raises InvalidInput."""
    try:
        return data.removeprefix(BOM_UTF8).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InvalidInput("text is not valid UTF-8") from error


def tensors(spec: Text, ids: list[int], types: list[int]) -> Row:
    """Padded on its side; no text at all is one token of padding that counts as there."""
    length = max(len(ids), 1)
    size = spec.pad_to or -(-length // spec.pad_multiple_of) * spec.pad_multiple_of
    start = size - length if spec.side == "left" else 0
    row = {spec.tensors.ids: placed(ids, start, size, spec.pad_id)}
    if spec.tensors.mask:
        mask = row[spec.tensors.mask] = np.ones(size, FLOAT)
        if size != length:
            mask[:start] = mask[start + length :] = 0
    if spec.tensors.length:
        row[spec.tensors.length] = np.array(length)
    if spec.tensors.types:
        row[spec.tensors.types] = placed(types, start, size, spec.pad_type)
    if spec.tensors.positions:
        row[spec.tensors.positions] = spec.first_position + np.maximum(np.arange(size) - start, 0)
    return row


def placed(values: list[int], start: int, size: int, rest: int) -> Array:
    """(size,) int64: `rest`, but `values` from `start` on."""
    if len(values) == size:
        return np.array(values, np.int64)
    out = np.full(size, rest, np.int64)
    out[start : start + len(values)] = values
    return out
