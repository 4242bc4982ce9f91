"""The example of the digits bundle, made by ourselves: `python -m models.example` draws, speaks and writes it again."""

from pathlib import Path

import PIL.Image
import PIL.ImageDraw

from models.augment.audio import wav
from models.augment.image import png
from models.augment.voices import speak

FOLDER = Path(__file__).parent / "datasets" / "example"
WAY = [(80, 90), (212, 80), (158, 160), (122, 252)]  # of the pen, on a canvas of 300 x 300


def parts() -> dict[str, tuple[str, bytes]]:
    """Part -> file ending, bytes."""
    return {file.stem: (file.suffix[1:], file.read_bytes()) for file in sorted(FOLDER.iterdir())}


def make(folder: Path) -> None:
    """A seven: written, drawn in black on white, spoken by espeak-ng."""
    folder.mkdir(exist_ok=True)
    (folder / "text.txt").write_text("my answer is seven\n")
    (folder / "image.png").write_bytes(png(drawing()))
    (folder / "audio.wav").write_bytes(wav(*speak("seven", "en-us")))


def drawing() -> PIL.Image.Image:
    canvas = PIL.Image.new("L", (300, 300), 255)
    draw = PIL.ImageDraw.Draw(canvas)
    draw.line(WAY, 0, 18, joint="curve")
    for x, y in (WAY[0], WAY[-1]):
        draw.ellipse((x - 9, y - 9, x + 9, y + 9), 0)
    return canvas


if __name__ == "__main__":
    make(FOLDER)
