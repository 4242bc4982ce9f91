"""The model card of an imported bundle: what it takes, what it answers, what was not known."""

from collections.abc import Sequence

from models.importers.huggingface.layout import Export
from service.bundle import Manifest

TEMPLATE = """# {name}

{architecture}, imported from `{source}` by `python -m models import huggingface`. Its own card, licence and limits are
those of the repository that it comes from.

| part | what becomes of it |
|---|---|
{parts}

Answers under {outputs}. The example's row was made by {reference}.

```
{curl}
```
{notes}"""
FIELDS = {
    "text": '-F text="Two cats sleep"', "image": "-F image=@example/image.png", "audio": "-F audio=@example/audio.wav",
}  # fmt: skip


def write(manifest: Manifest, export: Export, said: Sequence[str]) -> str:
    architecture = ", ".join(export.config.get("architectures") or [str(export.config.get("model_type", "a model"))])
    specs = {name: spec.model_dump(exclude_unset=True) for name, spec in manifest.inputs.items()}
    parts = "\n".join(f"| `{name}` | {told(spec)} |" for name, spec in specs.items())
    fields = " ".join(FIELDS[name] for name in specs)
    notes = "\n".join(["", "What the import had to assume:", "", *(f"- {line}" for line in said), ""]) if said else ""
    return TEMPLATE.format(
        name=manifest.name,
        architecture=architecture,
        source=export.folder.resolve().name,
        parts=parts,
        outputs=", ".join(f"`{name}`" for name in manifest.outputs),
        reference=manifest.reference,
        curl=f"curl {fields} http://127.0.0.1:8000/v1/models/{manifest.name}/predict",
        notes=notes,
    )


def told(spec: dict[str, object]) -> str:
    """Key and value of each step, as the manifest has them."""
    steps = {key: value for key, value in spec.items() if key not in ("kind", "tensors", "tokenizer")}
    return "; ".join(f"{key} {value}" for key, value in steps.items()) or "as it is"
