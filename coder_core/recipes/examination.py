"""`coder-eval doctor`: the whole examination of one config, and writing what it proposes."""

import json
from dataclasses import dataclass
from pathlib import Path

from coder_core.classes import ClassList
from coder_core.config import validate_spec
from coder_core.config_edit import write_class_names
from coder_core.errors import ConfigError
from coder_core.images.renamed_classes import under_names
from coder_core.images.sources import open_source
from coder_core.locations import is_url
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.doctor import look_at_names, look_through_encoder, mapping_of
from coder_core.review.finding import Finding
from coder_core.specs import EvalSpec, Runtime
from coder_core.steps.assemble_bank import read_bank_file
from coder_core.storage.output_file import write_file
from coder_core.texts.markup import read_markup


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        findings: Faults, in the order in which they were looked for.
        own: The classes as the data set itself names them.
    """

    findings: tuple[Finding, ...]
    own: ClassList

    def to_json(self, written: dict[str, str]) -> str:
        """One JSON object: the faults, and the names that were written."""
        faults = [
            {
                "fault": str(finding.fault),
                "classes": [self.own.names[label] for label in finding.class_ids],
                "problem": finding.problem,
                "remedy": finding.remedy,
                "new_names": {self.own.names[label]: name for label, name in finding.new_names.items()},
            }
            for finding in self.findings
        ]
        return json.dumps({"faults": faults, "written": written})


def examine(spec: EvalSpec, runtime: Runtime, *, with_encoder: bool = True) -> Examination:
    """Examine names, texts and labels; nothing is asked of a language model, and no data is touched.

    Names that are mended by a proposal are mended for the look through the encoder, too: what is left is another fault.

    Args:
        spec: The evaluation.
        runtime: Where the store is, for what is embedded.
        with_encoder: Whether a handful of images is embedded.

    Raises:
        CoderError: The data set, the bank or the model cannot be read.
    """
    opened = open_source(spec.dataset, settle_seconds=runtime.settle_seconds)
    own, source = opened.classes, under_names(opened, spec.class_names)
    bank = read_bank_file(spec.texts, source.classes) if spec.texts.bank else None
    found = look_at_names(spec, source, bank)
    if with_encoder:
        mended = spec.model_copy(update={"class_names": mapping_of(found, own, spec.class_names)})
        with inline_runner(runtime) as run:
            found += look_through_encoder(mended, run)
    return Examination(tuple(found), own)


def fix_config(config: str, spec: EvalSpec, found: Examination) -> dict[str, str]:
    """Write the proposed names into a config file; gives the mapping, empty where nothing is proposed.

    Raises:
        ConfigError: The config is no file of this machine, or is written in braces.
    """
    if not any(finding.new_names for finding in found.findings):
        return {}
    if is_url(config) or not Path(config).is_file():
        raise ConfigError("only a config in a file can be edited.", config, "Copy it to a file first.")
    mapping = mapping_of(found.findings, found.own, spec.class_names)
    file = Path(config).resolve()  # a link stays one
    given = file.read_bytes().decode("utf-8")
    text = write_class_names(given.replace("\r\n", "\n"), mapping, place=config)
    validate_spec(read_markup(text, config), place=config, base=str(Path(config).parent))
    write_file(file, text.replace("\n", "\r\n") if "\r\n" in given else text)
    return mapping
