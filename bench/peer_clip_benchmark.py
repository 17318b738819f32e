"""Runs in CLIP_benchmark's environment: what it says of every image, which its command does not print.

    python bench/peer_clip_benchmark.py ROOT MODEL TEMPLATES.json OUT.json

Model, loader, zero-shot classifier and logits are its own functions. One process reads, so images come in the order of
the shard. Templates have `{c}` for the class name, as its own have.
"""

import json
import sys
from pathlib import Path

import torch
from clip_benchmark.datasets.builder import build_dataset
from clip_benchmark.metrics.zeroshot_classification import run_classification, zero_shot_classifier
from clip_benchmark.models import load_clip


def main() -> None:
    """Write the predicted class of every image, in order."""
    root, model_name, templates, out = sys.argv[1:]
    model, transform, tokenizer = load_clip(
        model_type="open_clip", model_name=model_name, pretrained="", cache_dir=None, device="cpu"
    )
    model.eval()
    dataset = build_dataset(
        dataset_name="wds/photos", root=root, transform=transform, split="test", task="zeroshot_classification"
    )
    loader = torch.utils.data.DataLoader(dataset.batched(64), batch_size=None, shuffle=False, num_workers=0)
    names = dataset.classes
    said = {}
    for method, sentences in json.loads(Path(templates).read_text()).items():
        classifier = zero_shot_classifier(model, tokenizer, names, sentences, "cpu", amp=False)
        logits, _ = run_classification(model, classifier, loader, "cpu", amp=False)
        best = logits.float().topk(2, dim=1)
        said[method] = {
            "predicted": best.indices[:, 0].tolist(),
            "ahead": (best.values[:, 0] - best.values[:, 1]).tolist(),
        }
    Path(out).write_text(json.dumps(said))


if __name__ == "__main__":
    main()
