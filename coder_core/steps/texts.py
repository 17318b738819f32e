"""Step 2, what is said about the classes: a bank's phrases, dressed in sentences, become a table of texts."""

import pyarrow as pa

from coder_core.methods import kinds_of_methods
from coder_core.specs import EvalSpec, Runtime, TextsSpec
from coder_core.steps.dataset import part_name, read_classes
from coder_core.steps.text_bank import read_bank
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.texts.domains import find_domain, load_domains
from coder_core.texts.kinds import DESCRIPTIVE_KINDS, NAMING_KINDS, TextKind
from coder_core.texts.sentences import Text, TextTable, build_texts

STEP_VERSION = 1


METRIC_KINDS = (TextKind.CLASS_NAME, TextKind.ATTRIBUTE, TextKind.ANALOGOUS_CLASS)
"""Kinds of text that make the few-shot metric (Yi et al., CVPR 2024, CODER-Adapter)."""


def kinds_needed(spec: EvalSpec) -> tuple[TextKind, ...]:
    """Kinds of text that methods and few-shot need; the CODER matrix, where asked for, takes all neighbour texts."""
    needed = set(kinds_of_methods(spec.stage1_methods))
    if spec.few_shot is not None:
        needed |= set(kinds_of_methods([name for name in (spec.few_shot.zero_shot,) if name != "none"]))
        needed |= set(METRIC_KINDS) if spec.few_shot.texts is None else set()
    if spec.ablation is not None:
        needed |= {*NAMING_KINDS, *DESCRIPTIVE_KINDS}
    if spec.matrix.write:
        needed |= set(TextKind) - {TextKind.TEMPLATE}
    return tuple(kind for kind in TextKind if kind in needed)


def write_texts(
    classes: Artifact,
    bank: Artifact,
    texts: TextsSpec,
    kinds: tuple[TextKind, ...],
    runtime: Runtime,
    *,
    step: str = "write_texts",
) -> Product:
    """Build the table of texts, or find it built.

    Args:
        classes: The class list.
        bank: The phrases, from `text_bank.assemble_bank`.
        texts: Domain, and the user's own sentences.
        kinds: Kinds of text that the evaluation needs; none makes an empty table.
        runtime: Where the store is.
        step: What the step is called among the timings.

    Raises:
        ConfigError: Unknown domain or a broken sentence.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = ArtifactPayload(
        kind="texts",
        step_version=STEP_VERSION,
        spec={"domain": texts.domain, "domains": texts.domains, "kinds": kinds},
        inputs={"classes": classes.key, "bank": bank.key},
    )
    found = artifacts.find(payload)
    artifact = found or _build(artifacts, payload, classes, bank, texts, kinds)
    made = 0 if found else artifact.rows
    return Product(step=step, artifact=artifact, seconds=watch.seconds, computed=made, reused=artifact.rows - made)


def read_text_table(artifacts: ArtifactStore, texts: Artifact) -> TextTable:
    """The table of texts of a `texts` artifact."""
    rows = tuple(
        Text(**{**row, "kind": TextKind(row["kind"])}) for row in artifacts.read(texts, list(Text._fields)).to_pylist()
    )
    return TextTable(rows=rows, class_count=int(texts.summary["class_count"]))


def read_texts_and_pairs(artifacts: ArtifactStore, texts: Artifact, pair_texts: Artifact) -> TextTable:
    """The texts of stage 1 and, after them, those of `pair_texts` that tell pairs apart; every text once."""
    table = read_text_table(artifacts, texts)
    rows = [row for row in table if row.kind is not TextKind.ONE_TO_ONE]
    pairs = [row for row in read_text_table(artifacts, pair_texts) if row.kind is TextKind.ONE_TO_ONE]
    return TextTable(rows=(*rows, *pairs), class_count=table.class_count)


def _build(
    artifacts: ArtifactStore,
    payload: ArtifactPayload,
    classes: Artifact,
    bank: Artifact,
    texts: TextsSpec,
    kinds: tuple[TextKind, ...],
) -> Artifact:
    class_list = read_classes(artifacts, classes)
    domain = find_domain(texts.domain, load_domains(texts.domains))
    table = TextTable(rows=(), class_count=len(class_list))
    if kinds:
        table = build_texts(class_list, read_bank(artifacts, bank, class_list), domain, kinds=kinds)
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), texts_to_arrow(table))
    return writer.commit({"class_count": len(class_list), "unique_texts": len(table.unique_texts())})


def texts_to_arrow(table: TextTable) -> pa.Table:
    """A table of texts as rows."""
    schema = pa.schema(
        [
            ("text", pa.string()),
            ("kind", pa.string()),
            ("class_id", pa.int32()),
            ("rival_id", pa.int32()),
            ("phrase", pa.string()),
            ("template", pa.string()),
            ("source", pa.string()),
        ]
    )
    if not table.rows:
        return schema.empty_table()
    columns = list(zip(*table.rows, strict=True))
    return pa.table([pa.array(list(map(_plain, column))) for column in columns], names=schema.names).cast(schema)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value
