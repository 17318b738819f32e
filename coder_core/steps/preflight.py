"""Checks before the work: what would fail later fails now."""

from typing import ClassVar

from coder_core.encoders.base import IdentifiedEncoder
from coder_core.encoders.registry import identify_encoder
from coder_core.pipeline.context import Context
from coder_core.pipeline.step import Step
from coder_core.pipeline.traits import PREFLIGHT, Traits
from coder_core.specs import EncoderSpec
from coder_core.storage.exports import check_export


class CheckStore(Step[None]):
    """Fail now rather than after the work when the store cannot be written.

    Raises:
        StoreError: With the reason and the remedy.
    """

    traits: ClassVar[Traits] = PREFLIGHT
    loop_free: ClassVar[str] = "writes one small file"

    def run(self, context: Context) -> None:
        """Write and delete a small file."""
        context.artifacts.store.check_writable()


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
