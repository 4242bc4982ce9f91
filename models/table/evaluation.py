"""What `evaluate` found, as a run's folder keeps it for `export`."""

from pydantic import BaseModel


class Evaluation(BaseModel):
    scores: dict[str, dict[str, dict[str, float]]]  # task -> subset -> measure
    robustness: dict[str, dict[str, list[float]]]
    pictures: dict[str, list[str]]
    notes: list[str]
    again: list[dict[str, dict[str, dict[str, float]]]] = []  # scores of the trainings that repeat it

    def spread(self, task: str) -> dict[str, dict[str, list[float]]]:
        """Subset -> measure -> what each training found, the first one being the one that is served."""
        every = [self.scores[task], *(each[task] for each in self.again)]
        return {
            subset: {name: [one[subset][name] for one in every if name in one.get(subset, {})] for name in held}
            for subset, held in self.scores[task].items()
            if any(subset in each[task] for each in self.again)
        }
