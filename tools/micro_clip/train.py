"""Train the micro-CLIP that the demonstration ships: `python -m tools.micro_clip.train`, 40 minutes on two cores.

The architecture is open_clip's CLIP, two orders of magnitude smaller than ViT-B/32. It sees random flag-like patterns
with captions that name their features (`training_pairs.py`), never a country's name and never the design of a real
flag. The result is a folder in the layout that open_clip itself loads (`local-dir:`): config and float16 weights. Rows
of the token table that no caption uses are zero, so that the file compresses to a few megabytes.
"""

import json
import math
import multiprocessing
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn import functional

from coder_core.demo.flag_images import RENDERER_VERSION
from coder_core.encoders.text_tower import build_clip, clip_tokenizer, encode_tokens
from coder_core.locations import open_location
from tools.micro_clip.training_pairs import UNKNOWN, PairBatch, iterate_batches, split_words

MODEL_FOLDER = Path(open_location("demo:micro-clip"))
"""Where the package keeps its weights; training writes there unless told otherwise."""
CAPTION_VOCABULARY = 320
"""Size of the token table while training: row 0 is the unknown token, the last row the end token."""
EXPORT_EVERY = 200


@dataclass(frozen=True)
class Recipe:
    """Everything that decides the result."""

    steps: int = 1600
    pairs: int = 256
    peak_learning_rate: float = 1.5e-3
    warmup_steps: int = 100
    weight_decay: float = 0.05
    seed: int = 2024


class CaptionTokens:
    """Maps CLIP's 49,408 tokens onto the few that captions use, numbered as they first appear."""

    def __init__(self) -> None:
        self.tokenizer = clip_tokenizer()
        self.end = CAPTION_VOCABULARY - 1
        self.compact: dict[int, int] = {self.tokenizer.sot_token_id: 1}

    def encode(self, captions: list[str]) -> Tensor:
        """Token ids `(captions, longest)`; the end token has the highest id, as CLIP's pooling expects."""
        rows = [[1, *(self._ids(caption)), self.end] for caption in captions]
        table = torch.zeros(len(rows), max(len(row) for row in rows), dtype=torch.long)
        for index, row in enumerate(rows):
            table[index, : len(row)] = torch.tensor(row)
        return table

    def _ids(self, caption: str) -> Iterator[int]:
        for word in split_words(caption):
            if word == UNKNOWN:
                yield 0
            else:
                yield from (self._number(token) for token in self.tokenizer.encode(word))

    def _number(self, token: int) -> int:
        number = self.compact.setdefault(token, len(self.compact) + 1)
        if number >= self.end:
            raise ValueError(f"captions use more than {CAPTION_VOCABULARY} tokens: raise CAPTION_VOCABULARY")
        return number

    def expand(self, table: Tensor) -> Tensor:
        """The full token table: trained rows at CLIP's token ids, zero everywhere else."""
        full = torch.zeros(self.tokenizer.vocab_size, table.shape[1])
        for token, number in self.compact.items():
            full[token] = table[number]
        full[self.tokenizer.eot_token_id] = table[self.end]
        return full


def build_trainable(config: dict[str, Any]) -> Any:
    """The architecture with the small token table; row 0 (unknown) gets no gradient and stays zero."""
    model = build_clip(config)
    table = nn.Embedding(CAPTION_VOCABULARY, model.token_embedding.weight.shape[1], padding_idx=0)
    nn.init.normal_(table.weight, std=0.02)
    with torch.no_grad():
        table.weight[0].zero_()
    model.token_embedding = table
    return model


def contrastive_loss(images: Tensor, texts: Tensor, logit_scale: Tensor) -> Tensor:
    """CLIP's symmetric cross entropy over all pairs of a batch (Radford et al., ICML 2021, figure 3)."""
    logits = logit_scale * images @ texts.T
    target = torch.arange(len(images))
    return (functional.cross_entropy(logits, target) + functional.cross_entropy(logits.T, target)) / 2


def batch_loss(model: Any, batch: PairBatch, tokens: CaptionTokens) -> Tensor:
    """Mean of the losses with the short and with the long captions."""
    pixels = torch.from_numpy(batch.images).permute(0, 3, 1, 2).float().div(127.5).sub(1.0)
    images = model.encode_image(pixels, normalize=True)
    scale = model.logit_scale.exp().clamp(max=100.0)
    losses = []
    for captions in (batch.short_captions, batch.long_captions):
        texts = encode_tokens(model, tokens.encode(captions))
        losses.append(contrastive_loss(images, texts, scale))
    return torch.stack(losses).mean()


def learning_rate(step: int, recipe: Recipe) -> float:
    """Linear warm-up, then half a cosine down to zero."""
    if step < recipe.warmup_steps:
        return recipe.peak_learning_rate * (step + 1) / recipe.warmup_steps
    progress = (step - recipe.warmup_steps) / max(1, recipe.steps - recipe.warmup_steps)
    return recipe.peak_learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _feed(queue: "multiprocessing.Queue[PairBatch]", seed: int, pairs: int) -> None:
    for batch in iterate_batches(seed, pairs=pairs):
        queue.put(batch)


def rendered_batches(recipe: Recipe) -> Iterator[PairBatch]:
    """Batches drawn in a process of their own while the model trains."""
    context = multiprocessing.get_context("spawn")
    queue: multiprocessing.Queue[PairBatch] = context.Queue(maxsize=8)
    worker = context.Process(target=_feed, args=(queue, recipe.seed, recipe.pairs), daemon=True)
    worker.start()
    try:
        for _ in range(recipe.steps):
            yield queue.get(timeout=120)
    finally:
        worker.terminate()


def train(recipe: Recipe, config: dict[str, Any], folder: Path) -> tuple[CaptionTokens, list[float]]:
    """Train from scratch, writing the weights now and then and at the end; gives the tokens and every step's loss."""
    torch.manual_seed(recipe.seed)
    model, tokens, losses = build_trainable(config), CaptionTokens(), []
    optimiser = torch.optim.AdamW(model.parameters(), betas=(0.9, 0.98), weight_decay=recipe.weight_decay)
    started = time.monotonic()
    for step, batch in enumerate(rendered_batches(recipe)):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate(step, recipe)
        loss = batch_loss(model, batch, tokens)
        optimiser.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        losses.append(loss.item())
        if (step + 1) % 20 == 0:
            pace = (time.monotonic() - started) / (step + 1)
            click.echo(f"step {step + 1}/{recipe.steps}  loss {np.mean(losses[-20:]):.3f}  {pace:.2f} s/step", err=True)
        if (step + 1) % EXPORT_EVERY == 0 or step + 1 == recipe.steps:
            export(model, tokens, folder)
    return tokens, losses


def export(model: nn.Module, tokens: CaptionTokens, folder: Path) -> None:
    """Write float16 weights in open_clip's names."""
    state = dict(model.state_dict())
    state["token_embedding.weight"] = tokens.expand(state["token_embedding.weight"])
    state.pop("attn_mask", None)
    halves = {name: value.to(torch.float16).contiguous() for name, value in state.items()}
    save_file(halves, folder / "open_clip_model.safetensors", metadata={"format": "pt"})


@click.command()
@click.option("--steps", default=Recipe.steps, show_default=True)
@click.option("--pairs", default=Recipe.pairs, show_default=True)
@click.option("--seed", default=Recipe.seed, show_default=True)
@click.option("--learning-rate", default=Recipe.peak_learning_rate, show_default=True)
@click.option("--folder", default=MODEL_FOLDER, type=click.Path(path_type=Path, file_okay=False), help="Output folder.")
def main(steps: int, pairs: int, seed: int, learning_rate: float, folder: Path) -> None:
    """Train the micro-CLIP and write its weights and its training record."""
    recipe = Recipe(steps=steps, pairs=pairs, seed=seed, peak_learning_rate=learning_rate)
    config_text = (MODEL_FOLDER / "open_clip_config.json").read_text("utf-8")
    started = time.monotonic()
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(config_text, "utf-8")
    tokens, losses = train(recipe, json.loads(config_text)["model_cfg"], folder)
    record = {
        "recipe": asdict(recipe),
        "minutes": round((time.monotonic() - started) / 60, 1),
        "final_loss": round(float(np.mean(losses[-50:])), 4),
        "renderer_version": RENDERER_VERSION,
        "tokens_trained": len(tokens.compact) + 1,
        "torch": torch.__version__,
    }
    (folder / "training.json").write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    click.echo(json.dumps(record))


if __name__ == "__main__":
    main()
