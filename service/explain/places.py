"""Where in each part an answer lies: parts and target -> the document of POST explain."""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from service.explain import canvas, heat
from service.explain.canvas import Canvas, Content
from service.explain.occlusion import Found, Method, search
from service.explain.target import Target
from service.inputs import Audio, Image, Text
from service.inputs.text import decoded
from service.model import Model
from service.types import Array, Parts, Row

T = TypeVar("T")
Places = Generator[list[Row], Sequence[Row], dict[str, Any]]  # yields rows to run, is sent the graph's answers


@dataclass(frozen=True)
class Question:
    model: Model
    parts: Parts
    row: Row  # of all parts, with the graph's outputs
    target: Target
    method: Method

    @property
    def whole(self) -> float:
        return self.target.value(self.row, self.model.manifest)

    def find(
        self, part: str, canvas: Canvas, spent: int = 0, whole: float | None = None
    ) -> Generator[list[Row], Sequence[Row], Found]:
        """Rows with pieces of one part taken away -> what each piece is worth. `spent` of the budget is gone."""
        method = replace(self.method, budget=max(1, self.method.budget - spent))
        work = search(method, canvas, lambda data: self.changed(part, data), self.whole if whole is None else whole)
        try:
            rows = next(work)
            while True:
                answers = yield rows
                rows = work.send(self.numbers(rows, answers))
        except StopIteration as end:
            found: Found = end.value
            return found

    def changed(self, part: str, content: Content) -> Row:
        """The whole row with another content of one part."""
        encode = self.model.encode_part if isinstance(content, bytes) else self.model.encode_bare
        return self.row | encode(part, content)  # type: ignore[arg-type]  # each takes its own

    def numbers(self, rows: list[Row], answers: Sequence[Row]) -> Array:
        manifest = self.model.manifest
        return np.array([self.target.value(row | answer, manifest) for row, answer in zip(rows, answers, strict=True)])


def places(question: Question) -> Places:
    """Part -> where in it; values are how much the target's number falls when a place is taken away."""
    work = in_parts(question)
    rows, spent = next(work), 0
    while True:
        spent += len(rows)
        answers = yield rows
        try:
            rows = work.send(answers)
        except StopIteration as end:
            said = {**question.target.said(), "all": question.whole, "method": question.method.name}
            return {**said, "parts": end.value, "rows": spent}


def in_parts(question: Question) -> Places:
    found: dict[str, Any] = {}
    for part, data in question.parts.items():
        spec = question.model.manifest.inputs[part]
        if isinstance(spec, Image):
            found[part] = yield from in_image(question, part, data)
        elif isinstance(spec, Audio):
            found[part] = yield from in_audio(question, part, spec, data)
        elif isinstance(spec, Text):
            found[part] = yield from in_text(question, part, data)
    return found


def in_image(question: Question, part: str, data: bytes) -> Places:
    painting = canvas.painting(question.model.bare(part, data))
    whole = None
    if painting.factor > 1:  # made smaller, it says a little less
        rows = [question.changed(part, painting.without([]))]
        answers = yield rows
        whole = float(question.numbers(rows, answers)[0])
    found = yield from question.find(part, painting, spent=int(whole is not None), whole=whole)
    regions = [{"box": list(box), "value": value} for box, value in found]
    return {"size": list(painting.size), "regions": regions, "overlay": {"base64": heat.over_picture(painting, found)}}


def in_audio(question: Question, part: str, spec: Audio, data: bytes) -> Places:
    question = replace(question, method=replace(question.method, budget=question.method.sounds))
    sound = canvas.recording(question.model.bare(part, data), spec.sample_rate)
    bands = yield from question.find(part, canvas.spectrum(sound))
    times = sorted((yield from question.find(part, sound, spent=len(bands))))
    return {
        "seconds": len(sound.samples) / sound.rate,
        "times": [{"start": start, "end": end, "value": value} for (start, end), value in times],
        "bands": [{"low": low, "high": high, "value": value} for (low, high), value in bands],
        "overlay": {"base64": heat.over_spectrogram(sound, times, bands)},
    }


def in_text(question: Question, part: str, data: bytes) -> Places:
    text = decoded(data)
    half = max(1, question.method.budget // 2)
    words = yield from question.find(part, canvas.words(text, half), spent=half)
    tokens = yield from question.find(part, canvas.tokens(text, question.model.spans(part), half), spent=half)
    return {"words": spans(text, words), "tokens": spans(text, tokens)}


def spans(text: str, found: Found) -> list[dict[str, Any]]:
    return [
        {"text": text[int(start) : int(end)], "start": int(start), "end": int(end), "value": value}
        for (start, end), value in sorted(found)
    ]


def answered(work: Generator[list[Row], Sequence[Row], T], run: Callable[[list[Row]], Sequence[Row]]) -> T:
    """Without a server: runs what is asked for until the answer is there."""
    try:
        rows = next(work)
        while True:
            rows = work.send(run(rows))
    except StopIteration as end:
        answer: T = end.value
        return answer
