"""What a classifier's state means, in plain Python and numpy: logits from its numbers alone, one image at a time.

Shares no code with the classifiers. It reads nothing but settings and tensors, so it shows that a state is complete.
"""

import math

import numpy as np


def slow_logits(state, images):
    """Score every image; `(images, classes)` float64."""
    tensors = {name: tensor.double().numpy() for name, tensor in state.tensors.items()}
    rows = [_SLOW[state.kind](state.settings, tensors, image) for image in images.double().numpy()]
    return np.array(rows, dtype=np.float64)


def part_of(state_settings, tensors, name):
    found = state_settings[name]
    own = {key[len(name) + 1 :]: value for key, value in tensors.items() if key.startswith(f"{name}.")}
    return found["kind"], found["settings"], own


def linear(settings, tensors, image):
    return [settings["logit_scale"] * float(np.dot(image, weights)) for weights in tensors["weights"]]


def folded(settings, tensors, image):
    sizes = settings["rank_sizes"]
    starts = np.cumsum([0, *sizes])
    logits = []
    for column in tensors["columns"].astype(int):
        ranks = [start + column for start, size in zip(starts[:-1], sizes, strict=True) if column < size]
        logits.append(settings["logit_scale"] * max(float(np.dot(image, tensors["weights"][row])) for row in ranks))
    return logits


def neighbours(settings, tensors, image):
    texts, pooling = tensors["texts"], settings["pooling"]["settings"]
    if "whitening" in tensors:
        image = image @ tensors["whitening"]
    logits = []
    for descriptive, naming in zip(tensors["descriptive"], tensors["naming"], strict=True):

        def similarities(columns):
            kept = [texts[int(column)] for column in columns if column < len(texts)]
            return [-math.dist(image, text) if settings["is_distance"] else float(np.dot(image, text)) for text in kept]

        values, name = similarities(descriptive), max(similarities(naming))
        pooled, counted = pool(values, pooling["name"], pooling["parameter"])
        weight = 1 / (counted + 1)
        if settings["name_weight"] is not None:
            weight = settings["name_weight"] if values else 1.0
        logits.append(settings["logit_scale"] * ((1 - weight) * pooled + weight * name))
    return logits


def pool(values, name, parameter):
    if not values:
        return 0.0, 0
    if name == "mean_of_best":
        best = sorted(values, reverse=True)[: int(parameter)]
        return sum(best) / len(best), len(best)
    weights = [math.exp(parameter * (value - max(values))) for value in values]
    return sum(w * v for w, v in zip(weights, values, strict=True)) / sum(weights), len(values)


def second_round(settings, tensors, image):
    _, first_settings, first_tensors = part_of(settings, tensors, "first")
    logits, texts = np.array(folded(first_settings, first_tensors, image)), tensors["texts"]
    survivors = sorted(range(len(logits)), key=lambda c: -logits[c])[: settings["survivors"]]
    scores = []
    for one in survivors:
        columns = [int(column) for column in tensors["descriptive"][one] if column < len(texts)]
        names = [texts[int(column)] for column in tensors["naming"][one] if column < len(texts)]
        others = [other for other in survivors if other != one]
        likeness = [sum(tensors["likeness"][c, other] for other in others) / max(1, len(others)) for c in columns]
        weights = [math.exp(-settings["sharpness"] * value) for value in likeness]
        pooled = sum(w * float(np.dot(image, texts[c])) for w, c in zip(weights, columns, strict=True))
        pooled = len(columns) * pooled / (sum(weights) or 1)
        scores.append((pooled + max(float(np.dot(image, name)) for name in names)) / (len(columns) + 1))
    moved = first_settings["logit_scale"] * np.array(scores)
    moved += logits[survivors].mean() - moved.mean()
    logits = np.minimum(logits, moved.min())
    logits[survivors] = moved
    return logits


def mapped(settings, tensors, image):
    _, _, space = part_of(settings, tensors, "space")
    if "axes" not in space:
        return image
    coordinates = [
        float(np.dot(axis, image)) * scale for axis, scale in zip(space["axes"], space["scales"], strict=True)
    ]
    return np.array(coordinates) / np.linalg.norm(coordinates)


def nearest_mean(settings, tensors, image):
    query = mapped(settings, tensors, image)
    return [float(np.dot(query, mean)) for mean in tensors["means"]]


def cache(settings, tensors, image):
    query, scores = mapped(settings, tensors, image), [0.0] * settings["class_count"]
    affinities = [float(np.dot(query, key)) for key in tensors["keys"]]
    if settings["is_min_max"]:
        low, high = min(affinities), max(affinities)
        affinities = [(affinity - low) / (high - low) for affinity in affinities]
    for affinity, label in zip(affinities, tensors["label_ids"], strict=True):
        scores[int(label)] += math.exp(-settings["beta"] * (1 - affinity))
    return scores


def discriminant(settings, tensors, image):
    row = mapped(settings, tensors, image)
    if "offset" in tensors:
        row = (row - tensors["offset"]) / np.linalg.norm(row - tensors["offset"])
    precision = tensors["axes"].T @ np.diag(tensors["precision"]) @ tensors["axes"]
    scores = []
    for mean in tensors["means"] @ tensors["axes"]:
        cross, square = row @ precision @ mean, mean @ precision @ mean
        scores.append(cross / math.sqrt(square) if settings["is_cosine"] else cross - square / 2)
    return scores


def gda(settings, tensors, image):
    del settings
    return [float(np.dot(image, w)) + b for w, b in zip(tensors["weights"], tensors["bias"], strict=True)]


def kernel_ridge(settings, tensors, image):
    row = mapped(settings, tensors, image)
    row = row - tensors["offset"]
    row = row / max(np.linalg.norm(row), 1e-12)
    kernel = np.array([math.exp(-settings["beta"] * (1 - float(np.dot(row, key)))) for key in tensors["keys"]])
    return list(kernel @ tensors["coefficients"])


def neighbour_distribution(settings, tensors, image):
    row = image - tensors["offset"] if "offset" in tensors else image
    if "offset" in tensors:
        row = row / max(np.linalg.norm(row), 1e-12)
    likeness = tensors["texts"] @ row / settings["temperature"]
    chances = np.exp(likeness - likeness.max())
    roots = np.sqrt(chances / chances.sum())
    return [float(np.dot(roots, mean)) for mean in tensors["means"]]


def pooled(settings, tensors, image):
    kind, own, parts = part_of(settings, tensors, "expert")
    scores = settings["weight"] * np.array(_SLOW[kind](own, parts, image))
    if settings["rest"] is not None:
        kind, own, parts = part_of(settings, tensors, "rest")
        scores = scores + np.array(_SLOW[kind](own, parts, image))
    return list(scores)


def tempered(settings, tensors, image):
    kind, own, parts = part_of(settings, tensors, "inner")
    return [score / settings["temperature"] for score in _SLOW[kind](own, parts, image)]


def fused(settings, tensors, image):
    parts = {}
    for name in ("zero_shot", "few_shot"):
        kind, own_settings, own_tensors = part_of(settings, tensors, name)
        parts[name] = np.array(_SLOW[kind](own_settings, own_tensors, image))
    return parts["zero_shot"] + settings["weight"] * parts["few_shot"]


def transductive(settings, tensors, image):
    kind, own_settings, own_tensors = part_of(settings, tensors, "stage1")
    scores = np.array(_SLOW[kind](own_settings, own_tensors, image))
    scores = scores - scores.max()
    scores = scores - math.log(math.fsum(math.exp(score) for score in scores)) + tensors["bias"]
    if "weights" in tensors:
        row = mapped(settings, tensors, image) - tensors["offset"]
        scores = scores + row / np.linalg.norm(row) @ tensors["weights"]
    return list(scores / settings["temperature"])


def rerank(settings, tensors, image):
    kind, own_settings, own_tensors = part_of(settings, tensors, "stage1")
    return _SLOW[kind](own_settings, own_tensors, image)


def slow_rerank(state, images, *, k=5):
    """The best classes of every image after the second stage, candidate by candidate and rival by rival."""
    pairs = {name.removeprefix("pairs."): tensor for name, tensor in state.tensors.items() if name.startswith("pairs.")}
    keys, directions = pairs["keys"].tolist(), pairs["directions"].tolist()
    found = []
    for image, logits in zip(images.double().numpy(), slow_logits(state, images), strict=True):
        best = sorted(range(len(logits)), key=lambda c, logits=logits: -logits[c])[:k]
        chances = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        gap = chances[best[0]] - chances[best[1]] if len(best) > 1 else math.inf
        candidates = best[: state.settings["candidates"]]
        scores = dict.fromkeys(candidates, 0.0)
        for one in candidates:
            for rival in candidates:
                key = min(one, rival) * 2**32 + max(one, rival)
                if one != rival and key in keys and directions[keys.index(key)] == 2:
                    margin = float(np.dot(image, pairs["differences"][keys.index(key)].double().numpy()))
                    scores[one] += margin if one < rival else -margin
        if gap < state.settings["threshold"]:
            candidates = sorted(candidates, key=lambda c, scores=scores: -scores[c])
        found.append([*candidates, *best[len(candidates) :]])
    return found


_SLOW = {
    function.__name__: function
    for function in (
        linear,
        folded,
        neighbours,
        second_round,
        nearest_mean,
        cache,
        discriminant,
        gda,
        kernel_ridge,
        neighbour_distribution,
        pooled,
        tempered,
        transductive,
        fused,
        rerank,
    )
}
