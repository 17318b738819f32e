"""An artifact's table as one Parquet file where a user wants it: a path or any fsspec URL, whole or not at all."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from coder_core.errors import ConfigError
from coder_core.storage.addresses import parse_address, redact
from coder_core.storage.artifacts import ArtifactStore
from coder_core.storage.manifest import Artifact
from coder_core.storage.output_file import write_file
from coder_core.storage.store import Store
from coder_core.storage.tables import COMPRESSION

SUFFIX = ".parquet"


def check_export(url: str) -> None:
    """Refuse a place that no table can be written to, before the work.

    Raises:
        ConfigError: It does not end in `.parquet`.
    """
    if not url.lower().endswith(SUFFIX):
        raise ConfigError(f"a table is written as {SUFFIX}, not as {redact(url)!r}.", "out", f"Let it end in {SUFFIX}.")


def export_table(artifacts: ArtifactStore, artifact: Artifact, url: str) -> None:
    """Write all rows to one file, in the place of the one that may be there; compressed rows are held in memory.

    Raises:
        ConfigError: The file does not end in `.parquet`.
        InputError: A path cannot be written.
        StoreError: A URL cannot be written.
    """
    check_export(url)
    sink = pa.BufferOutputStream()
    writer: pq.ParquetWriter | None = None
    for batch in artifacts.iter_batches(artifact):
        writer = writer or pq.ParquetWriter(sink, batch.schema, compression=COMPRESSION)
        writer.write_batch(batch)
    if writer is None:
        return
    writer.close()
    content = sink.getvalue().to_pybytes()
    address = parse_address(url)
    if address.is_local:
        write_file(Path(address.path), content)
    else:
        folder, _, name = url.rpartition("/")
        Store(folder).write_bytes(name, content)
