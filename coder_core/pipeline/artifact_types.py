"""The kinds of artifact, each a type: mypy sees where one is given for another."""

from typing import ClassVar

from coder_core.fingerprint import Json
from coder_core.input_contract import InputContract
from coder_core.pipeline.artifact_handle import ArtifactHandle, Handle
from coder_core.results.schema import ThresholdRow
from coder_core.texts.kinds import TextKind


class ClassesArtifact(ArtifactHandle):
    """A class list."""

    kind: ClassVar[str] = "classes"

    class_count: int


class ImagesArtifact(ArtifactHandle):
    """A listing of images, cut into parts: ids, and where each picture is, what it is, or what its features are."""

    kind: ClassVar[str] = "images"


class LabelsArtifact(ArtifactHandle):
    """The class of each image of a listing. No prediction step takes one, except under `protocol: reference`."""

    kind: ClassVar[str] = "labels"


class IgnoredArtifact(ArtifactHandle):
    """Files beside the images that are none, with their reasons; of very many the first."""

    kind: ClassVar[str] = "ignored"

    count: int


class NewImages(Handle):
    """Images that nobody has labelled, and what lies beside them."""

    images: ImagesArtifact
    ignored: IgnoredArtifact


class Dataset(Handle):
    """A data set in the store; `images` says nothing about `labels`.

    Attributes:
        name: As tables show it.
        ignored: Files under its folders that are no images.
    """

    name: str
    classes: ClassesArtifact
    images: ImagesArtifact
    labels: LabelsArtifact
    ignored: IgnoredArtifact


class ShownImagesArtifact(ArtifactHandle):
    """Labelled images as a language model is shown them: class, id, content key and JPEG of each, class by class.

    Attributes:
        unreadable: Images that would have been taken and could not be read.
    """

    kind: ClassVar[str] = "shown_images"

    unreadable: int = 0


class ShownImages(Handle):
    """The pictures of an evaluation.

    Attributes:
        chosen: All of them.
        left_out: Content keys of those that are test images as well, sorted: they are not shown.
    """

    chosen: ShownImagesArtifact
    left_out: tuple[str, ...] = ()


class TextBankArtifact(ArtifactHandle):
    """What is said about the classes: phrases, from every source.

    Attributes:
        pictured_kinds: Kinds of text of which some were written from labelled images, in the order of `TextKind`.
    """

    kind: ClassVar[str] = "text_bank"

    pictured_kinds: tuple[TextKind, ...] = ()


class TextsArtifact(ArtifactHandle):
    """Sentences, one row each."""

    kind: ClassVar[str] = "texts"

    class_count: int
    unique_texts: int


class TextEmbeddingsArtifact(ArtifactHandle):
    """Where the unique texts of a table lie in the encoder's space: keys of a ledger, in order."""

    kind: ClassVar[str] = "text_embeddings"


class ImageEmbeddingsArtifact(ArtifactHandle):
    """Where images lie in the encoder's space: keys of a ledger, in the order and parts of the listing."""

    kind: ClassVar[str] = "image_embeddings"

    quarantined: int
    unread: str | None = None
    """sha256 of the ids of images that the store behind the listing did not give; a later run asks for them again."""

    def identity(self) -> Json:
        """The key, and which images are missing for no fault of theirs."""
        return self.key if self.unread is None else [self.key, self.unread]

    @property
    def usable(self) -> int:
        """Images that have a place."""
        return self.rows - self.quarantined


class ClassifierArtifact(ArtifactHandle):
    """A classifier taken apart into numbers; `coder_core.classifiers` puts it together again."""

    kind: ClassVar[str] = "classifier"

    method: str


class ChosenTextsArtifact(ClassifierArtifact):
    """CODER on texts that support images have chosen.

    Attributes:
        kept: Share of each class's descriptions that stay, in [0, 1]; 0 for names alone.
        images: Support images that this share was chosen on; 0 where it is the default.
    """

    kept: float
    images: int


class BatchFound(Handle):
    """What a batch of unlabelled images was taken for.

    Attributes:
        stage1: What the transduction stands upon.
        batch: `balanced`, `all_classes`, `few_classes`, or `nothing`: then it is stage 1 itself; `stated` where nothing
            was to be found out.
        reason: Why, with the numbers.
        images: Images learnt from.
        unusable: Images left out, because their vectors hold numbers that are not finite.
        classes_off: Classes that no image claims.
        effective_classes: exp of the entropy of the classes' shares.
        prior_evidence: Nats per image left out by which an estimated class prior is better than equal shares.
        image_evidence: Nats per image left out by which images say better where classes lie than texts.
        temperature: That its logits were divided by.
    """

    stage1: str
    batch: str
    reason: str
    images: int
    unusable: int
    classes_off: int
    effective_classes: float
    prior_evidence: float
    image_evidence: float
    temperature: float


class TransducedArtifact(ClassifierArtifact, BatchFound):
    """A classifier that a batch of unlabelled images has taught, and what the batch was taken for."""


class BatchAnswersArtifact(ArtifactHandle, BatchFound):
    """What a transduction that makes no classifier says of every image of its batch: logarithms of the classes' shares.

    In the parts of the image embeddings; nothing in it answers a further image.
    """

    kind: ClassVar[str] = "batch_answers"

    method: str
    class_count: int


class PredictionsArtifact(ArtifactHandle):
    """What a method says about images, in the parts of their embeddings."""

    kind: ClassVar[str] = "predictions"

    method: str
    protocol: str


class ConfusedPairsArtifact(ArtifactHandle):
    """Pairs of classes that uncertain images stand between, most frequent first."""

    kind: ClassVar[str] = "confused_pairs"

    images: int
    gated: int
    pairs: int


class RerankThreshold(Handle):
    """The threshold of the rerank's gate, and where it comes from: `constant`, or `validation` with the search."""

    threshold: float
    source: str
    n: int = 0
    tried: tuple[ThresholdRow, ...] = ()


class Temperature(Handle):
    """A temperature, and what it was chosen on.

    Attributes:
        temperature: Above 0.
        n: Validation images.
        loss_before: Their mean negative log-likelihood at temperature 1, in nats.
        loss: The same at this temperature.
    """

    temperature: float
    n: int
    loss_before: float
    loss: float


class BatchTemperature(Handle):
    """A temperature that the images under test suggest, without labels.

    Attributes:
        temperature: Above 0; 1 where the batch says nothing.
        n: Images that it was found on.
        batch: What the batch was taken for, as a transduction says it.
    """

    temperature: float
    n: int
    batch: str


class FewShotChoice(Handle):
    """How the settings of a few-shot method were chosen, and its temperature.

    Attributes:
        settings: What was chosen.
        source: `validation`, `leave_one_out` or `default`.
        n: Images it was chosen on.
        accuracy: Top-1 accuracy on them.
        tried: Settings compared.
        temperature: What its scores are divided by; 1 where none was chosen.
        calibrated_on: `validation`, `batch` (the images under test, without labels), `none`, or `stage1`: a batch
            has moved what had a temperature, and what came of it is as sure as that was.
    """

    settings: dict[str, float]
    source: str
    n: int
    accuracy: float | None
    tried: int
    temperature: float = 1.0
    calibrated_on: str = "none"

    @property
    def is_calibrated(self) -> bool:
        """Whether a temperature was chosen."""
        return self.calibrated_on != "none"

    def reads(self, contract: InputContract) -> InputContract:
        """The contract of the method, and what these choices read: labels of validation images, or the batch."""
        labels = contract.also(labels="validation") if "validation" in (self.source, self.calibrated_on) else contract
        return labels.also(unlabelled_images=True) if self.calibrated_on == "batch" else labels

    def with_temperature(self, temperature: float, calibrated_on: str) -> "FewShotChoice":
        """The same settings under a temperature."""
        return self.model_copy(update={"temperature": temperature, "calibrated_on": calibrated_on})


class FewShotFitsArtifact(ArtifactHandle):
    """Few-shot classifiers fitted on one draw, one part per method.

    Attributes:
        shots: Support images per class.
        seed: Of the draw.
        dropped: Pool images left out, because they are test images as well.
        choices: How the settings of each method were chosen.
        found: Of transductions of such classifiers: what each took the batch for.
    """

    kind: ClassVar[str] = "few_shot_fits"

    shots: int
    seed: int
    dropped: int
    choices: dict[str, FewShotChoice]
    found: dict[str, BatchFound] = {}  # noqa: RUF012 - pydantic copies a default


class FewShotPredictionsArtifact(ArtifactHandle):
    """What the few-shot classifiers of one draw say, in the parts of the image embeddings.

    Attributes:
        shots: Support images per class.
        seed: Of the draw.
        methods: Whose columns it has.
        calibrated: Those among them that have a temperature: their probabilities without it are there, too.
    """

    kind: ClassVar[str] = "few_shot_predictions"

    shots: int
    seed: int
    methods: tuple[str, ...]
    calibrated: tuple[str, ...] = ()


class CoderMatrixArtifact(ArtifactHandle):
    """The explicit CODER matrix, images x texts."""

    kind: ClassVar[str] = "coder_matrix"

    texts: int


class AblationArtifact(ArtifactHandle):
    """Accuracy against number and kinds of texts."""

    kind: ClassVar[str] = "ablation"


class MeasurementArtifact(ArtifactHandle):
    """What one method is worth: the rows of its result tables, one part per table."""

    kind: ClassVar[str] = "measurement"

    tables: tuple[str, ...]


class NamedPredictionsArtifact(ArtifactHandle):
    """Predictions in words: names of classes instead of ids, and the images that could not be read."""

    kind: ClassVar[str] = "named_predictions"
