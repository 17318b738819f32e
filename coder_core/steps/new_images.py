"""Images that nobody has labelled: listed like a data set's, without classes and without labels."""

from collections.abc import Sequence

import pyarrow as pa

from coder_core.errors import InputError
from coder_core.fingerprint import key_of
from coder_core.images.decoding import IMAGE_SUFFIXES
from coder_core.specs import Runtime
from coder_core.steps.dataset import LISTING_ROWS, ImagesHandle, part_name
from coder_core.steps.workplace import Product, Stopwatch, open_store
from coder_core.storage.addresses import redact
from coder_core.storage.artifacts import Artifact, ArtifactPayload, ArtifactStore
from coder_core.storage.inputs import InputFile, find_inputs

STEP_VERSION = 1


def list_new_images(locations: Sequence[str], runtime: Runtime) -> ImagesHandle:
    """List image files, or find them listed.

    Args:
        locations: Files (whatever their suffix), folders and patterns, as paths or fsspec URLs.
        runtime: Where the store is.

    Returns:
        Each file once, in the order in which the locations name them; an image's id is its location.

    Raises:
        InputError: There is no such file or folder, or no image in it; nothing is listed then.
    """
    watch, artifacts = Stopwatch(), open_store(runtime)
    if not locations:
        raise InputError("no image is named.", "images", "Name files, folders or patterns.")
    files = list({file.url: file for location in locations for file in find_inputs(location, IMAGE_SUFFIXES)}.values())
    identity = key_of(["new images", [[file.url, file.token] for file in files]])
    payload = ArtifactPayload(kind="images", step_version=STEP_VERSION, spec={}, inputs={"source": identity})
    found = artifacts.find(payload)
    artifact = found or _write(artifacts, payload, files)
    computed = 0 if found else artifact.rows
    return ImagesHandle(
        images=Product(
            step="list_new_images",
            artifact=artifact,
            seconds=watch.seconds,
            computed=computed,
            reused=artifact.rows - computed,
        )
    )


def _write(artifacts: ArtifactStore, payload: ArtifactPayload, files: Sequence[InputFile]) -> Artifact:
    writer = artifacts.writer(payload)
    for number, start in enumerate(range(0, len(files), LISTING_ROWS)):
        chunk = files[start : start + LISTING_ROWS]
        columns = [[redact(file.url) for file in chunk], [file.url for file in chunk], [file.token for file in chunk]]
        writer.write_part(part_name(number), pa.table(columns, names=["image_id", "location", "token"]))
    return writer.commit()
