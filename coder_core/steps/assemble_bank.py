"""What is said about the classes, from every source: a file, a language model, WordNet, a person.

The bank is put together in every run, from files and from the ledger of completions alone: a new domain, a changed edit
or a crash costs no call. What comes out is kept under the key of its content.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Annotated, ClassVar

from coder_core.classes import ClassList
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import find_family
from coder_core.fingerprint import NotIdentity, content_hash
from coder_core.locations import open_location
from coder_core.pipeline.artifact_types import ClassesArtifact, ShownImages, TextBankArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.step_inputs import PackagedData
from coder_core.pipeline.traits import MODEL, Traits
from coder_core.specs import TextsSpec
from coder_core.steps.load_dataset import read_classes
from coder_core.storage.input_files import read_input
from coder_core.texts.bank import ClassPair, PhraseKind, TextBank, empty_bank, is_pictured, phrases_by_slot
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.domains import Domain, fill, find_domain, load_domains
from coder_core.texts.edits import TextEdits, merge_banks
from coder_core.texts.edits_file import parse_text_edits
from coder_core.texts.kinds import TextKind
from coder_core.texts.markup import MAX_BYTES

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

PROMPTS = PackagedData(name="atg/prompts.yaml")


class AssembleBank(Step[TextBankArtifact]):
    """Put the bank together: the file, what a language model wrote, WordNet's synonyms, and a person's edits over all.

    Raises:
        TextBankError: A file does not fit the class list.
        LexiconError: The lexicon is not installed.
    """

    traits: ClassVar[Traits] = MODEL

    classes: ClassesArtifact
    texts: TextsSpec
    encoder: IdentifiedEncoder
    pairs: tuple[ClassPair, ...] = ()
    shown: ShownImages | None = None
    prompts: PackagedData = PROMPTS
    label: Annotated[str, NotIdentity("what the step is called among the timings")] = "assemble_bank"

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    def run(self, context: Context) -> TextBankArtifact:
        """Gather, merge, and keep what comes out."""
        classes = read_classes(context, self.classes)
        banks = list(context.each(self._banks(context, classes), "gathering texts", total=3, unit="sources"))
        bank = merge_banks(banks, read_edits(self.texts, classes))
        content = write_text_bank(bank, classes)
        key = content_hash(content.encode("utf-8"))
        pictured = pictured_kinds(bank)
        return context.do(
            KeepBank(content_key=key, classes=self.classes, content=content, pictured=pictured, label=self.label)
        )

    def records(self, result: TextBankArtifact, seconds: float) -> tuple[()]:  # noqa: ARG002
        """The kept bank stands for it."""
        return ()

    def _banks(self, context: Context, classes: ClassList) -> Iterator[TextBank]:
        yield read_bank_file(self.texts, classes)
        if self.texts.generator is not None:
            from coder_core.steps.generate_texts import read_generated

            yield read_generated(context, classes, self.texts, self.encoder, self.pairs, self.shown)
        if self.texts.wordnet is not None:
            yield self._synonyms(context, classes, self.texts.wordnet)

    def _synonyms(self, context: Context, classes: ClassList, lexicon: str) -> TextBank:
        from coder_core.embedding.text_passes import text_vectors
        from coder_core.wordnet.synonyms import find_synonyms, synonym_bank

        def embed(texts: Sequence[str]) -> "Float[np.ndarray, 'texts dim']":
            return text_vectors(context, self.encoder, texts)

        return synonym_bank(find_synonyms(classes, domain_of(self.texts), embed=embed, lexicon=lexicon))


class KeepBank(ArtifactStep[TextBankArtifact]):
    """Keep a bank."""

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "writes one document"

    content_key: str
    classes: ClassesArtifact
    content: Annotated[str, NotIdentity("`content_key` is its hash")]
    pictured: Annotated[tuple[TextKind, ...], NotIdentity("the content says so")] = ()
    label: Annotated[str, NotIdentity("what the step is called among the timings")]

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    def make(self, context: Context, output: Output) -> TextBankArtifact:  # noqa: ARG002
        """Write the bank as a text-bank file would hold it."""
        output.write_document({"bank": self.content})
        return output.finish(TextBankArtifact, pictured_kinds=self.pictured)


def pictured_kinds(bank: TextBank) -> tuple[TextKind, ...]:
    """Kinds of text of which a bank has some that were written from labelled images, now or when its file was made."""
    kinds = {slot.kind for slot, phrases in phrases_by_slot(bank).items() if any(map(is_pictured, phrases))}
    read_as = {TextKind.ATTRIBUTE if kind is PhraseKind.SENTENCE else TextKind(kind.value) for kind in kinds}
    return tuple(kind for kind in TextKind if kind in read_as)


def read_bank(context: Context, bank: TextBankArtifact, classes: ClassList) -> TextBank:
    """The phrases of an artifact."""
    content: str = context.read_document(bank)["bank"]
    return parse_text_bank(content, place=f"text_bank {bank.key[:12]}", classes=classes, is_trusted=True)


def read_bank_file(texts: TextsSpec, classes: ClassList) -> TextBank:
    """The phrases of the bank's file alone; none where no file is named."""
    if texts.bank is None:
        return empty_bank(classes)
    return parse_text_bank(_read(texts.bank), place=texts.bank, classes=classes)


def domain_of(texts: TextsSpec) -> Domain:
    """The domain of the texts, with the user's own sentences."""
    return find_domain(texts.domain, load_domains(texts.domains))


class NameSimilarity:
    """Cosines of names, each in the domain's sentence for a class name; vectors come from the ledger."""

    def __init__(self, context: Context, domain: Domain, encoder: IdentifiedEncoder) -> None:
        self._context, self._domain, self._encoder = context, domain, encoder
        self._embed_again = lru_cache(maxsize=1)(self._embed)

    def __call__(self, texts_a: Sequence[str], texts_b: Sequence[str]) -> "Float[np.ndarray, 'texts_a texts_b']":
        """Compare every name of the one with every name of the other; the other stays the same from call to call."""
        import numpy as np

        return np.asarray(self._embed(tuple(texts_a)) @ self._embed_again(tuple(texts_b)).T)

    def _embed(self, names: tuple[str, ...]) -> "Float[np.ndarray, 'names dim']":
        from coder_core.embedding.text_passes import text_vectors

        sentences = [fill(self._domain.class_name, {"class": name}) for name in names]
        return text_vectors(self._context, self._encoder, sentences)


def name_similarity(context: Context, texts: TextsSpec, encoder: IdentifiedEncoder) -> NameSimilarity | None:
    """How alike names are to the encoder; nobody can say where there is no model."""
    if not find_family(encoder.spec.kind).needs_device:
        return None
    return NameSimilarity(context, domain_of(texts), encoder)


def read_edits(texts: TextsSpec, classes: ClassList) -> TextEdits:
    """A person's edits; none where no file is named."""
    if texts.edits is None:
        return TextEdits()
    return parse_text_edits(_read(texts.edits), place=texts.edits, classes=classes)


def _read(location: str) -> bytes:
    return read_input(open_location(location), max_bytes=MAX_BYTES)
