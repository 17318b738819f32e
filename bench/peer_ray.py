"""Runs in ray's environment: image files to vectors in Parquet, as its documentation builds such a pipeline.

    python bench/peer_ray.py PHOTOS CHECKPOINT OUT

Photographs are prepared for an input of 224 pixels with OpenAI's mean and deviation.
"""

import io
import sys
from typing import Any

import open_clip
import ray
import torch
from open_clip.transform import image_transform
from PIL import Image

PHOTOS, CHECKPOINT, OUT = sys.argv[1:]
BATCH = 32


PREPARE = image_transform(224, is_train=False)


def prepare(row: dict[str, Any]) -> dict[str, Any]:
    """Decode and prepare one image, beside the model."""
    image = Image.open(io.BytesIO(row["bytes"])).convert("RGB")
    return {"path": row["path"], "image": PREPARE(image).numpy()}


class Embed:
    """One model."""

    def __init__(self) -> None:
        self.model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{CHECKPOINT}")
        self.model.eval()

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Vectors of some images."""
        with torch.inference_mode():
            vectors = self.model.encode_image(torch.from_numpy(batch["image"]), normalize=True)
        return {"path": batch["path"], "vector": vectors.numpy()}


def main() -> None:
    """Run the pipeline."""
    ray.init(include_dashboard=False, log_to_driver=False)
    files = ray.data.read_binary_files(PHOTOS, include_paths=True)
    prepared = files.map(prepare)
    prepared.map_batches(Embed, batch_size=BATCH, concurrency=1, num_cpus=1).write_parquet(OUT)


if __name__ == "__main__":
    main()
