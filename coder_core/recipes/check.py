"""What a run would stumble over later, looked for in seconds: nothing is embedded, asked or written.

Every check stands alone, so that one call tells all that is wrong, each thing once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from coder_core.classes import ClassList
from coder_core.encoders.registry import identify_encoder
from coder_core.errors import CoderError, DatasetError, TextBankError
from coder_core.images.sources import open_source
from coder_core.pipeline.context import Context
from coder_core.specs import NEEDS_BANK, DatasetSpec, EvalSpec, Runtime
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_checks import equal_classes_warning, undescribed_classes

NAMES_SHOWN = 5


@dataclass
class Checked:
    """What was found.

    Attributes:
        problems: What would stop a run; each names its place and a remedy.
        warnings: What would make its numbers worse than they need to be.
        facts: What there is, one line each.
    """

    problems: list[CoderError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)


def check_evaluation(spec: EvalSpec, runtime: Runtime) -> Checked:
    """Look at everything that an evaluation names: store, data sets, encoder, texts, language model.

    Args:
        spec: The evaluation.
        runtime: Where it would run.
    """
    check = _Check(spec, runtime)
    for look in (
        check.store,
        check.datasets,
        check.encoder,
        check.texts,
        check.language_model,
        check.lexicon,
    ):
        with check.noting():
            look()
    return check.found


class _Check:
    """The checks of one evaluation; what one has opened the others use."""

    def __init__(self, spec: EvalSpec, runtime: Runtime) -> None:
        self.spec, self.runtime = spec, runtime
        self.found = Checked()
        self.classes: ClassList | None = None
        """Of `dataset`; None where that cannot be opened, which has been noted."""

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a problem instead of raising it; the same one once."""
        try:
            yield
        except CoderError as error:
            if str(error) not in map(str, self.found.problems):
                self.found.problems.append(error)

    def store(self) -> None:
        """It can be written."""
        Context.open(self.runtime).artifacts.store.check_writable()

    def datasets(self) -> None:
        """All can be listed, and have one class list."""
        for place, source in self._sources():
            with self.noting():
                opened = open_source(source, settle_seconds=self.runtime.settle_seconds)
                images = f"{opened.image_count} images of {len(opened.classes)} classes"
                beside = f", {opened.ignored_count} files ignored" if opened.ignored_count else ""
                self.found.facts.append(f"{place}: {opened.name}, {images}{beside}")
                self.classes = self.classes or (opened.classes if place == "dataset" else None)
                self._same_classes(place, opened.classes)

    def encoder(self) -> None:
        """Its weights are there."""
        encoder = identify_encoder(self.spec.encoder)
        self.found.facts.append(f"encoder: {encoder.label}, {encoder.dim} dimensions")

    def texts(self) -> None:
        """Bank and edits fit the classes, the domain is known, and every class is described."""
        from coder_core.steps.assemble_bank import domain_of, read_bank_file, read_edits

        domain_of(self.spec.texts)
        if self.classes is None:
            return
        classes = self.classes
        bank = read_bank_file(self.spec.texts, classes)
        read_edits(self.spec.texts, classes)
        self._described(bank, classes)
        warning = equal_classes_warning(classes, bank if self.spec.texts.bank else None)
        self.found.warnings += [warning] if warning else []

    def language_model(self) -> None:
        """Its prompts and its price are known where they must be."""
        from coder_core.atg.prompts import find_prompts, load_prompts
        from coder_core.llm.completions import find_checked_price

        generator = self.spec.texts.generator
        if generator is None:
            return
        find_prompts(generator.prompts, load_prompts(generator.prompt_sets))
        price = find_checked_price(generator.model, self.runtime.llm)
        self.found.facts.append(f"language model: {generator.model}, {'price known' if price else 'price unknown'}")

    def lexicon(self) -> None:
        """It is installed."""
        if self.spec.texts.wordnet is not None:
            from coder_core.wordnet.lexicon import open_lexicon

            with open_lexicon(self.spec.texts.wordnet):
                self.found.facts.append(f"lexicon: {self.spec.texts.wordnet}")

    def _sources(self) -> Iterator[tuple[str, DatasetSpec]]:
        yield "dataset", self.spec.dataset
        if self.spec.validation is not None:
            yield "validation", self.spec.validation
        if self.spec.few_shot is not None:
            yield "few_shot.pool", self.spec.few_shot.pool

    def _same_classes(self, place: str, classes: ClassList) -> None:
        if self.classes is not None and classes.names != self.classes.names:
            raise DatasetError("its class list is another one than that of `dataset`.", place, "Give the same classes.")

    def _described(self, bank: TextBank, classes: ClassList) -> None:
        """A file that describes some classes only would have the others judged by their names alone."""
        texts = self.spec.texts
        needs_bank = bool(NEEDS_BANK & set(self.spec.methods) or self.spec.controls or self.spec.ablation)
        if not needs_bank or texts.bank is None or texts.generator is not None:
            return
        missing = undescribed_classes(bank)
        if missing:
            shown = ", ".join(repr(classes.names[class_id]) for class_id in missing[:NAMES_SHOWN])
            rest = f" and {len(missing) - NAMES_SHOWN} more" if len(missing) > NAMES_SHOWN else ""
            raise TextBankError(
                f"{len(missing)} of {len(classes)} classes have no description: {shown}{rest}.",
                texts.bank,
                "Describe them, or name a `texts.generator` that does.",
            )
