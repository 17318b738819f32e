"""Many evaluations from one file: data sets x models x texts, each cell an ordinary config."""

from typing import Annotated, Any

from pydantic import Field

from coder_core.spec_base import NAME_PATTERN, Spec

AxisName = Annotated[str, Field(min_length=1, max_length=60, pattern=NAME_PATTERN)]
"""Part of an evaluation's name."""


class SweepSpec(Spec):
    """A sweep: every data set with every model and all texts; methods and shots are compared within a cell."""

    name: AxisName = Field(description="Begins the names of all its evaluations: `NAME.DATASET.MODEL.TEXTS`.")
    datasets: dict[AxisName, str | dict[str, Any]] = Field(
        min_length=1,
        description="By name: the path of a config, a folder of class folders, `demo:flags`, a published data set "
        "(`dtd`; docs/datasets.md), the settings of a data set (with `kind`), or a part of a config (`dataset`, "
        "`few_shot`, ...; `config`: a path to begin with).",
    )
    models: dict[AxisName, str | dict[str, Any]] = Field(
        default_factory=dict,
        description="By name: a model as `coder-eval try --model` takes it, or the settings of an encoder. None: every "
        "data set's own.",
    )
    texts: dict[AxisName, dict[str, Any]] = Field(
        default_factory=dict, description="By name: settings of `texts`. None: every data set's own."
    )
    methods: tuple[str, ...] = Field(
        default=(), description="Zero-shot and few-shot methods of every cell. None: every data set's own."
    )
    shots: tuple[int, ...] = Field(
        default=(), description="For every data set that has a `few_shot.pool`. None: every data set's own."
    )
    settings: dict[str, Any] = Field(
        default_factory=dict, description="What every cell begins with: any part of a config; the rest wins over it."
    )
