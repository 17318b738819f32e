"""Ideas beside what is shipped: the same draws with one thing changed, and what that is worth in points of top-1.

    python -m bench.few_shot_ideas --draws 4
    python -m bench.few_shot_ideas --only "six gammas" --shots 1 2 4 8 16 --draws 10

Every idea is made of the parts that the shipped method is made of (`coder_core/few_shot`). Images alone are those of
DTD, Caltech-101 and Pets, zero-shot logits stand beside on DTD; the text bank is without the tested set's own names.
Support and validation are drawn from each set's validation split, scores are of its test split. Seeds are from 101 on:
constants were looked for on these, the tables of docs/few-shot.md are of others.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import NamedTuple

from bench.few_shot_sets import BANKS, DATASETS, FEATURES, load_images, load_texts, load_zero_shot
from coder_core.coder.classifier import Classifier
from coder_core.few_shot.discriminant import GAMMAS, SHRINKAGES, Discriminant
from coder_core.few_shot.draws import draw_examples
from coder_core.few_shot.examples import Support
from coder_core.few_shot.expert_pool import ExpertPool
from coder_core.few_shot.few_shot_methods import FEW_SHOT_METHODS, Planned
from coder_core.few_shot.fitting import ChoosesItself, FewShotMethod, Scorer
from coder_core.few_shot.gda import Gda
from coder_core.few_shot.kernel_ridge import KernelRidge
from coder_core.few_shot.pool import select_methods
from coder_core.few_shot.task_experts import Texts, pool_experts, task_discriminant
from coder_core.few_shot.task_vocabulary import Vocabulary

FINE_SHRINKAGES = tuple(step / 20 for step in range(19, 0, -1))
SIX_GAMMAS = (0.0, 0.15, 0.3, 0.45, 0.6, 0.75)
SECOND_NEIGHBOURS = ("neighbours_02", "task_neighbours_04")


class Idea(NamedTuple):
    """One thing changed.

    Args:
        beside: The shipped method that it changes.
        build: Makes the changed method.
        is_fused: Whether zero-shot logits stand beside both.
    """

    beside: str
    build: Callable[[Texts], FewShotMethod]
    is_fused: bool = False


@dataclass(frozen=True)
class Prepared:
    """A method of a function."""

    prepare: Callable[[Support], Scorer | ChoosesItself]


def _discriminant(
    gammas: Sequence[float] = GAMMAS, shrinkages: Sequence[float] = SHRINKAGES, *, is_cosine: bool = True
) -> Callable[[Texts], FewShotMethod]:
    """`text_discriminant` with other grids, or with the other score."""
    return lambda texts: Discriminant(
        texts.centred, gammas, shrinkages, is_cosine=is_cosine, class_texts=texts.class_texts
    )


def _share(share: float) -> Callable[[Texts], FewShotMethod]:
    """`task_discriminant` with another share of the task's words in the metric."""
    return lambda texts: Prepared(
        lambda support: task_discriminant(texts, texts.vocabulary.fit_metric(support, share=share)).prepare(support)
    )


def _experts(
    *dropped: str, more: Callable[[Texts], Mapping[str, FewShotMethod]] = lambda _: {}
) -> Callable[[Texts], FewShotMethod]:
    """`text_pool` without some experts, and with others."""

    def build(texts: Texts) -> FewShotMethod:
        shipped = pool_experts(texts).build

        def changed(support: Support) -> Mapping[str, Scorer]:
            experts = {name: expert for name, expert in shipped(support).items() if name not in dropped}
            return {**experts, **{name: method.prepare(support) for name, method in more(texts).items()}}

        return ExpertPool(changed)

    return build


IDEAS: Mapping[str, Idea] = {
    "six gammas": Idea("text_discriminant", _discriminant(SIX_GAMMAS)),
    "nineteen shrinkages": Idea("text_discriminant", _discriminant(shrinkages=FINE_SHRINKAGES)),
    "a class is a point": Idea("text_discriminant", _discriminant(is_cosine=False)),
    "a class is a direction": Idea("text_discriminant", _discriminant(), is_fused=True),
    "share of the task's words 0.7": Idea("task_discriminant", _share(0.7)),
    "share of the task's words 0.97": Idea("task_discriminant", _share(0.97)),
    "without the regression": Idea("text_pool", _experts("neighbour_ridge")),
    "one neighbour distribution of each kind": Idea("text_pool", _experts(*SECOND_NEIGHBOURS)),
    "without the discriminants": Idea("text_pool", _experts("bayes", "task", "lda", "cut")),
    "proker as one more": Idea("text_pool", _experts(more=lambda texts: {"ridge": KernelRidge(texts.centred)})),
    "proker in CLIP's own space": Idea(
        "text_pool", _experts("ridge", more=lambda texts: {"ridge": KernelRidge(None, texts.zero_shot)}), is_fused=True
    ),
    "GDA as one more": Idea("text_pool", _experts(more=lambda _: {"gda": Gda()}), is_fused=True),
}


class Result(NamedTuple):
    """Points that an idea is ahead of what is shipped, on one draw."""

    idea: str
    shots: int
    seed: int
    gain: float


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--features", type=Path, default=FEATURES, help="folder of the .npz files")
    parser.add_argument("--only", nargs="+", choices=tuple(IDEAS), default=tuple(IDEAS))
    parser.add_argument("--datasets", nargs="+", choices=DATASETS, default=DATASETS, help="of images alone")
    parser.add_argument("--shots", type=int, nargs="+", default=(1, 4, 16))
    parser.add_argument("--draws", type=int, default=4)
    parser.add_argument("--seed", type=int, default=101, help="of the first draw")
    arguments = parser.parse_args()
    found = list(measure(arguments))
    print(f"{arguments.draws} draws from seed {arguments.seed}; points of top-1 ahead of what is shipped, mean over")
    print("the sets and draws ± its standard error over draws\n")
    print_table(found, arguments.shots)


def measure(arguments: argparse.Namespace) -> Iterator[Result]:
    """Compare the ideas with what is shipped, draw after draw."""
    seeds = range(arguments.seed, arguments.seed + arguments.draws)
    for is_fused in (False, True):
        ideas = {name: IDEAS[name] for name in arguments.only if IDEAS[name].is_fused == is_fused}
        datasets = ("dtd",) if is_fused else arguments.datasets
        for dataset, shots, seed in product(datasets if ideas else (), arguments.shots, seeds):
            top1 = _score(arguments.features, dataset, is_fused, ideas, shots, seed)
            for name, idea in ideas.items():
                yield Result(name, shots, seed, top1[name] - top1[idea.beside])


def _score(
    folder: Path, dataset: str, is_fused: bool, ideas: Mapping[str, Idea], shots: int, seed: int
) -> dict[str, float]:
    """Top-1 in percent of the ideas and of the methods that they change, each fitted once."""
    images, texts = load_images(folder, dataset), _texts(folder, dataset, is_fused)
    draw = draw_examples(images.pool.label_ids, shots=shots, seed=seed, allow_fewer=True)
    methods = {name: Planned(idea.build(texts)) for name, idea in ideas.items()}
    methods |= {idea.beside: FEW_SHOT_METHODS[idea.beside](texts) for idea in ideas.values()}

    def top1(classifier: Classifier) -> float:
        return 100 * float((classifier.logits(images.queries).argmax(dim=1) == images.truth).double().mean())

    selected = select_methods(images.pool, draw, methods, zero_shot=texts.zero_shot)
    return {name: top1(found.classifier) for name, found in selected.items()}


@lru_cache(maxsize=4)
def _texts(folder: Path, dataset: str, is_fused: bool) -> Texts:
    rows = load_texts(folder, load_images(folder, dataset).class_names, BANKS[1])
    zero_shot = load_zero_shot(folder) if is_fused else None
    return Texts(rows, Vocabulary(rows), zero_shot, None if zero_shot is None else zero_shot.weights)


def print_table(results: Sequence[Result], shots_tried: Sequence[int]) -> None:
    """One row for each idea."""
    print(f"| changed | in | {' | '.join(f'{shots} shots' for shots in shots_tried)} |")
    print(f"|---|---|{'---|' * len(shots_tried)}")
    for name in dict.fromkeys(result.idea for result in results):
        found = [result for result in results if result.idea == name]
        cells = [_cell([result for result in found if result.shots == shots]) for shots in shots_tried]
        beside = " beside zero-shot logits" if IDEAS[name].is_fused else ""
        print(f"| {name} | `{IDEAS[name].beside}`{beside} | {' | '.join(cells)} |")


def _cell(results: Sequence[Result]) -> str:
    """Mean and standard error, a draw being the mean over its sets."""
    seeds = dict.fromkeys(result.seed for result in results)
    draws = [statistics.fmean(result.gain for result in results if result.seed == seed) for seed in seeds]
    error = statistics.stdev(draws) / len(draws) ** 0.5 if len(draws) > 1 else 0.0
    return f"{statistics.fmean(draws):+.1f} ± {error:.1f}"


if __name__ == "__main__":
    main()
