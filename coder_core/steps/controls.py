"""Step 6a, where the spec asks for it: the controls. CODER's own classifier on texts that lost one thing.

A control is a table of texts like any other: embedded through the same ledger, scored by the same step under the
method `coder`, and told apart by its texts. So a control and CODER differ in nothing but what was taken away.
"""

from coder_core.baselines.controls import build_control
from coder_core.specs import ControlName, Runtime, TextsSpec
from coder_core.steps.dataset import part_name, read_classes
from coder_core.steps.text_bank import read_bank
from coder_core.steps.texts import texts_to_arrow
from coder_core.steps.workplace import Handle, Product, Stopwatch, open_store
from coder_core.storage.artifacts import Artifact, ArtifactPayload
from coder_core.texts.domains import find_domain, load_domains

STEP_VERSION = 1

PREFIX = "control_"
"""Before a control's name, where it stands among the methods."""


class ControlEvidence(Handle):
    """All that the results of one control are made from."""

    texts: Product
    text_embeddings: Product
    predictions: Product


def write_control_texts(
    control: ControlName, classes: Artifact, bank: Artifact, texts: TextsSpec, seed: int, runtime: Runtime
) -> Product:
    """Write the texts of a control, or find them written.

    Args:
        control: Which.
        classes: The class list.
        bank: The phrases that CODER uses.
        texts: Domain, and the user's own sentences.
        seed: Decides what is random.
        runtime: Where the store is.

    Raises:
        TextBankError: The bank describes no class.
        ConfigError: `shuffled` with one class.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    payload = ArtifactPayload(
        kind="texts",
        step_version=STEP_VERSION,
        spec={"control": control, "seed": seed, "domain": texts.domain, "domains": texts.domains},
        inputs={"classes": classes.key, "bank": bank.key},
    )
    artifact = artifacts.find(payload)
    made = 0
    if artifact is None:
        class_list = read_classes(artifacts, classes)
        domain = find_domain(texts.domain, load_domains(texts.domains))
        table = build_control(control, class_list, read_bank(artifacts, bank, class_list), domain=domain, seed=seed)
        writer = artifacts.writer(payload)
        writer.write_part(part_name(0), texts_to_arrow(table))
        artifact = writer.commit({"class_count": len(class_list), "unique_texts": len(table.unique_texts())})
        made = artifact.rows
    return Product(
        step=f"write_texts_{PREFIX}{control}",
        artifact=artifact,
        seconds=watch.seconds,
        computed=made,
        reused=artifact.rows - made,
    )
