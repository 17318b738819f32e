"""What is said about the classes: a bank's phrases, dressed in sentences, become a table of texts.

A control is a table of texts like any other, from which one thing was taken away: embedded through the same ledger and
scored by the same classifier as CODER's own, so the two differ in nothing else.
"""

from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from coder_core.errors import TextBankError
from coder_core.fingerprint import NotIdentity
from coder_core.method_texts import class_ids_without_texts, reads_texts
from coder_core.pipeline.artifact_types import ClassesArtifact, TextBankArtifact, TextsArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.output import Output
from coder_core.pipeline.step import ArtifactStep, Step
from coder_core.pipeline.step_inputs import PackagedData
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import ControlName
from coder_core.steps.assemble_bank import read_bank
from coder_core.steps.load_dataset import read_classes
from coder_core.texts.domains import fill, find_domain, load_domains
from coder_core.texts.kinds import TextKind
from coder_core.texts.sentences import Text, TextTable, build_texts
from coder_core.texts.vocabulary import VOCABULARY_FILE, load_vocabulary

if TYPE_CHECKING:
    import pyarrow as pa

CONTROL_PREFIX = "control_"
"""Before a control's name, where it stands among the methods."""

SENTENCES = PackagedData(name="texts/domains.yaml")
OwnSentences = dict[str, dict[str, str | tuple[str, ...]]]


class WriteTexts(ArtifactStep[TextsArtifact]):
    """Dress the bank's phrases in the domain's sentences.

    Raises:
        ConfigError: Unknown domain or a broken sentence.
    """

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "a million sentences take seconds"

    classes: ClassesArtifact
    bank: TextBankArtifact
    domain: str
    domains: OwnSentences
    kinds: tuple[TextKind, ...]
    sentences: PackagedData = SENTENCES
    label: Annotated[str, NotIdentity("what the step is called among the timings")] = "write_texts"

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return self.label

    @property
    def title(self) -> str:
        """With the domain."""
        return f"{self.label}-{self.domain}".replace("_", "-")

    def make(self, context: Context, output: Output) -> TextsArtifact:
        """Build the table; without kinds it is empty."""
        classes = read_classes(context, self.classes)
        domain = find_domain(self.domain, load_domains(self.domains))
        table = TextTable(rows=(), class_count=len(classes))
        if self.kinds:
            table = build_texts(classes, read_bank(context, self.bank, classes), domain, kinds=self.kinds)
        return _write(table, output)


class WriteVocabulary(ArtifactStep[TextsArtifact]):
    """Dress the shipped vocabulary in the domain's sentence for class names: every word is a class of its own.

    Words that are or hold names of `purged` classes are left out: for measuring what the others are worth.

    Raises:
        ConfigError: Unknown domain or a broken sentence.
    """

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "a few thousand sentences"

    domain: str
    domains: OwnSentences
    purged: ClassesArtifact | None = None
    words: PackagedData = PackagedData(name=VOCABULARY_FILE)
    sentences: PackagedData = SENTENCES

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return "write_vocabulary"

    def make(self, context: Context, output: Output) -> TextsArtifact:
        """One text per word."""
        purged = read_classes(context, self.purged).display_names if self.purged is not None else ()
        template = find_domain(self.domain, load_domains(self.domains)).class_name
        rows = tuple(
            Text(fill(template, {"class": word}), TextKind.CLASS_NAME, number, None, word, template, "vocabulary")
            for number, word in enumerate(load_vocabulary(purged=purged))
        )
        return _write(TextTable(rows=rows, class_count=len(rows)), output)


class CheckTexts(Step[None]):
    """Refuse methods that read texts where there is none to read: all of them would be CLIP under other names.

    Raises:
        TextBankError: A method has no text about any class but its name.
    """

    traits: ClassVar[Traits] = PREFLIGHT

    texts: TextsArtifact
    methods: tuple[str, ...]

    def run(self, context: Context) -> None:
        """Look through the texts."""
        methods = [method for method in self.methods if reads_texts(method)]
        if not methods:
            return
        table = read_text_table(context, self.texts)
        starved = [name for name in methods if len(class_ids_without_texts(name, table)) == table.class_count]
        if starved:
            raise TextBankError(
                f"none of {table.class_count} classes has a text that {', '.join(starved)} could read, only names.",
                "texts",
                "Name a `texts.bank` that describes the classes, see why the language model gave none, or drop them.",
            )


class WriteControlTexts(ArtifactStep[TextsArtifact]):
    """Take one thing away from CODER's texts.

    Raises:
        TextBankError: The bank describes no class.
        ConfigError: `shuffled` with one class.
    """

    version: ClassVar[int] = 2
    loop_free: ClassVar[str] = "a million sentences take seconds"

    control: ControlName
    classes: ClassesArtifact
    bank: TextBankArtifact
    domain: str
    domains: OwnSentences
    seed: int
    sentences: PackagedData = SENTENCES

    @property
    def name(self) -> str:
        """As it stands among the timings."""
        return f"write_texts_{CONTROL_PREFIX}{self.control}"

    def make(self, context: Context, output: Output) -> TextsArtifact:
        """Build the control's table."""
        from coder_core.baselines.control_texts import build_control

        classes = read_classes(context, self.classes)
        domain = find_domain(self.domain, load_domains(self.domains))
        bank = read_bank(context, self.bank, classes)
        return _write(build_control(self.control, classes, bank, domain=domain, seed=self.seed), output)


def read_text_table(context: Context, texts: TextsArtifact) -> TextTable:
    """The table of an artifact."""
    rows = context.read(texts, list(Text._fields)).to_pylist()
    return TextTable(tuple(Text(**{**row, "kind": TextKind(row["kind"])}) for row in rows), texts.class_count)


def read_texts_and_pairs(context: Context, texts: TextsArtifact, pair_texts: TextsArtifact | None) -> TextTable:
    """The texts of stage 1 and, after them, those of `pair_texts` that tell pairs apart; every text once."""
    table = read_text_table(context, texts)
    if pair_texts is None:
        return table
    rows = [row for row in table if row.kind is not TextKind.ONE_TO_ONE]
    pairs = [row for row in read_text_table(context, pair_texts) if row.kind is TextKind.ONE_TO_ONE]
    return TextTable(rows=(*rows, *pairs), class_count=table.class_count)


def _write(table: TextTable, output: Output) -> TextsArtifact:
    output.write(_texts_to_arrow(table))
    unique = len(table.unique_texts())
    return output.finish(TextsArtifact, class_count=table.class_count, unique_texts=unique)


def _texts_to_arrow(table: TextTable) -> "pa.Table":
    import pyarrow as pa

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


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, str) else value
