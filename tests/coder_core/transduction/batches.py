"""Batches of made-up images: classes lie where their texts point, a common shift and noise apart."""

import torch
from torch.nn.functional import normalize

from coder_core.coder.classifier import LinearClassifier

DIM, CLASSES = 32, 12


def class_texts(classes=CLASSES, seed=0):
    return normalize(torch.randn(classes, DIM, generator=torch.Generator().manual_seed(seed)), dim=1)


def make_batch(counts, *, noise=0.4, moved=0.6, seed=1):
    """Images and labels, `counts[c]` of class c; places of classes are `moved` away from those of their texts."""
    generator = torch.Generator().manual_seed(seed)
    texts = class_texts(len(counts))
    places = normalize(texts + moved * normalize(torch.randn(texts.shape, generator=generator), dim=1), dim=1)
    labels = torch.arange(len(counts)).repeat_interleave(torch.tensor(counts))
    labels = labels[torch.randperm(len(labels), generator=generator)]
    shift = torch.randn(DIM, generator=generator) / DIM**0.5
    spread = noise * torch.randn(len(labels), DIM, generator=generator) / DIM**0.5
    return normalize(places[labels] + shift + 2 * spread, dim=1), labels


def stage1(classes=CLASSES, logit_scale=14.0):
    """A zero-shot classifier that knows about as much as it says."""
    return LinearClassifier(class_texts(classes), logit_scale)


def accuracy(classifier, images, labels):
    return float((classifier.logits(images).argmax(dim=1) == labels).double().mean())
