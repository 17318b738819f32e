"""The desk at which a person works on texts: buy, look, export, edit, import. Behind `coder-eval texts`."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from coder_core.atg.generation_report import GenerationReport, merge_reports
from coder_core.atg.pricing import CostEstimate
from coder_core.classes import ClassList
from coder_core.config import load_runtime, load_spec
from coder_core.encoders.loading import load_encoder
from coder_core.errors import InputError
from coder_core.images.sources import open_source
from coder_core.locations import open_location
from coder_core.report.progress import track
from coder_core.review.checks import EncoderView, review_bank
from coder_core.review.import_summary import render_import_report
from coder_core.review.summary import find_class_ids, render_bank, render_class
from coder_core.specs import EvalSpec, PrecomputedEncoder, Runtime
from coder_core.steps.dataset import write_classes
from coder_core.steps.encoding import EncoderHandle, embed_now, open_encoder
from coder_core.steps.text_bank import (
    assemble_bank,
    check_generation,
    estimate_cost,
    generate_chunk,
    plan_generation,
    read_bank,
)
from coder_core.steps.workplace import open_store
from coder_core.storage.inputs import read_input
from coder_core.storage.output_file import write_file
from coder_core.texts.bank import TextBank
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.bank_writer import write_text_bank
from coder_core.texts.domains import find_domain, load_domains
from coder_core.texts.edits import edits_between
from coder_core.texts.edits_file import write_text_edits
from coder_core.texts.kinds import TextKind
from coder_core.texts.published.reading import read_published_texts
from coder_core.texts.sentences import build_texts


class TextDesk:
    """The texts of one config."""

    def __init__(self, spec: EvalSpec, runtime: Runtime) -> None:
        self.spec, self.runtime = spec, runtime
        self._artifacts = open_store(runtime)
        source = open_source(spec.dataset)
        self.classes: ClassList = source.classes
        self._classes = write_classes(self._artifacts, source)

    @cached_property
    def encoder(self) -> EncoderHandle:
        """The config's encoder, identified when it is needed."""
        return open_encoder(self.spec.encoder)

    @cached_property
    def bank(self) -> TextBank:
        """The bank from every source, as an evaluation would use it."""
        product = assemble_bank(self._classes, self.spec.texts, self.encoder, self.runtime)
        return read_bank(self._artifacts, product.artifact, self.classes)

    def estimate(self, *, is_batch: bool) -> CostEstimate:
        """What is missing, and what it would cost."""
        return estimate_cost(self.classes, self.spec.texts, self.runtime, is_batch=is_batch)

    def generate(self, *, is_batch: bool) -> GenerationReport:
        """Buy what is missing; a batch takes all classes at once."""
        whole = self.runtime.model_copy(update={"classes_per_task": len(self.classes)})
        chunks = plan_generation(self._classes, self.spec.texts, whole if is_batch else self.runtime)
        reports: list[GenerationReport] = []
        with track("generating texts", total=len(self.classes), unit="classes") as progress:
            for chunk in chunks:
                spent = sum(report.cost_usd for report in reports)
                reports.append(
                    generate_chunk(
                        chunk, self._classes, self.spec.texts, self.encoder, self.runtime, spent, is_batch=is_batch
                    )
                )
                progress.advance(len(chunk.class_ids))
                if reports[-1].stopped:
                    break
        return merge_reports(reports)

    def check(self, report: GenerationReport) -> None:
        """Refuse a generation that stopped early."""
        check_generation(report)

    def show(self, class_name: str | None) -> str:
        """The summary of the bank, or every text of a class, with what a reviewer should look at."""
        review = review_bank(self.bank, self.classes, encoder=self._encoder_view())
        if class_name is None:
            return render_bank(self.classes, self.bank, review)
        ids = find_class_ids(class_name, self.classes)
        return "\n".join(render_class(class_id, self.classes, self.bank, review) for class_id in ids)

    def export(self, path: Path) -> None:
        """Write the bank to a file."""
        write_file(path, write_text_bank(self.bank, self.classes))

    def write_edits(self, edited: Path, path: Path) -> str:
        """Write the difference between the bank and its edited copy as an edits file; says how much it is."""
        content = _read(str(edited))
        changed = parse_text_bank(content, place=str(edited), classes=self.classes)
        edits = edits_between(self.bank, changed)
        write_file(path, write_text_edits(edits, self.classes))
        added = sum(len(slot.added) for slot in edits.by_slot.values())
        deleted = sum(len(slot.deleted) for slot in edits.by_slot.values())
        return f"wrote {path}: {added} phrases added, {deleted} deleted; name it in the config as texts.edits"

    def _encoder_view(self) -> EncoderView | None:
        if isinstance(self.encoder.spec, PrecomputedEncoder):
            return None
        domain = find_domain(self.spec.texts.domain, load_domains(self.spec.texts.domains))
        kinds = [kind for kind in TextKind if kind is not TextKind.TEMPLATE]
        table = build_texts(self.classes, self.bank, domain, kinds=kinds)
        model = load_encoder(
            self.encoder.spec, self.encoder.identity, device=self.runtime.device, batch_size=self.runtime.batch_size
        )
        return EncoderView(
            table,
            count_tokens=model.count_tokens,
            context_length=model.context_length,
            embeddings=embed_now(table.unique_texts(), self.encoder, self.runtime),
        )


def open_desk(config: str, overrides: Sequence[str], store: str, *, max_cost_usd: float | None = None) -> TextDesk:
    """Open the desk of a config.

    Raises:
        ConfigError: The config is wrong.
        StoreError: The store cannot be written.
    """
    runtime = load_runtime(store=store)
    if max_cost_usd is not None:
        runtime = load_runtime(store=store, llm={**runtime.llm.model_dump(), "max_cost_usd": max_cost_usd})
    desk_spec = load_spec(config, overrides)
    open_store(runtime).store.check_writable()
    return TextDesk(desk_spec, runtime)


def import_published(source: str, class_config: str | None, path: Path, *, repair: bool) -> str:
    """Turn a published file into a bank; gives the report of what did not match.

    Raises:
        TextBankError: The file is in no known format.
    """
    classes = open_source(load_spec(class_config).dataset).classes if class_config else None
    published = read_published_texts(_read(source), place=source, classes=classes, repair=repair)
    write_file(path, write_text_bank(published.bank, published.classes))
    return f"{render_import_report(published.report)}\nwrote {path}"


def _read(location: str) -> str:
    try:
        return read_input(open_location(location)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(f"this is not UTF-8 text ({error}).", location, "Save it as UTF-8.") from error
