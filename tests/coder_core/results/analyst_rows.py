"""Runs whose answers are known image by image, from which every table and every expected view follows by counting."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from random import Random

from coder_core.results.schema import (
    ClassComparisonRow,
    ClassMetricRow,
    ConfusionRow,
    FewShotPredictionRow,
    PredictionRow,
)
from coder_core.results.writing import RunWriter
from coder_core.storage.store import Store
from tests.coder_core.results.result_rows import START, run_row

HOSTILE = [
    '<script>alert("x")</script>',
    "O'Brien | `code` ; --",
    "עברית \u202e",
    "🐦\u200d🔥",
    "\x1b[31mred\n",
    "x" * 10_000,
]
"""Names of classes."""


@dataclass(frozen=True)
class Answers:
    """A run, image by image.

    Attributes:
        run_id: The run.
        name: Its evaluation.
        classes: Names by class id.
        labels: Image -> class id.
        methods: Method -> image -> predicted class id; the first is the baseline.
        day: When it was started.
    """

    run_id: str
    name: str
    classes: list[str]
    labels: dict[str, int]
    methods: dict[str, dict[str, int]]
    day: int

    def hits(self, method: str, class_id: int) -> set[str]:
        """Images of a class that a method gets right."""
        said = self.methods[method]
        return {image for image, label in self.labels.items() if label == class_id == said[image]}

    def images(self, class_id: int) -> list[str]:
        """Images of a class."""
        return [image for image, label in self.labels.items() if label == class_id]


def make_answers(run_id: str, name: str, classes: list[str], day: int, seed: int = 0) -> Answers:
    """Draw answers by chance; the last class has no image, and the first image is wrong whoever is asked."""
    chance = Random(f"{run_id}{seed}")
    labels = {f"{classes[at % (len(classes) - 1)][:9]}/{at}": at % (len(classes) - 1) for at in range(40)}
    methods = {
        method: {
            image: chance.choice([label, label, chance.randrange(len(classes))]) for image, label in labels.items()
        }
        for method in ("clip", "coder", "control_waffle")
    }
    methods["clip"][next(iter(labels))] = methods["coder"][next(iter(labels))] = 1
    return Answers(run_id, name, classes, labels, methods, day)


def write(store: Store, answers: Answers, *, is_published: bool = True, few_shot: bool = False) -> None:
    """Write the tables that a run of these answers has; one that is not published has failed before its last file."""
    with RunWriter(store, answers.run_id) as writer:
        writer.append(PredictionRow, prediction_rows(answers))
        writer.append(ClassMetricRow, class_rows(answers))
        writer.append(ConfusionRow, confusion_rows(answers))
        writer.append(ClassComparisonRow, comparison_rows(answers))
        if few_shot:
            writer.append(FewShotPredictionRow, few_shot_rows(answers))
        started_at = START + timedelta(days=answers.day)
        writer.publish(run_row(name=answers.name, started_at=started_at), b"{}")
    if not is_published:
        store.delete(f"tables/runs/{answers.run_id}.parquet")


def prediction_rows(answers: Answers) -> Iterator[PredictionRow]:
    for method, said in answers.methods.items():
        for image, predicted in said.items():
            label = answers.labels[image]
            yield PredictionRow(
                method=method,
                image_id=image,
                label=label,
                label_name=answers.classes[label],
                predicted=predicted,
                predicted_name=answers.classes[predicted],
                probability=probability_of(method, image),
                is_correct=predicted == label,
                top5=[predicted],
                protocol="honest",
                location=f"/images/{image}",
            )


def probability_of(method: str, image: str) -> float:
    """Some number that differs between methods and images."""
    return (len(method) * 37 + int(image.rpartition("/")[2])) % 100 / 100


def few_shot_rows(answers: Answers) -> Iterator[FewShotPredictionRow]:
    """A method that says with two draws of 1 and 4 shots what CLIP says, but that 4 shots rescue every odd image."""
    for shots, seed in ((1, 1), (1, 2), (4, 1), (4, 2)):
        for image, predicted in answers.methods["clip"].items():
            label = answers.labels[image]
            said = label if shots == 4 and int(image.rpartition("/")[2]) % 2 else predicted
            yield FewShotPredictionRow(
                method="tip_adapter",
                shots=shots,
                seed=seed,
                image_id=image,
                label=label,
                label_name=answers.classes[label],
                predicted=said,
                predicted_name=answers.classes[said],
                is_correct=said == label,
            )


def class_rows(answers: Answers) -> Iterator[ClassMetricRow]:
    for method in answers.methods:
        for class_id, name in enumerate(answers.classes):
            n = len(answers.images(class_id))
            recall = len(answers.hits(method, class_id)) / n if n else None
            yield ClassMetricRow(
                method=method, class_id=class_id, class_name=name, n=n, recall=recall, protocol="honest"
            )


def confusion_rows(answers: Answers) -> Iterator[ConfusionRow]:
    for method, said in answers.methods.items():
        counts = Counter((answers.labels[image], predicted) for image, predicted in said.items())
        for (label, predicted), count in counts.items():
            if label != predicted:
                yield ConfusionRow(
                    method=method,
                    class_id=label,
                    class_name=answers.classes[label],
                    predicted=predicted,
                    predicted_name=answers.classes[predicted],
                    count=count,
                    protocol="honest",
                )


def comparison_rows(answers: Answers) -> Iterator[ClassComparisonRow]:
    """CODER against CLIP; p is no p here, but a number on either side of 0.05."""
    for class_id, name in enumerate(answers.classes):
        if n := len(answers.images(class_id)):
            base, own = answers.hits("clip", class_id), answers.hits("coder", class_id)
            yield ClassComparisonRow(
                method="coder",
                baseline="clip",
                class_id=class_id,
                class_name=name,
                n=n,
                recall_baseline=len(base) / n,
                recall=len(own) / n,
                gained=len(own - base),
                lost=len(base - own),
                p_value=0.01,
                p_holm=0.01 if class_id % 2 == 0 else 0.2,
                protocol="honest",
            )
