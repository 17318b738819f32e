"""How the micro-CLIP is trained."""

import json

import numpy as np
import open_clip
import pytest
import torch
from click.testing import CliRunner
from open_clip.tokenizer import SimpleTokenizer
from safetensors.torch import load_file

from tools.micro_clip.train import (
    CAPTION_VOCABULARY,
    MODEL_FOLDER,
    CaptionTokens,
    Recipe,
    build_trainable,
    contrastive_loss,
    learning_rate,
    main,
)
from tools.micro_clip.training_pairs import UNKNOWN, draw_batch


def config():
    return json.loads((MODEL_FOLDER / "open_clip_config.json").read_text("utf-8"))["model_cfg"]


def used_rows(folder):
    """Token ids whose embedding is not exactly zero."""
    table = load_file(folder / "open_clip_model.safetensors")["token_embedding.weight"]
    return set(torch.nonzero(table.abs().amax(dim=1)).flatten().tolist())


@pytest.mark.slow
def test_the_training_script_writes_a_model_that_open_clip_loads(tmp_path):
    done = CliRunner().invoke(main, ["--steps", "2", "--pairs", "8", "--folder", str(tmp_path / "model")])
    assert done.exit_code == 0, done.output
    record = json.loads((tmp_path / "model" / "training.json").read_text("utf-8"))
    assert record["recipe"]["steps"] == 2
    assert record["final_loss"] > 0
    model, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path / 'model'}")
    with torch.no_grad():
        rows = model.encode_text(SimpleTokenizer()(["a red disc on a white field", "a blue cross"]), normalize=True)
    assert rows.norm(dim=1).tolist() == pytest.approx([1, 1])
    assert not torch.allclose(rows[0], rows[1])
    assert len(used_rows(tmp_path / "model")) == record["tokens_trained"] < CAPTION_VOCABULARY


def test_tokens_are_numbered_as_they_come_and_unknown_ones_are_zero():
    tokens = CaptionTokens()
    table = tokens.encode(["a red disc", f"a flag of {UNKNOWN} {UNKNOWN}", "red"])
    assert table.tolist() == [
        [1, 2, 3, 4, tokens.end, 0, 0],
        [1, 2, 5, 6, 0, 0, tokens.end],
        [1, 3, tokens.end, 0, 0, 0, 0],
    ]
    assert table.argmax(dim=1).tolist() == [4, 6, 2]


def test_the_full_token_table_has_trained_rows_in_their_place_and_zeros_elsewhere():
    tokens = CaptionTokens()
    tokens.encode(["red white"])
    small = torch.arange(1, CAPTION_VOCABULARY + 1).float()[:, None].repeat(1, 3)
    full, clip = tokens.expand(small), SimpleTokenizer()
    red, white = clip.encode("red white")
    rows = {clip.sot_token_id: 2.0, red: 3.0, white: 4.0, clip.eot_token_id: float(CAPTION_VOCABULARY)}
    assert full.shape == (49408, 3)
    assert {row: full[row, 0].item() for row in rows} == rows
    assert set(torch.nonzero(full[:, 0]).flatten().tolist()) == set(rows)


def test_too_many_tokens_are_refused():
    tokens = CaptionTokens()
    many = " ".join(tokens.tokenizer.decode([token]) for token in range(1000, 1600))
    with pytest.raises(ValueError, match="raise CAPTION_VOCABULARY"):
        tokens.encode([many])


@pytest.mark.slow
def test_captions_fit_the_small_token_table():
    tokens, batch = CaptionTokens(), draw_batch(np.random.default_rng(0), pairs=200)
    tokens.encode(batch.short_captions + batch.long_captions)
    assert 40 < len(tokens.compact) < CAPTION_VOCABULARY - 1


def test_the_unknown_token_stays_zero_when_the_model_learns():
    model = build_trainable(config())
    table = model.token_embedding
    assert table.num_embeddings == CAPTION_VOCABULARY
    assert torch.count_nonzero(table.weight[0]) == 0
    table(torch.tensor([[0, 1]])).sum().backward()
    assert torch.count_nonzero(table.weight.grad[0]) == 0
    assert torch.count_nonzero(table.weight.grad[1]) > 0


def test_the_loss_is_clips():
    images, texts = (
        torch.nn.functional.normalize(torch.randn(2, 4, 6, generator=torch.Generator().manual_seed(0)), dim=-1)
    ).unbind()
    logits = (5.0 * images @ texts.T).double().numpy()
    rows = [-logits[i, i] + np.log(np.exp(logits[i]).sum()) for i in range(4)]
    columns = [-logits[i, i] + np.log(np.exp(logits[:, i]).sum()) for i in range(4)]
    expected = (np.mean(rows) + np.mean(columns)) / 2
    assert contrastive_loss(images, texts, torch.tensor(5.0)).item() == pytest.approx(expected, rel=1e-5)


def test_the_learning_rate_rises_and_falls():
    recipe = Recipe(steps=20, warmup_steps=5, peak_learning_rate=1.0)
    rates = [learning_rate(step, recipe) for step in range(20)]
    assert rates[:6] == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0])
    assert rates[5:] == sorted(rates[5:], reverse=True)
    assert 0 < rates[-1] < 0.02
