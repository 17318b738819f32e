"""A handful of images per class through the encoder: do labels, names and texts speak of the same things?

What is embedded here is in the ledger for the run that follows, so looking first costs that run nothing.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from coder_core.classes import ClassList
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import find_family
from coder_core.errors import FeatureFileError
from coder_core.images.renamed_classes import open_renamed
from coder_core.images.sampled_images import SampledImages, sample_size
from coder_core.pipeline.artifact_handle import Handle
from coder_core.pipeline.artifact_types import Dataset, ImageEmbeddingsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.specs import DatasetSpec, FlagsDataset, TextsSpec
from coder_core.steps.assemble_bank import domain_of, read_bank_file, read_edits
from coder_core.steps.load_dataset import ListClasses, ListIgnored, ListImages, ListLabels, read_classes, read_labels
from coder_core.steps.predict_images import read_vectors, usable_images
from coder_core.texts.bank import empty_bank
from coder_core.texts.domains import load_domains
from coder_core.texts.edits import merge_banks
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, TextKind
from coder_core.texts.sentences import TextTable, build_texts

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Int

    from coder_core.review.label_order import LabelOrder

Sayings = list[tuple[int, str]]
"""Label ids, and what is said of each class."""

MOST_CLASSES_FOR_DOMAINS = 100
"""Classes up to which the sentences of every domain are tried: eleven texts each."""


class Order(Handle):
    """As `coder_core.review.label_order.LabelOrder`, for the way between processes."""

    names: tuple[int, ...]
    images: int
    hits_given: int
    hits_found: int


class BetterDomain(Handle):
    """Another domain than the config's: images that the sentences of either get right."""

    name: str
    hits_given: int
    hits: int


class NameFit(Handle):
    """How well names and texts fit the images that were looked at.

    Attributes:
        images: Images looked at.
        by_name: Another order of the names that fits far better; None where the given one is as good.
        by_texts: The same by descriptions alone; None where there are none.
        name_hits: Images whose best name is that of their label.
        domains: A domain whose sentences fit far better than the config's; None where there is none.
    """

    images: int
    by_name: Order | None = None
    by_texts: Order | None = None
    name_hits: int = 0
    domains: BetterDomain | None = None


class SampleDataset(Step[Dataset]):
    """List a handful of images of each class.

    Raises:
        DatasetError: As `LoadDataset`.
    """

    source: DatasetSpec
    class_names: dict[str, str] = Field(default_factory=dict)

    def run(self, context: Context) -> Dataset:
        """Look at the whole listing, and take some of it; flags are rendered, so only as many as are taken."""
        dataset = self.source
        opened = open_renamed(dataset, self.class_names, settle_seconds=context.runtime.settle_seconds)
        size = sample_size(len(opened.classes))
        if isinstance(dataset, FlagsDataset) and dataset.images_per_class > size:
            fewer = dataset.model_copy(update={"images_per_class": size})
            opened = open_renamed(fewer, self.class_names)
        sample = SampledImages(opened, size)
        return Dataset(
            name=sample.name,
            classes=context.do(ListClasses(names=sample.classes.names, ids=sample.classes.stable_ids)),
            images=context.do(ListImages(content=sample.identity, source=sample, label="list_sample")),
            labels=context.do(ListLabels(content=sample.labels_identity, source=sample)),
            ignored=context.do(ListIgnored(files=(), count=0)),
        )


class CompareNames(Step[NameFit]):
    """Score a sample of labelled images by names, by descriptions and by the sentences of other domains.

    Raises:
        CheckpointError: The model cannot be loaded.
        TextBankError: The bank does not fit the classes.
    """

    traits: ClassVar[Traits] = MODEL

    sample: Dataset
    images: ImageEmbeddingsArtifact
    texts: TextsSpec
    encoder: IdentifiedEncoder

    def run(self, context: Context) -> NameFit:
        """Embed the few texts, and compare."""
        from coder_core.review.label_order import match_labels_to_names

        classes = read_classes(context, self.sample.classes)
        vectors, labels = self._read_images(context)
        names = self._scores(context, self._names(classes, self.texts.domain), len(classes), vectors)
        texts = self._scores(context, self._descriptions(classes), len(classes), vectors)
        return NameFit(
            images=len(labels),
            by_name=_order(match_labels_to_names(names, labels)) if names is not None else None,
            by_texts=_order(match_labels_to_names(texts, labels)) if texts is not None else None,
            name_hits=int((names.argmax(axis=1) == labels).sum()) if names is not None else 0,
            domains=self._other_domain(context, classes, vectors, labels),
        )

    def _read_images(self, context: Context) -> "tuple[Float[np.ndarray, 'images dim'], Int[np.ndarray, ' images']]":
        import numpy as np

        label_table = read_labels(context, self.sample.labels, "test")
        found, ids = [], []
        parts = context.parts(self.images)
        for part in context.each(parts, "reading the sample", total=len(parts), unit="parts"):
            usable = usable_images(context, self.images, part.name)
            found.append(read_vectors(context, self.encoder, usable).numpy())
            ids += usable.column("image_id").to_pylist()
        return np.concatenate(found).astype(np.float64), label_table.label_ids_of(ids)

    def _names(self, classes: ClassList, domain: str) -> Sayings:
        named = domain_of(self.texts.model_copy(update={"domain": domain}))
        return _sayings(build_texts(classes, empty_bank(classes), named, kinds=(TextKind.CLASS_NAME,)))

    def _descriptions(self, classes: ClassList) -> Sayings:
        """Phrases alone: a sentence with the class's name would fit the images whatever is said beside it."""
        if self.texts.bank is None:
            return []
        bank = merge_banks([read_bank_file(self.texts, classes)], read_edits(self.texts, classes))
        if not find_family(self.encoder.spec.kind).embeds_images:  # only whole sentences have features
            return _sayings(build_texts(classes, bank, domain_of(self.texts), kinds=tuple(DESCRIPTIVE_KINDS)))
        return [
            (class_id, str(phrase))
            for class_id, texts in enumerate(bank.classes)
            for phrase in (*texts.attributes, *texts.sentences, *texts.analogous_classes)
        ]

    def _scores(
        self, context: Context, sayings: Sayings, class_count: int, images: "Float[np.ndarray, 'images dim']"
    ) -> "Float[np.ndarray, 'images classes'] | None":
        """Mean cosine to the texts of each class; None where a class has none, or a precomputed encoder knows none."""
        import numpy as np

        from coder_core.embedding.text_passes import text_vectors

        counts = np.bincount([class_id for class_id, _ in sayings], minlength=class_count)
        if not counts.all():
            return None
        texts = list(dict.fromkeys(text for _, text in sayings))
        try:
            vectors = text_vectors(context, self.encoder, texts)
        except FeatureFileError:  # features of other texts: nothing can be embedded for a look
            return None
        row_of = {text: row for row, text in enumerate(texts)}
        sums = np.zeros((class_count, vectors.shape[1]))
        np.add.at(sums, [class_id for class_id, _ in sayings], vectors[[row_of[text] for _, text in sayings]])
        return np.asarray(images @ (sums / counts[:, None]).T)

    def _other_domain(
        self,
        context: Context,
        classes: ClassList,
        images: "Float[np.ndarray, 'images dim']",
        labels: "Int[np.ndarray, ' images']",
    ) -> BetterDomain | None:
        """The domain whose sentences fit far better than the config's, where there is one."""
        if len(classes) > MOST_CLASSES_FOR_DOMAINS or not find_family(self.encoder.spec.kind).embeds_images:
            return None
        hits, domains = {}, load_domains(self.texts.domains)
        for domain in context.each(domains, "trying domains", total=len(domains), unit="domains"):
            scores = self._scores(context, self._names(classes, domain), len(classes), images)
            if scores is not None:
                hits[domain] = scores.argmax(axis=1) == labels
        given = hits.pop(self.texts.domain, None)
        if given is None or not hits:
            return None
        best = max(hits, key=lambda domain: int(hits[domain].sum()))
        if not _is_better(given, hits[best], tried=len(hits)):
            return None
        return BetterDomain(name=best, hits_given=int(given.sum()), hits=int(hits[best].sum()))


def _is_better(given: "Bool[np.ndarray, ' images']", other: "Bool[np.ndarray, ' images']", *, tried: int) -> bool:
    """Whether a sign test says so, corrected for the domains that were tried (Bonferroni)."""
    from scipy.stats import binomtest

    from coder_core.review.label_order import SIGNIFICANT

    gains, losses = int((other & ~given).sum()), int((given & ~other).sum())
    if gains <= losses:
        return False
    return bool(binomtest(gains, gains + losses, 0.5, alternative="greater").pvalue * tried < SIGNIFICANT)


def _sayings(table: TextTable) -> Sayings:
    return [(row.class_id, row.text) for row in table.rows]


def _order(found: "LabelOrder | None") -> Order | None:
    return Order(**found._asdict()) if found is not None else None


def moved_classes(order: Iterable[int]) -> tuple[int, ...]:
    """The label ids that an order calls otherwise."""
    return tuple(label for label, name in enumerate(order) if label != name)
