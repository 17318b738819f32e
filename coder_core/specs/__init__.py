"""What to compute, and where and how fast: two kinds of settings that must not be mixed.

`EvalSpec` decides the numbers: every field of it is part of the identity of some result. `Runtime` decides where they
are computed and how fast: no field of it ever enters a key, so the same evaluation on another machine finds the same
artifacts.
"""

from coder_core.specs.dataset_specs import (
    DatasetSpec,
    FeaturesDataset,
    FlagsDataset,
    FolderDataset,
    LabelledDataset,
    ManifestDataset,
    NamedDataset,
    ParquetDataset,
    PublishedName,
    SplitDataset,
    SplitName,
    TableDataset,
    TarDataset,
    UnlabelledDataset,
)
from coder_core.specs.encoder_specs import (
    CustomEncoder,
    EncoderSpec,
    OpenClipEncoder,
    PrecomputedEncoder,
    PreprocessRecipe,
    SentenceTransformersEncoder,
    TextFeaturesFile,
    TransformersEncoder,
)
from coder_core.specs.eval_spec import AblationSpec, EvalSpec, MatrixSpec, RerankSpec
from coder_core.specs.few_shot_spec import FewShotSpec
from coder_core.specs.method_names import (
    COMPARED_FEW_SHOT,
    IMAGES_ALONE,
    NEEDS_BANK,
    READS_VOCABULARY,
    RERANK,
    ControlName,
    FewShotMethodName,
    MethodName,
    Protocol,
)
from coder_core.specs.runtime import DEFAULT_STORE, Runtime
from coder_core.specs.texts_spec import TextsSpec
from coder_core.specs.transduction_spec import BATCH_ONLY, TransductionName, TransductionSpec, row_name

__all__ = [
    "BATCH_ONLY",
    "COMPARED_FEW_SHOT",
    "DEFAULT_STORE",
    "IMAGES_ALONE",
    "NEEDS_BANK",
    "READS_VOCABULARY",
    "RERANK",
    "AblationSpec",
    "ControlName",
    "CustomEncoder",
    "DatasetSpec",
    "EncoderSpec",
    "EvalSpec",
    "FeaturesDataset",
    "FewShotMethodName",
    "FewShotSpec",
    "FlagsDataset",
    "FolderDataset",
    "LabelledDataset",
    "ManifestDataset",
    "MatrixSpec",
    "MethodName",
    "NamedDataset",
    "OpenClipEncoder",
    "ParquetDataset",
    "PrecomputedEncoder",
    "PreprocessRecipe",
    "Protocol",
    "PublishedName",
    "RerankSpec",
    "Runtime",
    "SentenceTransformersEncoder",
    "SplitDataset",
    "SplitName",
    "TableDataset",
    "TarDataset",
    "TextFeaturesFile",
    "TextsSpec",
    "TransductionName",
    "TransductionSpec",
    "TransformersEncoder",
    "UnlabelledDataset",
    "row_name",
]
