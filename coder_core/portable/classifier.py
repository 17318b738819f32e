"""An exported classifier at work, in five lines and without a store:

from coder_core import load_classifier

classifier = load_classifier("birds/", encoder="ViT-B-32/laion2b_s34b_b79k")
for answer in classifier.predict(["a.jpg", "b.jpg"]):
print(answer.image, answer.label, answer.probability)
"""

import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from coder_core.counted import counted
from coder_core.encoders.base import Encoder, IdentifiedEncoder
from coder_core.encoders.model_names import encoder_settings
from coder_core.encoders.registry import identify_encoder, load_encoder
from coder_core.errors import CheckpointError, ClassifierStateError, ConfigError
from coder_core.portable.card import TENSORS, ClassifierCard, read_card, read_sealed
from coder_core.portable.image_reading import GivenImage, ReadyImage, prepare_batches

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float
    from torch import Tensor

    from coder_core.coder.classifier import Classifier
    from coder_core.coder.text_shares import Explanation
    from coder_core.evaluation.predictions import Predictions

BATCH = {"cpu": 32}
BATCH_ON_ACCELERATOR = 256
"""Images of a forward pass, as a run takes them."""
TOP = 5


class TextShare(NamedTuple):
    """What one text adds to the margin between the best class and the next; all shares add up to it."""

    share: float
    cosine: float
    kind: str
    class_name: str
    text: str


class Answer(NamedTuple):
    """What one image shows.

    Args:
        image: Its path, or its number.
        label: The best class; None where the image could not be read.
        probability: Of that class, calibrated where the export could.
        gap: How far it is ahead of the next class; 1 where there is no other.
        is_none_of_these: Whether the probability is below the cutoff: the label is then a guess that is not given.
        top: The best classes with their probabilities, best first.
        problem: What is wrong with the image.
        texts: Why, where that was asked for: the texts that speak for and against, the largest share first.
    """

    image: str
    label: str | None = None
    probability: float | None = None
    gap: float | None = None
    is_none_of_these: bool = False
    top: tuple[tuple[str, float], ...] = ()
    problem: str | None = None
    texts: tuple[TextShare, ...] = ()


class AdaptedAnswers(NamedTuple):
    """Answers of a classifier that a batch of images, without labels, has moved.

    Args:
        answers: One per image, in order.
        batch: What the images were taken for: `balanced`, `all_classes`, `few_classes`; `nothing` where the classifier
            itself has answered.
        reason: Why, with the numbers.
    """

    answers: list[Answer]
    batch: str
    reason: str


class PortableClassifier:
    """An exported classifier, its encoder loaded. Made by `load_classifier`."""

    def __init__(self, folder: Path, card: ClassifierCard, model: Encoder, *, device: str) -> None:
        self.card = card
        self._folder, self._model, self._device = folder, model, device
        self._classifier = _restore(folder, card, device)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The classes that it knows, in label order."""
        return self.card.classes

    def predict(
        self, images: Iterable[GivenImage], *, explain: bool = False, none_below: float | None = None
    ) -> list[Answer]:
        """Say what some images show; `stream` for more than fit into memory.

        Args:
            images: As for `stream`.
            explain: As for `stream`.
            none_below: As for `stream`.
        """
        return list(self.stream(images, explain=explain, none_below=none_below))

    def stream(
        self,
        images: Iterable[GivenImage],
        *,
        explain: bool = False,
        none_below: float | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> Generator[Answer, None, None]:
        """Say what images show, one batch at a time, in order; reading and decoding run ahead of the model.

        Args:
            images: Paths, URLs, bytes of files, or opened images; a generator is read lazily.
            explain: Whether to say which texts decided; for methods whose texts were exported.
            none_below: Smallest probability of an answer; default: the one chosen on validation images, if any.
            batch_size: Images of a forward pass; default: 32 on a CPU, 256 elsewhere.
            workers: Threads that read and decode; default: one per core.

        Returns:
            One answer per image, made when it is asked for; of one that cannot be read its `problem`.

        Raises:
            ConfigError: `explain`, and the method's texts were not exported; at once.
        """
        if explain:
            self._check_explainable()
        chosen = self.card.none_of_these.threshold if self.card.none_of_these else 0.0
        cutoff = chosen if none_below is None else none_below
        return self._answers(self._batches(images, batch_size, workers), cutoff, explain=explain)

    def _answers(
        self, batches: Iterable[list[ReadyImage]], cutoff: float, *, explain: bool
    ) -> Generator[Answer, None, None]:
        for batch in batches:
            yield from self._answer(batch, cutoff, explain=explain)

    def adapt(
        self,
        images: Iterable[GivenImage],
        *,
        none_below: float | None = None,
        batch_size: int | None = None,
        workers: int | None = None,
    ) -> "AdaptedAnswers":
        """Say what images show after all of them together, without labels, have moved the classifier.

        All are embedded before the first is answered, and their vectors held in memory (2 kB each of 512 dimensions).
        Where they say too little, the classifier itself answers.

        Args:
            images: As for `stream`.
            none_below: Smallest probability of an answer; default: none, for the limit that was chosen on validation
                images is that of the classifier itself, and holds where that answers.
            batch_size: As for `stream`.
            workers: As for `stream`.

        Raises:
            ConfigError: It is not known which texts the method has of its classes.
        """
        import torch

        from coder_core.portable.adapting import adapt_to

        embedded = [(_names(batch), self._embed_usable(batch)) for batch in self._batches(images, batch_size, workers)]
        vectors = torch.cat([rows for _, rows in embedded] or [torch.zeros(0, self.card.encoder.dim)])
        found = adapt_to(self._folder, self.card, self._classifier, vectors)
        chosen = self.card.none_of_these.threshold if self.card.none_of_these and not found.has_moved else 0.0
        cutoff = chosen if none_below is None else none_below
        answers = [answer for batch, rows in embedded for answer in self._say(batch, rows, found.classifier, cutoff)]
        return AdaptedAnswers(answers, found.batch, found.reason)

    def _batches(
        self, images: Iterable[GivenImage], batch_size: int | None, workers: int | None
    ) -> Iterator[list[ReadyImage]]:
        size = batch_size or BATCH.get(self._device, BATCH_ON_ACCELERATOR)
        return prepare_batches(images, self._model, batch_size=size, workers=workers or os.cpu_count() or 1)

    def embed(self, batch: list[ReadyImage]) -> "Float[np.ndarray, 'images dim']":
        """The embeddings of the images of a batch that could be read."""
        return self._model.encode_images([image.prepared for image in batch if image.problem is None])

    def _answer(self, batch: list[ReadyImage], cutoff: float, *, explain: bool) -> Iterator[Answer]:
        yield from self._say(batch, self._embed_usable(batch), self._classifier, cutoff, explain=explain)

    def _embed_usable(self, batch: list[ReadyImage]) -> "Float[Tensor, 'usable dim']":
        import torch

        if all(image.problem is not None for image in batch):
            return torch.zeros(0, self.card.encoder.dim, device=self._device)
        return torch.from_numpy(self.embed(batch)).to(self._device)

    def _say(
        self,
        batch: list[ReadyImage],
        vectors: "Float[Tensor, 'usable dim']",
        by: "Classifier",
        cutoff: float,
        *,
        explain: bool = False,
    ) -> Iterator[Answer]:
        """Answers to the images of a batch, by some classifier."""
        from coder_core.classifiers import predict_with

        rows = [str(row) for row in range(len(vectors))]
        found = predict_with(by, vectors, rows, method=self.card.method, k=TOP) if rows else None
        row = 0
        for image in batch:
            if image.problem is not None or found is None:
                yield Answer(image.name, problem=image.problem)
                continue
            answer = self._name(image.name, found, row, cutoff)
            yield answer._replace(texts=self._explain(vectors[row].cpu(), found, row)) if explain else answer
            row += 1

    def _name(self, image: str, found: "Predictions", row: int, cutoff: float) -> Answer:
        ids, probabilities = found.top_ids[row].tolist(), found.top_probabilities[row].tolist()
        top = tuple(zip([self.card.classes[label] for label in ids], probabilities, strict=True))
        gap = probabilities[0] - probabilities[1] if len(ids) > 1 else 1.0
        return Answer(image, top[0][0], probabilities[0], gap, probabilities[0] < cutoff, top)

    def _check_explainable(self) -> None:
        if not self.card.texts:
            problem = f"{self.card.method!r} cannot be explained text by text, or was exported without its texts."
            raise ConfigError(problem, str(self._folder), "Export clip, vcd or coder, with texts.")

    def _explain(self, image: object, found: "Predictions", row: int) -> tuple[TextShare, ...]:
        from coder_core.portable.text_explanation import explain_answer

        ids = found.top_ids[row].tolist()
        if len(ids) < 2:
            return ()
        explained: Explanation = explain_answer(self._folder, self.card, image, winner=ids[0], runner_up=ids[1])
        texts, names = list(dict.fromkeys(text.text for text in self.card.texts)), self.card.classes
        return tuple(
            TextShare(part.contribution, part.cosine, str(part.kind), names[part.class_id], texts[part.column])
            for part in explained.contributions
        )


def _names(batch: list[ReadyImage]) -> list[ReadyImage]:
    """Without the pictures, which are large."""
    return [image._replace(prepared=None) for image in batch]


def load_classifier(path: str | Path, *, encoder: str | None = None, device: str = "auto") -> PortableClassifier:
    """Load an exported classifier and its encoder; no store and no Prefect is needed.

    Args:
        path: The folder that `coder-eval export` wrote.
        encoder: The model, as `coder-eval try --model` takes it; default: where the run's config had it.
        device: `auto`, `cpu`, `cuda`, `cuda:1` or `mps`.

    Raises:
        InputError: The folder holds no classifier.
        ClassifierStateError: It was edited or damaged.
        CheckpointError: The encoder is not there, or is another one: its embeddings would mean nothing here.
    """
    folder = Path(path)
    card = read_card(folder)
    found = _find_encoder(card, encoder)
    if found.key != card.encoder.key:
        raise CheckpointError(
            f"the classifier was made with the encoder {card.encoder.label} ({card.encoder.key[:12]}), this is "
            f"{found.label} ({found.key[:12]}): weights, preprocessing or numerics differ.",
            str(folder),
            "Give the encoder that it was made with.",
        )
    from coder_core.encoders.device import list_devices

    chosen = list_devices(device)[0]
    return PortableClassifier(folder, card, load_encoder(found, device=chosen), device=chosen)


def _find_encoder(card: ClassifierCard, encoder: str | None) -> IdentifiedEncoder:
    from pydantic import TypeAdapter

    from coder_core.specs import EncoderSpec

    kept = {name: value for name, value in card.encoder.settings.items() if name in ("precision", "jpeg_draft")}
    settings = card.encoder.settings if encoder is None else {**encoder_settings(encoder), **kept}
    try:
        return identify_encoder(TypeAdapter[EncoderSpec](EncoderSpec).validate_python(settings))
    except CheckpointError as error:
        if encoder is not None:
            raise
        remedy = f"{error.remedy} Or say where it is here: encoder=..., or --model."
        raise CheckpointError(error.problem, error.place, remedy) from error


def _restore(folder: Path, card: ClassifierCard, device: str) -> "Classifier":
    from safetensors.torch import load

    from coder_core.classifiers import TemperedClassifier, restore_classifier
    from coder_core.coder.classifier import ClassifierState

    tensors = load(read_sealed(folder, TENSORS, card.tensors))
    classifier = restore_classifier(ClassifierState(card.kind, card.settings, tensors), device=device)
    shape = classifier.shape
    if shape != (len(card.classes), card.encoder.dim):
        wanted = f"{counted(len(card.classes), 'class')} and {card.encoder.dim} dimensions"
        problem = f"its numbers are of {tuple(shape)}, its card says {wanted}."
        raise ClassifierStateError(problem, str(folder), "Export it again.")
    if card.calibration is None or card.kind == "tempered":
        return classifier
    return TemperedClassifier(classifier, card.calibration.temperature)
