"""What a person does with the texts of a config: buy, look, export, edit, import. Behind `coder-eval texts`."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.atg.generator import CostEstimate
from coder_core.classes import ClassList
from coder_core.config import load_runtime, load_spec
from coder_core.counted import counted
from coder_core.embedding.text_passes import text_vectors
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import find_family, identify_encoder, load_encoder
from coder_core.errors import InputError
from coder_core.images.renamed_classes import open_renamed
from coder_core.locations import open_location
from coder_core.pipeline.artifact_types import ClassesArtifact, ShownImages
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner
from coder_core.recipes.show_images import foresee_pictures, show_images, shows_images
from coder_core.review.bank_review import EncoderView, review_bank
from coder_core.review.terminal_text import find_class_ids, render_bank, render_class, render_import_report
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.assemble_bank import AssembleBank, domain_of, read_bank
from coder_core.steps.generate_texts import GenerateTexts, PlanGeneration, estimate_cost, is_nothing_to_ask
from coder_core.steps.load_dataset import ListClasses, LoadDataset
from coder_core.storage.input_files import read_input
from coder_core.storage.output_file import write_file
from coder_core.texts.bank import PhraseKind, TextBank
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.edits import edits_between
from coder_core.texts.edits_file import write_text_edits
from coder_core.texts.kinds import TextKind
from coder_core.texts.markup import MAX_BYTES
from coder_core.texts.published.published_texts import read_published_texts
from coder_core.texts.sentences import build_texts


class TextBankCommands:
    """The texts of one config."""

    def __init__(self, spec: EvalSpec, runtime: Runtime) -> None:
        self.spec, self.runtime = spec, runtime
        self._context = Context.open(runtime)
        self._run = InlineRunner(runtime)
        self.classes: ClassList = open_renamed(spec.dataset, spec.class_names).classes
        listed = ListClasses(names=self.classes.names, ids=self.classes.stable_ids)
        self._classes: ClassesArtifact = self._run(listed)

    @cached_property
    def encoder(self) -> IdentifiedEncoder:
        """The config's encoder, identified when it is needed."""
        return identify_encoder(self.spec.encoder)

    @cached_property
    def bank(self) -> TextBank:
        """The bank from every source, as an evaluation would use it."""
        artifact = self._run(
            AssembleBank(classes=self._classes, texts=self.spec.texts, encoder=self.encoder, shown=self._shown)
        )
        return read_bank(self._context, artifact, self.classes)

    @cached_property
    def _shown(self) -> ShownImages | None:
        """What a language model is shown; for that, the images under test are embedded."""
        if not shows_images(self.spec):
            return None
        dataset = self._run(LoadDataset(source=self.spec.dataset, class_names=self.spec.class_names))
        return show_images(self.spec, dataset, self.encoder, self._run)

    def estimate(self, *, is_batch: bool) -> CostEstimate:
        """What is missing, and what it would cost."""
        pool = None
        if shows_images(self.spec) and self.spec.few_shot is not None:
            pool = open_renamed(self.spec.few_shot.pool, self.spec.class_names)
        pictures = foresee_pictures(self.spec, pool, self._context)
        return estimate_cost(
            self._context, self.classes, self.spec.texts, self.runtime, pictures=pictures, is_batch=is_batch
        )

    def is_nothing_to_ask(self) -> bool:
        """Whether a run would ask no question; where pictures are shown, nobody looks."""
        if shows_images(self.spec) or self.estimate(is_batch=False).calls:
            return False
        return is_nothing_to_ask(self._context, self.classes, self.spec.texts, self.encoder)

    def generate(self, *, is_batch: bool) -> GenerationReport:
        """Buy what is missing; a batch takes all classes at once."""
        chunks = self._run(PlanGeneration(classes=self._classes, texts=self.spec.texts))
        if is_batch:
            chunks = [tuple(class_id for chunk in chunks for class_id in chunk)]
        reports: list[GenerationReport] = []
        total = len(self.classes)
        for class_ids in self._context.each(chunks, "generating texts", total=total, unit="classes", size=len):
            asked = GenerateTexts(
                classes=self._classes,
                texts=self.spec.texts,
                encoder=self.encoder,
                class_ids=class_ids,
                shown=self._shown,
                spent_usd=sum(report.cost_usd for report in reports),
                is_batch=is_batch,
            )
            reports.append(self._run(asked))
            if reports[-1].stopped:
                break
        return merge_reports(reports)

    def show(self, class_name: str | None) -> str:
        """The summary of the bank, or every text of a class, with what a reviewer should look at."""
        review = review_bank(self.bank, self.classes, encoder=self._encoder_view())
        if class_name is None:
            return render_bank(self.classes, self.bank, review)
        ids = find_class_ids(class_name, self.classes)
        return "\n".join(render_class(class_id, self.classes, self.bank, review) for class_id in ids)

    def export(self, path: Path, *, is_forced: bool = False) -> None:
        """Write the bank to a file; one with other content is replaced where that is forced."""
        write_file(path, write_text_bank(self.bank, self.classes), replaces_other=is_forced)

    def write_edits(self, edited: Path, path: Path, *, is_forced: bool = False) -> str:
        """Write the difference between the bank and its edited copy as an edits file; says how much it is."""
        content = _read(str(edited))
        changed = parse_text_bank(content, place=str(edited), classes=self.classes)
        edits = edits_between(self.bank, changed)
        write_file(path, write_text_edits(edits, self.classes), replaces_other=is_forced)
        added = sum(len(slot.added) for slot in edits.by_slot.values())
        deleted = sum(len(slot.deleted) for slot in edits.by_slot.values())
        return (
            f"wrote {path}: {counted(added, 'phrase')} added, {deleted} deleted; name it in the config as texts.edits"
        )

    def _encoder_view(self) -> EncoderView | None:
        if not find_family(self.encoder.spec.kind).needs_device:
            return None
        kinds = [kind for kind in TextKind if kind is not TextKind.TEMPLATE]
        table = build_texts(self.classes, self.bank, domain_of(self.spec.texts), kinds=kinds)
        model = load_encoder(self.encoder, device=self.runtime.device)
        return EncoderView(
            table,
            count_tokens=model.count_tokens,
            context_length=model.context_length,
            embeddings=text_vectors(self._context, self.encoder, table.unique_texts()),
        )


def open_text_commands(
    config: str, overrides: Sequence[str], store: str, *, max_cost_usd: float | None = None
) -> TextBankCommands:
    """The text commands of a config.

    Raises:
        ConfigError: The config is wrong.
        StoreError: The store cannot be written.
    """
    runtime = load_runtime(store=store)
    if max_cost_usd is not None:
        runtime = load_runtime(store=store, llm={**runtime.llm.model_dump(), "max_cost_usd": max_cost_usd})
    spec = load_spec(config, overrides)
    Context.open(runtime).artifacts.store.check_writable()
    return TextBankCommands(spec, runtime)


def import_published(
    source: str,
    class_config: str | None,
    path: Path,
    *,
    repair: bool,
    alias: Mapping[str, str] | None = None,
    kind: PhraseKind | None = None,
    is_forced: bool = False,
) -> str:
    """Turn a published file into a bank; gives the report of what did not match.

    Args:
        source: Path or URL of the file.
        class_config: A config whose class list counts; None for the file's own.
        path: Where the bank goes.
        repair: Whether badly formed phrases are mended.
        alias: What the file calls a class -> the class's name.
        kind: What the texts of a class-to-list file are: attributes unless given.
        is_forced: Whether a file with other content is replaced.

    Raises:
        TextBankError: The file is in no known format, or none of its texts is about a class.
        InputError: There is another file at the place of the bank.
    """
    spec = load_spec(class_config) if class_config else None
    classes = open_renamed(spec.dataset, spec.class_names).classes if spec else None
    published = read_published_texts(
        _read(source), place=source, classes=classes, alias=alias, kind=kind, repair=repair
    )
    write_file(path, write_text_bank(published.bank, published.classes), replaces_other=is_forced)
    return f"{render_import_report(published.report)}\nwrote {path}"


def _read(location: str) -> str:
    try:
        return read_input(open_location(location), max_bytes=MAX_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"this is not UTF-8 text ({error}).", location, "Save it as UTF-8.") from error
