"""A recipe and its evaluation to the model card: README.md of the bundle."""

from pathlib import Path

from models import evaluate
from models.recipe import Recipe
from models.runs import Evaluation

LETTERS = {"text": "T", "image": "I", "audio": "A"}
TEXT = Path(__file__).with_suffix(".md")


def write(recipe: Recipe, found: Evaluation) -> str:
    text, image, audio = (recipe.inputs[part].model_dump() for part in ("text", "image", "audio"))
    return TEXT.read_text(encoding="utf-8").format(
        name=recipe.name,
        version=recipe.version,
        tokens=text["max_tokens"],
        **image["ink"],
        rate=audio["sample_rate"],
        mels=recipe.mel.mels,
        hop=audio["features"]["hop"],
        fusion=recipe.network.fusion,
        folds=len(recipe.folds),
        speakers="; ".join(" and ".join(group) for group in recipe.folds),
        triples=evaluate.TRIPLES,
        steps=recipe.training.steps,
        fold_steps=recipe.training.fold_steps,
        unseen=table(recipe, found),
        by_speaker=listed(found.speakers),
        served=listed(found.served),
    )


def table(recipe: Recipe, found: Evaluation) -> str:
    letters = [LETTERS[part] for part in recipe.inputs]
    subsets = evaluate.subsets(len(letters))
    heads = ["".join(letter for letter, there in zip(letters, subset, strict=True) if there) for subset in subsets]
    lines = [["condition", *heads], ["---"] * (len(heads) + 1)]
    for condition, scores in found.unseen.items():
        lines.append([condition, *(f"{100 * each.accuracy:.1f} / {100 * each.ece:.1f}" for each in scores)])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def listed(accuracies: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * accuracy:.1f} %" for name, accuracy in accuracies.items())
