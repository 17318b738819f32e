"""Real architectures of transformers, small and random, with tokenizers, in folders that `save_pretrained` wrote."""

import string
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import transformers as hf
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

LETTERS = string.ascii_lowercase + string.digits + ".,!?'-_"
SIDE = 32
VISION = {"image_size": SIDE, "patch_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
VISION |= {"hidden_size": 32, "intermediate_size": 64}
TEXT = {"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
DIM = 24


def clip_tokenizer(length: int = 77) -> hf.CLIPTokenizer:
    """CLIP's tokenizer over letters."""
    pieces = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS)]
    vocabulary = {piece: place for place, piece in enumerate([*pieces, "<|startoftext|>", "<|endoftext|>"])}
    return hf.CLIPTokenizer(vocab=vocabulary, merges=[], model_max_length=length)


def bert_tokenizer(length: int) -> hf.BertTokenizer:
    """BERT's tokenizer over letters."""
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    vocabulary = [*special, *LETTERS, *(f"##{letter}" for letter in LETTERS)]
    held = {piece: place for place, piece in enumerate(vocabulary)}
    return hf.BertTokenizer(vocab=held, model_max_length=length)


def letters_tokenizer(
    *, pad: int, end: int, start: int | None = None, has_mask: bool = True
) -> PreTrainedTokenizerFast:
    """A tokenizer with the special tokens of SentencePiece's children: an end, perhaps a start, ids as asked."""
    names = {pad: "<pad>", end: "</s>"} | ({} if start is None else {start: "<s>"})
    free = iter([f"▁{letter}" for letter in LETTERS] + list(LETTERS) + ["<unk>", "▁"])
    size = 2 * len(LETTERS) + 2 + len(names)
    vocabulary = {names.get(place) or next(free): place for place in range(size)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    single = "$A </s>" if start is None else "<s> $A </s>"
    special = [("</s>", end)] + ([] if start is None else [("<s>", start)])
    tokenizer.post_processor = processors.TemplateProcessing(single=single, special_tokens=special)
    inputs = ["input_ids", "attention_mask"] if has_mask else ["input_ids"]
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", eos_token="</s>", unk_token="<unk>", model_input_names=inputs
    )


def _clip() -> tuple[Any, Any]:
    tokenizer = clip_tokenizer()
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    text |= {"eos_token_id": tokenizer.eos_token_id, "bos_token_id": tokenizer.bos_token_id, "pad_token_id": 0}
    config = hf.CLIPConfig(text_config=text, vision_config=dict(VISION), projection_dim=DIM)
    images = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return hf.CLIPModel(config), hf.CLIPProcessor(images, tokenizer)


def _siglip() -> tuple[Any, Any]:
    tokenizer = letters_tokenizer(pad=1, end=1 + 1, has_mask=False)
    tokenizer.model_max_length = 16
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 16, "projection_size": 32}
    config = hf.SiglipConfig(text_config=text, vision_config=dict(VISION))
    images = hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE})
    return hf.SiglipModel(config), hf.SiglipProcessor(images, tokenizer)


def _siglip2_fixed() -> tuple[Any, Any]:
    """As the hub has them: SigLIP's classes, Gemma's special tokens, 64 positions, bilinear images."""
    tokenizer = letters_tokenizer(pad=0, end=1)
    tokenizer.model_max_length = 64
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    config = hf.SiglipConfig(text_config=text, vision_config=dict(VISION))
    images = hf.SiglipImageProcessor(size={"height": SIDE, "width": SIDE}, resample=2)
    return hf.SiglipModel(config), hf.SiglipProcessor(images, tokenizer)


def _siglip2_naflex() -> tuple[Any, Any]:
    tokenizer = letters_tokenizer(pad=0, end=1, has_mask=False)
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 64, "projection_size": 32}
    vision = {**VISION, "num_patches": 16, "patch_size": 16}
    vision.pop("image_size")
    config = hf.Siglip2Config(text_config=text, vision_config=vision)
    images = hf.Siglip2ImageProcessor(patch_size=16, max_num_patches=16)
    return hf.Siglip2Model(config), hf.Siglip2Processor(images, tokenizer)


def _align() -> tuple[Any, Any]:
    tokenizer = bert_tokenizer(80)
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 80}
    vision = {"image_size": SIDE, "width_coefficient": 0.2, "depth_coefficient": 0.2, "hidden_dim": 64}
    config = hf.AlignConfig(text_config=text, vision_config=vision, projection_dim=64)
    images = hf.EfficientNetImageProcessor(size={"height": SIDE, "width": SIDE})
    return hf.AlignModel(config), hf.AlignProcessor(images, tokenizer)


def _flava() -> tuple[Any, Any]:
    tokenizer = bert_tokenizer(77)
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    small = {"num_hidden_layers": 1, "num_attention_heads": 2, "hidden_size": 32, "intermediate_size": 64}
    config = hf.FlavaConfig(
        text_config=text, image_config=dict(VISION), multimodal_config=small, hidden_size=32, projection_dim=DIM
    )
    images = hf.FlavaImageProcessor(
        size={"height": SIDE, "width": SIDE}, crop_size={"height": SIDE, "width": SIDE}, return_codebook_pixels=False
    )
    return hf.FlavaModel(config), hf.FlavaProcessor(images, tokenizer)


def _altclip() -> tuple[Any, Any]:
    tokenizer = letters_tokenizer(pad=1, end=2, start=0)
    tokenizer.model_max_length = 512
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 79, "project_dim": 32, "pad_token_id": 1}
    config = hf.AltCLIPConfig(text_config=text, vision_config=dict(VISION), projection_dim=DIM)
    images = hf.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size={"height": SIDE, "width": SIDE})
    return hf.AltCLIPModel(config), hf.AltCLIPProcessor(images, tokenizer)


def _chinese_clip() -> tuple[Any, Any]:
    tokenizer = bert_tokenizer(77)
    text = {**TEXT, "vocab_size": len(tokenizer), "max_position_embeddings": 77}
    config = hf.ChineseCLIPConfig(text_config=text, vision_config=dict(VISION), projection_dim=DIM)
    square = {"height": SIDE, "width": SIDE}
    images = hf.ChineseCLIPImageProcessor(size=square, crop_size=square)
    return hf.ChineseCLIPModel(config), hf.ChineseCLIPProcessor(images, tokenizer)


ARCHITECTURES: dict[str, Callable[[], tuple[Any, Any]]] = {
    "clip": _clip,
    "siglip": _siglip,
    "siglip2_fixed": _siglip2_fixed,
    "siglip2_naflex": _siglip2_naflex,
    "align": _align,
    "flava": _flava,
    "altclip": _altclip,
    "chinese_clip": _chinese_clip,
}


def write_transformers_model(folder: Path, name: str, *, seed: int = 0) -> Path:
    """Write a model with random weights, large enough for every input to matter, and its processor."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model, processor = ARCHITECTURES[name]()
        with torch.no_grad():
            for tensor in model.parameters():
                if tensor.ndim == 2:
                    tensor.copy_(torch.randn(tensor.shape) * 0.3)
                elif tensor.ndim == 4:  # a convolution that keeps the size of numbers
                    tensor.copy_(torch.randn(tensor.shape) * (2.0 / tensor[0].numel()) ** 0.5)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
