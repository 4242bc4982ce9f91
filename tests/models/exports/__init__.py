"""Exports of tiny models as users' tools lay them out; `FAMILIES` names them all."""

from tests.models.exports import pictures, several, sounds, texts
from tests.models.exports.tiny import Export

FAMILIES: dict[str, Export] = {
    "vit": pictures.vit,
    "resnet": pictures.resnet,
    **pictures.CLASSIFIERS,
    "dinov2": pictures.dinov2,
    "bert-multilabel": texts.bert_multilabel,
    "roberta-regression": texts.roberta_regression,
    "distilbert": texts.distilbert,
    "mpnet": texts.mpnet,
    "sentences": texts.sentences,
    "whisper": sounds.whisper,
    "spectrogram": sounds.spectrogram,
    "wav2vec2": sounds.wav2vec2("group", masked=False),
    "wav2vec2-group": sounds.wav2vec2("group", masked=True),
    "wav2vec2-layer": sounds.wav2vec2("layer", masked=True),
    "detr": pictures.detr,
    "yolos": pictures.yolos,
    "rt-detr": pictures.rt_detr,
    "clip": several.clip,
    "clip-logits": several.clip_logits,
    "clip-towers": several.clip_towers,
    "siglip": several.siglip,
    "clap": several.clap(fusion=False),
    "clap-fusion": several.clap(fusion=True),
    "fused": several.fused,
}
