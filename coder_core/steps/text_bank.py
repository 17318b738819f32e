"""Step 2a: what is said about the classes, from every source: a file, a language model, WordNet, a person.

Completions are rows of a ledger that any run may use; buying them is a task per chunk of classes. The bank is then put
together from the ledger alone, so that a new domain, a changed edit or a crash costs no call.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import combinations

import numpy as np
from jaxtyping import Float

from coder_core.atg.batch import BatchBuyer
from coder_core.atg.completions import CompletionLedger
from coder_core.atg.direct import DirectBuyer
from coder_core.atg.faults import LlmError
from coder_core.atg.generation_report import GenerationReport
from coder_core.atg.generator import estimate_generation, generate_phrases
from coder_core.atg.planning import chunk_class_ids
from coder_core.atg.pricing import CostEstimate
from coder_core.atg.settings import GeneratorSpec
from coder_core.classes import ClassList
from coder_core.errors import ConfigError, TextBankError
from coder_core.fingerprint import content_hash
from coder_core.locations import open_location
from coder_core.specs import PrecomputedEncoder, Runtime, TextsSpec
from coder_core.steps.dataset import read_classes
from coder_core.steps.encoding import EncoderHandle, embed_now
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.inputs import read_input
from coder_core.texts.bank import ClassPair, TextBank, empty_bank
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.bank_writer import write_text_bank
from coder_core.texts.domains import Domain, fill, find_domain, load_domains
from coder_core.texts.edits import TextEdits
from coder_core.texts.edits_file import parse_text_edits
from coder_core.texts.kinds import TextKind
from coder_core.texts.merging import merge_banks

STEP_VERSION = 1


PAIRS_PER_TASK = 1_000
"""Pairs that one task asks about: minutes of a server that answers some ten questions a second."""


class ClassChunk(Handle):
    """Classes, or pairs of classes, whose texts one task buys."""

    class_ids: tuple[int, ...]
    pairs: tuple[ClassPair, ...] = ()

    @property
    def name(self) -> str:
        """First and last class (or pair), for people."""
        if self.pairs:
            return "..".join("-".join(map(str, pair)) for pair in (self.pairs[0], self.pairs[-1]))
        return f"{self.class_ids[0]}-{self.class_ids[-1]}"


def plan_generation(classes: Artifact, texts: TextsSpec, runtime: Runtime) -> list[ClassChunk]:
    """Cut the class list into chunks; none where no language model is asked."""
    if texts.generator is None:
        return []
    class_list = read_classes(open_store(runtime), classes)
    chunks = chunk_class_ids(class_list, size=runtime.classes_per_task)
    return [ClassChunk(class_ids=class_ids) for class_ids in chunks]


def plan_pair_generation(pairs: Sequence[ClassPair]) -> list[ClassChunk]:
    """Cut pairs to ask about, found after stage 1, into chunks."""
    starts = range(0, len(pairs), PAIRS_PER_TASK)
    return [ClassChunk(class_ids=(), pairs=tuple(pairs[start : start + PAIRS_PER_TASK])) for start in starts]


def generate_chunk(
    chunk: ClassChunk,
    classes: Artifact,
    texts: TextsSpec,
    encoder: EncoderHandle,
    runtime: Runtime,
    spent_usd: float,
    *,
    is_batch: bool = False,
) -> GenerationReport:
    """Buy the texts of a chunk that the completions ledger lacks.

    Args:
        chunk: Its classes.
        classes: The whole class list: analogues are compared with every class.
        texts: What is asked for.
        encoder: Tells which analogues are too similar to another class.
        runtime: Which server, how fast, how much; where the store is.
        spent_usd: What earlier chunks of this run have cost; counts against `llm.max_cost_usd`.
        is_batch: Whether to use the provider's Batch API.

    Raises:
        LlmError: The server refuses for good; what was bought before is kept.
    """
    artifacts = open_store(runtime)
    class_list = read_classes(artifacts, classes)
    ledger = CompletionLedger(artifacts.store)
    return generate_phrases(
        class_list,
        _generator(texts),
        ledger=ledger,
        buyer=(BatchBuyer if is_batch else DirectBuyer)(ledger, runtime.llm, spent_usd=spent_usd),
        similarity=_name_similarity(texts, encoder, runtime),
        class_ids=chunk.class_ids,
        pairs=chunk.pairs or _pairs(class_list, texts, within=chunk.class_ids),
    ).report


def check_generation(report: GenerationReport) -> None:
    """Stop where generation stopped early: half a bank would give half an answer.

    Raises:
        LlmError: With the reason and the number of classes without texts; everything bought is kept.
    """
    if report.stopped:
        raise LlmError(
            f"{report.stopped} {len(report.failed)} questions have no answer.",
            "texts.generator",
            "What was bought is kept: mend the reason (or raise CODER_LLM_MAX_COST_USD) and run again.",
        )


def estimate_cost(classes: ClassList, texts: TextsSpec, runtime: Runtime, *, is_batch: bool = False) -> CostEstimate:
    """What the texts of a class list would cost beyond what the ledger holds: the dry run."""
    ledger = CompletionLedger(open_store(runtime).store)
    return estimate_generation(
        classes, _generator(texts), ledger=ledger, runtime=runtime.llm, pairs=_pairs(classes, texts), is_batch=is_batch
    )


def assemble_bank(
    classes: Artifact,
    texts: TextsSpec,
    encoder: EncoderHandle,
    runtime: Runtime,
    *,
    pairs: Sequence[ClassPair] = (),
) -> Product:
    """Put the bank together: the file, what a language model wrote, WordNet's synonyms, and a person's edits over all.

    Args:
        classes: The class list.
        texts: Where phrases come from.
        encoder: Tells which analogues are too similar to another class.
        runtime: Where the store is.
        pairs: Pairs that a language model was asked about after stage 1.

    Raises:
        TextBankError: A file does not fit the class list.
        LexiconError: The lexicon is not installed.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    class_list = read_classes(artifacts, classes)
    banks = list(_banks(class_list, texts, encoder, runtime, pairs))
    bank = merge_banks(banks, _read_edits(texts, class_list))
    content = write_text_bank(bank, class_list)
    inputs = {"content": content_hash(content.encode("utf-8")), "classes": classes.key}
    payload = ArtifactPayload(kind="text_bank", step_version=STEP_VERSION, spec={}, inputs=inputs)
    artifact = artifacts.find(payload) or artifacts.write_document(payload, {"bank": content})
    return Product(step="assemble_bank", artifact=artifact, seconds=watch.seconds)


def read_bank(artifacts: ArtifactStore, bank: Artifact, classes: ClassList) -> TextBank:
    """The phrases of a `text_bank` artifact."""
    return parse_text_bank(artifacts.read_document(bank)["bank"], place=f"text_bank {bank.key[:12]}", classes=classes)


def _banks(
    classes: ClassList, texts: TextsSpec, encoder: EncoderHandle, runtime: Runtime, pairs: Sequence[ClassPair]
) -> Iterator[TextBank]:
    yield read_bank_file(texts, classes)
    if texts.generator is not None:
        yield generate_phrases(
            classes,
            _generator(texts),
            ledger=CompletionLedger(open_store(runtime).store),
            buyer=None,
            similarity=_name_similarity(texts, encoder, runtime),
            pairs=[*_pairs(classes, texts), *pairs],
        ).bank
    if texts.wordnet is not None:
        from coder_core.wordnet.synonyms import find_synonyms, synonym_bank

        yield synonym_bank(
            find_synonyms(
                classes,
                _domain(texts),
                embed=lambda found: embed_now(found, encoder, runtime),
                lexicon=texts.wordnet,
            )
        )


def read_bank_file(texts: TextsSpec, classes: ClassList) -> TextBank:
    """The phrases of the bank's file alone; none where no file is named."""
    if texts.bank is None:
        return empty_bank(classes)
    return parse_text_bank(_read_text(texts.bank), place=texts.bank, classes=classes)


def _read_edits(texts: TextsSpec, classes: ClassList) -> TextEdits:
    if texts.edits is None:
        return TextEdits()
    return parse_text_edits(_read_text(texts.edits), place=texts.edits, classes=classes)


def _read_text(location: str) -> str:
    try:
        return read_input(open_location(location)).decode("utf-8")
    except UnicodeDecodeError as error:
        raise TextBankError(f"this is not UTF-8 text ({error}).", location, "Save it as UTF-8.") from error


def _generator(texts: TextsSpec) -> GeneratorSpec:
    if texts.generator is None:
        raise ConfigError("no language model is named.", "texts.generator", "Add `generator: {model: ...}`.")
    if texts.pairs != "confused":
        return texts.generator
    kinds = dict.fromkeys((*texts.generator.kinds, TextKind.ONE_TO_ONE))
    return texts.generator.model_copy(update={"kinds": tuple(kinds)})


def _pairs(classes: ClassList, texts: TextsSpec, *, within: Sequence[int] | None = None) -> Sequence[ClassPair]:
    """The pairs to ask about before stage 1; `within` takes those whose first class is one of some."""
    if texts.pairs != "all" or TextKind.ONE_TO_ONE not in _generator(texts).kinds:
        return []
    chosen = set(range(len(classes)) if within is None else within)
    return [pair for pair in combinations(range(len(classes)), 2) if pair[0] in chosen]


def _domain(texts: TextsSpec) -> Domain:
    return find_domain(texts.domain, load_domains(texts.domains))


def _name_similarity(texts: TextsSpec, encoder: EncoderHandle, runtime: Runtime) -> "NameSimilarity | None":
    """How alike names are to the encoder; nobody can say where there is no model."""
    if isinstance(encoder.spec, PrecomputedEncoder):
        return None
    return NameSimilarity(_domain(texts), encoder, runtime)


class NameSimilarity:
    """Cosines of names, each in the domain's sentence for a class name; vectors come from the ledger."""

    def __init__(self, domain: Domain, encoder: EncoderHandle, runtime: Runtime) -> None:
        self._domain, self._encoder, self._runtime = domain, encoder, runtime
        self._embed_again = lru_cache(maxsize=1)(self._embed)

    def __call__(self, texts_a: Sequence[str], texts_b: Sequence[str]) -> Float[np.ndarray, "texts_a texts_b"]:
        """Compare every name of the one with every name of the other; the other stays the same from call to call."""
        return np.asarray(self._embed(tuple(texts_a)) @ self._embed_again(tuple(texts_b)).T)

    def _embed(self, names: tuple[str, ...]) -> Float[np.ndarray, "names dim"]:
        sentences = [fill(self._domain.class_name, {"class": name}) for name in names]
        return embed_now(sentences, self._encoder, self._runtime)
