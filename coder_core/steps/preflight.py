"""Checks before the work: what would fail later fails now."""

import logging
from typing import ClassVar

from coder_core.care.store_format import note_format
from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import identify_encoder
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import EncoderSpec
from coder_core.storage.addresses import redact
from coder_core.storage.exports import check_export

logger = logging.getLogger(__name__)


class CheckStore(Step[None]):
    """Fail now rather than after the work when the store cannot be written, and say once where it is an older one.

    Raises:
        StoreError: With the reason and the remedy.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "writes one small file"

    def run(self, context: Context) -> None:
        """Write and delete a small file; note the format of the store."""
        context.artifacts.store.check_writable()
        older = note_format(context.artifacts.store)
        if older is not None:
            logger.warning("%s: %s", redact(context.runtime.store), older)


class CheckExport(Step[None]):
    """Fail now rather than after the work when no table can be written to a place.

    Raises:
        ConfigError: It does not end in `.parquet`.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "looks at a name"

    output: str

    def run(self, context: Context) -> None:  # noqa: ARG002
        """Look at its name."""
        check_export(self.output)


class IdentifyEncoder(Step[IdentifiedEncoder]):
    """Identify the encoder by its weights and configuration, so that its ledgers can be asked before it is loaded.

    Raises:
        CheckpointError: The weights cannot be found.
        FeatureFileError: A file of features cannot be used.
    """

    loop_free: ClassVar[str] = "hashes one file at the speed of the disk"

    encoder: EncoderSpec

    def run(self, context: Context) -> IdentifiedEncoder:  # noqa: ARG002
        """Hash weights and configuration."""
        return identify_encoder(self.encoder)
