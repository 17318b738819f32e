"""Runs in daft's environment: image files to vectors in Parquet, as its documentation builds such a pipeline.

python bench/peer_daft.py PHOTOS CHECKPOINT OUT
"""

import io
import sys
from typing import Any

import daft
import daft.functions
import numpy as np
import open_clip
import torch
from PIL import Image

PHOTOS, CHECKPOINT, OUT = sys.argv[1:]
BATCH = 32
VECTOR = daft.DataType.embedding(daft.DataType.float32(), 512)
"""ViT-B-32's."""


@daft.cls(max_concurrency=1)
class Embed:
    """One model; it decodes and prepares what it embeds."""

    def __init__(self) -> None:
        self.model, _, self.prepare = open_clip.create_model_and_transforms(f"local-dir:{CHECKPOINT}")
        self.model.eval()

    @daft.method.batch(return_dtype=VECTOR, batch_size=BATCH)
    def embed(self, contents: Any) -> list[np.ndarray]:
        """Vectors of some files."""
        images = [self.prepare(Image.open(io.BytesIO(content)).convert("RGB")) for content in contents.to_pylist()]
        with torch.inference_mode():
            vectors = self.model.encode_image(torch.stack(images), normalize=True)
        return list(vectors.numpy())


def main() -> None:
    """Run the pipeline."""
    files = daft.from_glob_path(f"{PHOTOS}/**/*.jpg").select("path")
    embedded = files.with_column("vector", Embed().embed(daft.functions.download(daft.col("path"))))
    embedded.write_parquet(OUT)


if __name__ == "__main__":
    main()
