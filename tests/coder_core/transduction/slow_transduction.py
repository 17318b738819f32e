"""The method in plain loops over images and classes: shares no code with the package."""

import math

import numpy as np


def slow_text_map(raw, counts, texts, length, map_ridge):
    """The map of texts to images by least squares: a row for each class, and rows that pull towards `length * I`."""
    dim = texts.shape[1]
    pull = np.sqrt(map_ridge * counts.mean())
    weights = np.sqrt(counts)[:, None]
    left = np.vstack([weights * texts, pull * np.eye(dim)])
    right = np.vstack([weights * (raw / counts[:, None]), pull * length * np.eye(dim)])
    return np.linalg.lstsq(left, right, rcond=None)[0]


def slow_claims(probabilities, shares):
    """What is claimed for each class of images that others own."""
    classes = len(probabilities[0])
    return [
        math.fsum((1 - z[one]) * p[one] for p, z in zip(probabilities, shares, strict=True)) for one in range(classes)
    ]


def slow_discriminant(rows, shares, sureness, texts, *, text_images, shrinkage, map_ridge=None):
    """Scores of the rows by the discriminant that they give: `(images, classes)`."""
    dim = rows.shape[1]
    classes = shares.shape[1]
    raw, counts = np.zeros((classes, dim)), np.zeros(classes)
    for row, share, sure in zip(rows, shares, sureness, strict=True):
        for one in range(classes):
            counts[one] += sure * share[one]
            raw[one] += sure * share[one] * row
    length = sum(np.linalg.norm(total) for total in raw) / counts.sum()
    placed = length * texts if map_ridge is None else texts @ slow_text_map(raw, counts, texts, length, map_ridge)
    means = np.array([(raw[one] + text_images * placed[one]) / (counts[one] + text_images) for one in range(classes)])
    within = np.zeros((dim, dim))
    for row, share, sure in zip(rows, shares, sureness, strict=True):
        for one in range(classes):
            apart = row - means[one]
            within += sure * share[one] * np.outer(apart, apart)
    within /= sum(sureness)
    covariance = (1 - shrinkage) * within + shrinkage * np.trace(within) / dim * np.eye(dim)
    inverse = np.linalg.inv(covariance)
    return np.array([[row @ inverse @ mean - mean @ inverse @ mean / 2 for mean in means] for row in rows])


def slow_prior(probabilities, concentration, rounds):
    """Saerens's iteration, image by image."""
    classes = len(probabilities[0])
    shares = [1 / classes] * classes
    for _ in range(rounds):
        counts = [concentration] * classes
        for row in probabilities:
            total = sum(p * q for p, q in zip(row, shares, strict=True))
            for one in range(classes):
                counts[one] += row[one] * shares[one] / total
        shares = [value / math.fsum(counts) for value in counts]
    return shares
