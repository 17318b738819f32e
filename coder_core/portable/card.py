"""What stands in `classifier.json`: everything about an exported classifier but its numbers.

The card is sealed by a hash of itself and of the tensors beside it: what was edited by hand is refused, because no
number in it could be trusted any more.
"""

import json
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from coder_core.errors import ClassifierStateError, InputError
from coder_core.expected_values import describe_refusal
from coder_core.fingerprint import canonical_json, content_hash
from coder_core.input_contract import InputContract

CARD = "classifier.json"
TENSORS = "classifier.safetensors"
TEXTS = "texts.safetensors"
ONNX = "classifier.onnx"
TOO_LARGE = 64 * 2**20


class _Part(BaseModel):
    """Closed and frozen."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class EncoderCard(_Part):
    """Whose embeddings the classifier reads.

    Attributes:
        key: The identity: weights, preprocessing and numerics.
        label: For people.
        dim: Length of an embedding.
        settings: How the run's config named it; another place is given to `load_classifier`.
        preprocessing: How an image becomes its input, where the model's own configuration says it.
    """

    key: str
    label: str
    dim: int
    settings: dict[str, Any]
    preprocessing: dict[str, Any] | None = None


class CalibrationCard(_Part):
    """Where probabilities come from.

    Attributes:
        temperature: What logits are divided by.
        images: Validation images that it was chosen on; 0 where the run had chosen it.
    """

    temperature: float
    images: int


class CutoffCard(_Part):
    """When "none of these" is said; see `evaluation.abstaining.Cutoff`."""

    threshold: float
    precision: float
    kept: int
    images: int


class TextCard(_Part):
    """One text that the classifier was made of, for explanations; its vector is a row of `texts.safetensors`."""

    text: str
    kind: str
    class_id: int
    rival_id: int | None = None


class Provenance(_Part):
    """Where the classifier comes from."""

    run_id: str
    evaluation: str
    started_at: str
    dataset: str
    dataset_key: str
    texts_key: str
    bank_key: str
    code_version: str


class ClassifierCard(_Part):
    """An exported classifier without its numbers.

    Attributes:
        format: Of this file.
        method: What it is called in its run.
        shots: Images per class that it learnt from; None for none.
        classes: Names in label order.
        class_ids: What a class list kept outside calls them.
        kind: Kind of classifier (`coder_core.classifiers.CLASSIFIERS`).
        settings: Its plain settings.
        encoder: Whose embeddings.
        logit_scale: Factor from similarity to logit, for explanations.
        calibration: None where nothing was chosen on validation images.
        none_of_these: None where there were no validation images, or no cut is good enough.
        contract: What the method has read.
        provenance: Its run.
        texts: What it was made of; empty where that was not exported.
        tensors: sha256 of `classifier.safetensors`.
        text_vectors: sha256 of `texts.safetensors`; None where there is none.
    """

    format: Literal["coder-classifier/1"] = "coder-classifier/1"
    method: str
    shots: int | None = None
    classes: tuple[str, ...]
    class_ids: tuple[str, ...] | None = None
    kind: str
    settings: dict[str, Any]
    encoder: EncoderCard
    logit_scale: float
    calibration: CalibrationCard | None = None
    none_of_these: CutoffCard | None = None
    contract: InputContract
    provenance: Provenance
    texts: tuple[TextCard, ...] = ()
    tensors: str = ""
    text_vectors: str | None = None


def encode_card(card: ClassifierCard) -> str:
    """Write a card, sealed."""
    document = card.model_dump(mode="json")
    return json.dumps({**document, "seal": _seal(document)}, ensure_ascii=False, indent=1) + "\n"


def read_card(folder: Path) -> ClassifierCard:
    """Read the card of an exported classifier.

    Raises:
        InputError: The folder holds none.
        ClassifierStateError: It was edited, or is of another version.
    """
    place = folder / CARD
    try:
        if place.stat().st_size > TOO_LARGE:
            raise InputError(f"it has more than {TOO_LARGE} bytes.", str(place), "Export the classifier again.")
        document = json.loads(place.read_text("utf-8"))
    except OSError as error:
        problem = f"this is no exported classifier: {CARD} cannot be read ({error.strerror})."
        raise InputError(problem, str(folder), "Make one: coder-eval export RUN --method M FOLDER.") from error
    except (ValueError, RecursionError) as error:
        raise _edited(place, "it is no JSON") from error
    if not isinstance(document, dict) or not _is_sealed(document.pop("seal", None), document):
        raise _edited(place, "its contents are not those that were written")
    try:
        return ClassifierCard.model_validate(document)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _edited(place, f"{where}: {describe_refusal(first)}") from error


def read_sealed(folder: Path, name: str, expected: str | None) -> bytes:
    """Read a file beside the card.

    Raises:
        ClassifierStateError: It is missing, or not the one that was written.
    """
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise _edited(folder / name, f"it cannot be read ({error.strerror})") from error
    if content_hash(content) != expected:
        raise _edited(folder / name, "its contents are not those that were written")
    return content


def _seal(document: dict[str, Any]) -> str:
    return content_hash(canonical_json(document).encode("utf-8"))


def _is_sealed(seal: object, document: dict[str, Any]) -> bool:
    try:
        return seal == _seal(document)
    except (TypeError, ValueError, RecursionError):  # it holds what no card does, such as NaN
        return False


def _edited(place: Path, reason: str) -> ClassifierStateError:
    remedy = "Export the classifier again; what it says is decided by its run."
    return ClassifierStateError(
        f"it was edited, damaged, or written by another version ({reason}).", str(place), remedy
    )
