"""Step 2, what is said about the classes: a bank's phrases, dressed in sentences, become a table of texts."""

import pyarrow as pa

from coder_core.classes import ClassList
from coder_core.errors import TextBankError
from coder_core.fingerprint import content_hash
from coder_core.locations import open_location
from coder_core.methods import kinds_of_methods
from coder_core.specs import EvalSpec, Runtime, TextsSpec
from coder_core.steps.dataset import part_name, read_classes
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.inputs import read_input
from coder_core.texts.bank import TextBank, empty_bank
from coder_core.texts.bank_file import parse_text_bank
from coder_core.texts.domains import find_domain, load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import Text, TextTable, build_texts

STEP_VERSION = 1


def kinds_needed(spec: EvalSpec) -> tuple[TextKind, ...]:
    """Kinds of text that the methods need; the CODER matrix, where it is asked for, takes all neighbour texts."""
    needed = set(kinds_of_methods(spec.methods))
    if spec.matrix.write:
        needed |= set(TextKind) - {TextKind.TEMPLATE}
    return tuple(kind for kind in TextKind if kind in needed)


def write_texts(classes: Artifact, texts: TextsSpec, kinds: tuple[TextKind, ...], runtime: Runtime) -> Product:
    """Build the table of texts, or find it built.

    Args:
        classes: The class list.
        texts: Bank, domain, and the user's own sentences.
        kinds: Kinds of text that the evaluation needs.
        runtime: Where the store is.

    Raises:
        TextBankError: The bank does not fit the class list.
        ConfigError: Unknown domain or a broken sentence.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    content = read_input(open_location(texts.bank)) if texts.bank else None
    payload = ArtifactPayload(
        kind="texts",
        step_version=STEP_VERSION,
        spec={"domain": texts.domain, "domains": texts.domains, "kinds": kinds},
        inputs={"classes": classes.key, "bank": content_hash(content or b"")},
    )
    found = artifacts.find(payload)
    artifact = found or _build(artifacts, payload, classes, texts, kinds, content)
    made = 0 if found else artifact.rows
    return Product(
        step="write_texts", artifact=artifact, seconds=watch.seconds, computed=made, reused=artifact.rows - made
    )


def read_text_table(artifacts: ArtifactStore, texts: Artifact) -> TextTable:
    """The table of texts of a `texts` artifact."""
    rows = tuple(
        Text(**{**row, "kind": TextKind(row["kind"])}) for row in artifacts.read(texts, list(Text._fields)).to_pylist()
    )
    return TextTable(rows=rows, class_count=int(texts.summary["class_count"]))


def _build(
    artifacts: ArtifactStore,
    payload: ArtifactPayload,
    classes: Artifact,
    texts: TextsSpec,
    kinds: tuple[TextKind, ...],
    content: bytes | None,
) -> Artifact:
    class_list = read_classes(artifacts, classes)
    bank = _load_bank(texts, class_list, content)
    domain = find_domain(texts.domain, load_domains(texts.domains))
    table = build_texts(class_list, bank, domain, kinds=kinds)
    writer = artifacts.writer(payload)
    writer.write_part(part_name(0), _as_arrow(table))
    return writer.commit({"class_count": len(class_list), "unique_texts": len(table.unique_texts())})


def _load_bank(texts: TextsSpec, classes: ClassList, content: bytes | None) -> TextBank:
    if texts.bank is None or content is None:
        return empty_bank(classes)
    try:
        return parse_text_bank(content.decode("utf-8"), place=texts.bank, classes=classes)
    except UnicodeDecodeError as error:
        raise TextBankError(f"this is not UTF-8 text ({error}).", texts.bank, "Save it as UTF-8.") from error


def _as_arrow(table: TextTable) -> pa.Table:
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
    columns = list(zip(*table.rows, strict=True))
    return pa.table([pa.array(list(map(_plain, column))) for column in columns], names=schema.names).cast(schema)


def _plain(value: object) -> object:
    return str(value) if isinstance(value, str) else value
