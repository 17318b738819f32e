"""What a run would stumble over later, looked for in seconds: nothing is embedded, asked or written.

Every check stands alone, so that one call tells all that is wrong, each thing once.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from coder_core.classes import ClassList
from coder_core.config import unknown_variables
from coder_core.counted import counted
from coder_core.encoders.registry import check_encoder, find_family, identify_encoder, load_encoder
from coder_core.errors import CoderError, ConfigError, DatasetError, TextBankError, raise_all
from coder_core.images.renamed_classes import under_names
from coder_core.images.sources import FilesSource, ImageSource, open_source, opened_before
from coder_core.locations import open_location
from coder_core.pipeline.context import Context
from coder_core.recipes.doctor import look_at_names
from coder_core.recipes.eval_inputs import require_labels
from coder_core.recipes.gather_texts import kinds_needed
from coder_core.recipes.show_images import foresee_pictures
from coder_core.review.finding import Fault
from coder_core.specs import NEEDS_BANK, DatasetSpec, EvalSpec, Runtime
from coder_core.steps.assemble_bank import domain_of, read_bank_file, read_edits
from coder_core.storage.input_files import read_input
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_checks import equal_classes_warning, undescribed_classes
from coder_core.texts.edits import TextEdits, merge_banks
from coder_core.texts.sentences import build_texts

if TYPE_CHECKING:
    from coder_core.atg.generator import CostEstimate

NAMES_SHOWN = 5
LISTED_AT_ONCE = 4096

logger = logging.getLogger(__name__)
_checked: ContextVar[EvalSpec | None] = ContextVar("checked", default=None)


@dataclass
class Checked:
    """What was found.

    Attributes:
        problems: What would stop a run; each names its place and a remedy.
        warnings: What would make its numbers worse than they need to be.
        facts: What there is, one line each.
        sources: The data sets as they were opened.
        to_ask: What a language model would be asked, and the price; None where none is.
    """

    problems: list[CoderError] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    sources: list[tuple[DatasetSpec, ImageSource]] = field(default_factory=list)
    to_ask: "CostEstimate | None" = None


def check_evaluation(spec: EvalSpec, runtime: Runtime, *, needs_labels: bool = True) -> Checked:
    """Look at everything that an evaluation names: store, data sets, encoder, texts, language model.

    Args:
        spec: The evaluation.
        runtime: Where it would run.
        needs_labels: Whether something is to be measured.
    """
    check = _Check(spec, runtime)
    for look in (
        *((check.labels,) if needs_labels else ()),
        check.device,
        check.store,
        check.datasets,
        check.encoder,
        check.domain,
        check.texts,
        check.metric_texts,
        check.language_model,
        check.lexicon,
    ):
        with check.noting():
            look()
    return check.found


def require_sound(spec: EvalSpec, runtime: Runtime) -> Checked:
    """Check an evaluation at the start of a run: log what to know, and raise all that would stop it later.

    Args:
        spec: The evaluation; one that `checked` holds is not looked at again.
        runtime: Where it runs.

    Returns:
        What was found, for `checked`.

    Raises:
        CoderError: The one problem that there is, or a `SeveralProblemsError` of all.
    """
    if _checked.get() == spec:
        return Checked()
    found = check_evaluation(spec, runtime)
    for warning in (*unknown_variables(os.environ), *found.warnings):
        logger.warning("%s", warning)
    raise_all(found.problems)
    return found


@contextmanager
def checked(spec: EvalSpec, found: Checked) -> Iterator[None]:
    """For whoever has checked an evaluation and told what was found: inside the block it counts as checked.

    Args:
        spec: The evaluation.
        found: By the check: the data sets that it opened are not opened again; once stored, they are forgotten.
    """
    token = _checked.set(spec)
    try:
        with opened_before(found.sources) if found.sources else nullcontext():
            yield
    finally:
        _checked.reset(token)


class _Check:
    """The checks of one evaluation; what one has opened the others use."""

    def __init__(self, spec: EvalSpec, runtime: Runtime) -> None:
        self.spec, self.runtime = spec, runtime
        self.found = Checked()
        self.source: ImageSource | None = None
        """`dataset`, opened; None where that cannot be, which has been noted."""
        self.classes: ClassList | None = None
        """Of `source`."""
        self.pool: ImageSource | None = None
        """`few_shot.pool`, opened."""

    @contextmanager
    def noting(self) -> Iterator[None]:
        """Note a problem instead of raising it; the same one once."""
        try:
            yield
        except CoderError as error:
            if str(error) not in map(str, self.found.problems):
                self.found.problems.append(error)

    def device(self) -> None:
        """It is there, where the encoder runs on one and a person has named it."""
        if self.runtime.device not in {"auto", "cpu"} and find_family(self.spec.encoder.kind).needs_device:
            from coder_core.encoders.device import check_device  # torch

            check_device(self.runtime.device)

    def store(self) -> None:
        """It can be written; where it is not there yet, it is not there afterwards."""
        store = Context.open(self.runtime).artifacts.store
        folder = Path(store.address.path) if store.address.is_local else None
        is_new = folder is not None and not os.path.lexists(folder)
        store.check_writable()
        if folder is not None and is_new:
            with suppress(OSError):  # another run may have begun there meanwhile
                folder.rmdir()

    def datasets(self) -> None:
        """All can be listed, and have one class list."""
        for place, source in self._sources():
            with self.noting():
                files = open_source(source, settle_seconds=self.runtime.settle_seconds)
                self.found.sources.append((source, files))
                opened = under_names(files, self.spec.class_names)
                images = f"{counted(opened.image_count, 'image')} of {counted(len(opened.classes), 'class')}"
                beside = f", {counted(opened.ignored_count, 'file')} ignored" if opened.ignored_count else ""
                self.found.facts.append(f"{place}: {opened.name}, {images}{beside}")
                if isinstance(files, FilesSource) and files.note:
                    self.found.warnings.append(f"{place}: {files.note}")
                is_measured = place == "dataset" and source.kind != "unlabelled"
                self.found.facts += [power_line(opened.image_count)] if is_measured else []
                if is_measured and len(opened.classes) == 1:
                    self.found.warnings.append(
                        f"{place}: there is one class only: whatever the texts, every image is right."
                    )
                if place == "few_shot.pool":
                    self.pool = opened
                    self._enough_shots(opened)
                if place == "dataset":
                    self.source, self.classes = opened, opened.classes
                self._same_classes(place, opened.classes)

    def labels(self) -> None:
        """There are some, wherever something is measured or learnt."""
        require_labels(self.spec)

    def encoder(self) -> None:
        """Its weights are there, and those of its architecture; published ones are not fetched yet."""
        self.found.facts.append(f"encoder: {check_encoder(self.spec.encoder)}")

    def domain(self) -> None:
        """It is known."""
        domain_of(self.spec.texts)

    def texts(self) -> None:
        """Bank and edits fit the classes, every class is described, and every sentence can be embedded."""
        texts = self.spec.texts
        if self.source is None or self.classes is None:  # which has been noted
            self._readable()
            return
        classes, edits = self.classes, TextEdits()
        with self.noting():
            edits = read_edits(texts, classes)
        bank = merge_banks([read_bank_file(texts, classes)], edits)
        with self.noting():
            self._described(bank, classes)
        with self.noting():
            self._embedded_elsewhere(bank, classes)
        warning = equal_classes_warning(classes, bank if texts.bank else None)
        self.found.warnings += [warning] if warning else []
        found = look_at_names(self.spec, self.source, bank if texts.bank else None)
        self.found.warnings += [str(finding) for finding in found if finding.fault is not Fault.SAME_NAME]

    def metric_texts(self) -> None:
        """The file of few-shot's metric can be read."""
        if self.spec.few_shot is not None and self.spec.few_shot.texts is not None:
            from coder_core.encoders.precomputed import read_text_features

            read_text_features(self.spec.few_shot.texts)

    def language_model(self) -> None:
        """Its prompts and its price are known where they must be, and there is a key where one is needed."""
        from coder_core.atg.prompts import find_prompts, load_prompts
        from coder_core.llm.completions import find_checked_price

        generator = self.spec.texts.generator
        if generator is None:
            return
        self._has_address()
        find_prompts(generator.prompts, load_prompts(generator.prompt_sets))
        price = find_checked_price(generator.model, self.runtime.llm)
        self.found.facts.append(f"language model: {generator.model}, {'price known' if price else 'price unknown'}")
        if self.classes is not None:
            self._can_be_asked(self.classes)

    def _has_address(self) -> None:
        """What names the server is an address, whether it is here or in the environment."""
        from coder_core.llm.endpoint import server_url
        from coder_core.llm.http_transport import parse_server_address

        parse_server_address(server_url(self.runtime.llm))

    def lexicon(self) -> None:
        """It is installed."""
        if self.spec.texts.wordnet is not None:
            from coder_core.wordnet.synonyms import open_installed

            with open_installed(self.spec.texts.wordnet):
                self.found.facts.append(f"lexicon: {self.spec.texts.wordnet}")

    def _readable(self) -> None:
        """Bank and edits are there, whatever their classes."""
        for location in (self.spec.texts.bank, self.spec.texts.edits):
            if location is not None:
                with self.noting():
                    read_input(open_location(location))

    def _embedded_elsewhere(self, bank: TextBank, classes: ClassList) -> None:
        """Where no model can embed a text, every sentence has its features; none is embedded here."""
        texts = self.spec.texts
        if find_family(self.spec.encoder.kind).needs_device or texts.generator is not None or texts.wordnet is not None:
            return
        kinds = kinds_needed(self.spec)
        if not kinds:  # few-shot alone, with the texts of a file or with none: no name is read
            return
        table = build_texts(classes, bank, domain_of(texts), kinds=kinds)
        load_encoder(identify_encoder(self.spec.encoder), device="cpu").tokenize(table.unique_texts())

    def _can_be_asked(self, classes: ClassList) -> None:
        """The server of OpenAI needs a key; what the ledger holds is not asked for."""
        from coder_core.llm.chat_replies import KEY_VARIABLE
        from coder_core.llm.endpoint import OPENAI_URL, server_url
        from coder_core.steps.generate_texts import estimate_cost

        context = Context.open(self.runtime)
        pictures = foresee_pictures(self.spec, self.pool, context)
        estimate = estimate_cost(context, classes, self.spec.texts, self.runtime, pictures=pictures)
        self.found.to_ask = estimate
        self.found.facts.append(f"to ask: {estimate}")
        url = server_url(self.runtime.llm)
        if estimate.calls and url == OPENAI_URL and not os.environ.get(KEY_VARIABLE, "").strip():
            raise ConfigError(
                f"there is no key, and {counted(estimate.calls, 'question')} to ask {url}.",
                KEY_VARIABLE,
                "Set it in the environment, or name a server of your own: CODER_LLM_BASE_URL.",
            )

    def _enough_shots(self, pool: ImageSource) -> None:
        """Every class of the pool has the images that the largest number of shots takes."""
        few_shot = self.spec.few_shot
        if few_shot is None:
            return
        shots = 1 if few_shot.allow_fewer else max(few_shot.shots)
        counts = _count_labels(pool, few_shot.pool)
        short = [class_id for class_id in range(len(pool.classes)) if counts[class_id] < shots]
        if short:
            rest = f" ({len(short)} such classes)" if len(short) > 1 else ""
            name = pool.classes.names[short[0]]
            raise DatasetError(
                f"class {name!r} has {counted(counts[short[0]], 'labelled image')}, "
                f"{counted(shots, 'shot was', 'shots were')} asked for{rest}.",
                "few_shot.shots",
                "Ask for fewer, or set `allow_fewer` to take what there is.",
            )

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
                f"{len(missing)} of {counted(len(classes), 'class')} have no description: {shown}{rest}.",
                texts.bank,
                "Describe them, or name a `texts.generator` that does.",
            )


def power_line(image_count: int) -> str:
    """What a data set of this size can show, in points of accuracy."""
    from coder_core.evaluation.power import DISAGREEMENT, smallest_difference

    if not image_count:
        return "no image: nothing can be shown"
    smallest = smallest_difference(image_count)
    if smallest > 0.999 * DISAGREEMENT:
        few = counted(image_count, "image is", "images are")
        return f"{few} too few to show any difference between two methods four times in five"
    points = 100 * smallest
    return (
        f"smallest difference that {counted(image_count, 'image shows', 'images show')} four times in five: "
        f"{points:.1f} points, where two methods disagree on {DISAGREEMENT:.0%} of them "
        f"(McNemar, 5 %, before correction)"
    )


def _count_labels(pool: ImageSource, spec: DatasetSpec) -> Counter[int]:
    """Images of each class; rendered ones are not rendered for it."""
    if spec.kind == "flags":
        return Counter(dict.fromkeys(range(len(pool.classes)), spec.images_per_class))
    counts: Counter[int] = Counter()
    for batch in pool.batches(LISTED_AT_ONCE):
        counts.update([] if batch.label_ids is None else batch.label_ids.tolist())
    return counts
