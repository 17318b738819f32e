"""Every data set that is known by name: how it lies on a disk, its parts and counts, where it is published, its terms.

Addresses and checksums are torchvision's own where torchvision has the data set (`published_files`). Counts are those
that the publishers state; fewer images are a half-extracted archive.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from coder_core.datasets import class_folders, listed_images
from coder_core.datasets.tree import ClassFolders, ListedImages, Tree
from coder_core.specs import PublishedName

__all__ = ["CATALOGUE", "DatasetEntry", "FewShotLists"]

Layout = ClassFolders | ListedImages
Reader = Callable[[Tree, str], Layout]

RESEARCH = "for non-commercial research; the photographs belong to those who took them"


@dataclass(frozen=True)
class FewShotLists:
    """The lists of the few-shot literature (Zhou et al., IJCV 2022), a file that CoOp publishes.

    Attributes:
        file: Its name; it lies in the data set's folder or in the one around it.
        images: The folder in the data set's folder that its paths start from.
    """

    file: str
    images: str


@dataclass(frozen=True)
class DatasetEntry:
    """One data set.

    Attributes:
        title: As its publishers call it.
        folders: Where it lies below a data root: the first that holds all `marks` counts. As torchvision and CoOp have
            it, and as `coder-eval data get` unpacks it.
        marks: What lies in it; none where its name is all that tells.
        one_of: One of these lies in it, too.
        images: Images by part.
        split: The part that the field measures on.
        classes: How many there are.
        read: How its publisher's lists or class folders are read; None for pictures in arrays (`cifar`).
        read_all: How all images are read, where the data set has no parts of its own.
        few_shot: Lists of the few-shot literature, where there are some beside the publisher's.
        domain: Whose sentences fit.
        gigabytes: Of the download; 0 where there is none.
        by_hand: What to do where it cannot be downloaded, or not all of it.
        terms: Licence, in one line.
        page: Where it is described.
    """

    title: str
    folders: tuple[str, ...]
    marks: tuple[str, ...]
    images: Mapping[str, int]
    split: str
    classes: int
    terms: str
    page: str
    one_of: tuple[str, ...] = ()
    read: Reader | None = None
    read_all: Reader | None = None
    few_shot: FewShotLists | None = None
    domain: str = "general"
    gigabytes: float = 0.0
    by_hand: str = ""

    @property
    def parts(self) -> tuple[str, ...]:
        """Parts that the publisher's lists or folders say; none where only all images are known."""
        return tuple(part for part in self.images if part != "all")


CATALOGUE: Mapping[PublishedName, DatasetEntry] = {
    "caltech101": DatasetEntry(
        title="Caltech-101",
        folders=("caltech-101", "caltech101"),
        marks=("101_ObjectCategories",),
        images={"all": 8242},
        split="test",
        classes=100,
        read_all=class_folders.read_caltech101,
        few_shot=FewShotLists("split_zhou_Caltech101.json", "101_ObjectCategories"),
        gigabytes=0.14,
        terms="CC BY 4.0",
        page="https://data.caltech.edu/records/mzrjq-6wc02",
    ),
    "cifar10": DatasetEntry(
        title="CIFAR-10",
        folders=("cifar-10-batches-py",),
        marks=("batches.meta",),
        images={"train": 50_000, "test": 10_000},
        split="test",
        classes=10,
        gigabytes=0.17,
        terms="no licence stated; free for research",
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cifar100": DatasetEntry(
        title="CIFAR-100",
        folders=("cifar-100-python",),
        marks=("meta",),
        images={"train": 50_000, "test": 10_000},
        split="test",
        classes=100,
        gigabytes=0.17,
        terms="no licence stated; free for research",
        page="https://www.cs.toronto.edu/~kriz/cifar.html",
    ),
    "cub200": DatasetEntry(
        title="Caltech-UCSD Birds-200-2011",
        folders=("CUB_200_2011", "cub200/CUB_200_2011"),
        marks=("images", "images.txt"),
        images={"train": 5994, "test": 5794},
        split="test",
        classes=200,
        read=listed_images.read_cub200,
        domain="bird",
        gigabytes=1.15,
        terms=RESEARCH,
        page="https://data.caltech.edu/records/65de6-vp158",
    ),
    "dtd": DatasetEntry(
        title="Describable Textures (DTD r1.0.1)",
        folders=("dtd/dtd", "dtd"),
        marks=("images", "labels"),
        images={"train": 1880, "val": 1880, "test": 1880},
        split="test",
        classes=47,
        read=listed_images.read_dtd,
        few_shot=FewShotLists("split_zhou_DescribableTextures.json", "images"),
        domain="texture",
        gigabytes=0.63,
        terms="for research; the photographs belong to those who took them",
        page="https://www.robots.ox.ac.uk/~vgg/data/dtd/",
    ),
    "eurosat": DatasetEntry(
        title="EuroSAT (RGB)",
        folders=("eurosat",),
        marks=("2750",),
        images={"all": 27_000},
        split="test",
        classes=10,
        read_all=class_folders.read_eurosat,
        few_shot=FewShotLists("split_zhou_EuroSAT.json", "2750"),
        domain="satellite",
        gigabytes=0.09,
        terms="MIT; Copernicus data, to be attributed",
        page="https://github.com/phelber/EuroSAT",
    ),
    "fgvc_aircraft": DatasetEntry(
        title="FGVC-Aircraft 2013b, variants",
        folders=("fgvc-aircraft-2013b/data", "fgvc_aircraft"),
        marks=("images", "variants.txt"),
        images={"train": 3334, "val": 3333, "test": 3333},
        split="test",
        classes=100,
        read=listed_images.read_fgvc_aircraft,
        domain="aircraft",
        gigabytes=2.75,
        terms=RESEARCH,
        page="https://www.robots.ox.ac.uk/~vgg/data/fgvc-aircraft/",
    ),
    "flowers102": DatasetEntry(
        title="Oxford 102 Flowers",
        folders=("flowers-102", "oxford_flowers"),
        marks=("jpg", "imagelabels.mat"),
        images={"train": 1020, "val": 1020, "test": 6149},
        split="test",
        classes=102,
        read=listed_images.read_flowers102,
        few_shot=FewShotLists("split_zhou_OxfordFlowers.json", "jpg"),
        domain="flower",
        gigabytes=0.34,
        terms="no licence stated; the photographs belong to those who took them",
        page="https://www.robots.ox.ac.uk/~vgg/data/flowers/102/",
    ),
    "food101": DatasetEntry(
        title="Food-101",
        folders=("food-101",),
        marks=("images", "meta"),
        images={"train": 75_750, "test": 25_250},
        split="test",
        classes=101,
        read=listed_images.read_food101,
        few_shot=FewShotLists("split_zhou_Food101.json", "images"),
        domain="food",
        gigabytes=5.0,
        terms=f"{RESEARCH} (Foodspotting)",
        page="https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
    ),
    "imagenet": DatasetEntry(
        title="ImageNet (ILSVRC 2012)",
        folders=("imagenet", "imagenet/images", "ILSVRC2012"),
        marks=(),
        one_of=("val", "train"),
        images={"train": 1_281_167, "val": 50_000},
        split="val",
        classes=1000,
        read=class_folders.read_imagenet,
        by_hand="register at https://image-net.org/download-images.php, and unpack to imagenet/val/n01440764/*.JPEG "
        "(or imagenet/val/*.JPEG with the devkit beside it), imagenet/train/n01440764/*.JPEG",
        terms="for non-commercial research, after registration",
        page="https://image-net.org/challenges/LSVRC/2012/",
    ),
    "imagenet_a": DatasetEntry(
        title="ImageNet-A",
        folders=("imagenet-a", "imagenet-adversarial/imagenet-a"),
        marks=(),
        images={"test": 7500},
        split="test",
        classes=200,
        read=class_folders.read_imagenet_part(),
        gigabytes=0.69,
        terms="MIT; the photographs belong to those who took them",
        page="https://github.com/hendrycks/natural-adv-examples",
    ),
    "imagenet_r": DatasetEntry(
        title="ImageNet-R",
        folders=("imagenet-r", "imagenet-rendition/imagenet-r"),
        marks=(),
        images={"test": 30_000},
        split="test",
        classes=200,
        read=class_folders.read_imagenet_part(),
        gigabytes=2.19,
        terms="MIT; the pictures belong to those who made them",
        page="https://github.com/hendrycks/imagenet-r",
    ),
    "imagenet_sketch": DatasetEntry(
        title="ImageNet-Sketch",
        folders=("imagenet-sketch",),
        marks=(),
        one_of=("sketch", "images"),
        images={"test": 50_889},
        split="test",
        classes=1000,
        read=class_folders.read_imagenet_sketch,
        gigabytes=7.59,
        terms="MIT; the pictures belong to those who made them",
        page="https://github.com/HaohanWang/ImageNet-Sketch",
    ),
    "imagenet_v2": DatasetEntry(
        title="ImageNet-V2 (matched frequency)",
        folders=(
            "imagenetv2-matched-frequency-format-val",
            "imagenetv2/imagenetv2-matched-frequency-format-val",
        ),
        marks=(),
        images={"test": 10_000},
        split="test",
        classes=1000,
        read=class_folders.read_imagenet_v2,
        gigabytes=1.26,
        terms="MIT; the photographs belong to those who took them",
        page="https://github.com/modestyachts/ImageNetV2",
    ),
    "oxford_pets": DatasetEntry(
        title="Oxford-IIIT Pets",
        folders=("oxford-iiit-pet", "oxford_pets"),
        marks=("images", "annotations"),
        images={"train": 3680, "test": 3669},
        split="test",
        classes=37,
        read=listed_images.read_oxford_pets,
        few_shot=FewShotLists("split_zhou_OxfordPets.json", "images"),
        domain="pet",
        gigabytes=0.81,
        terms="CC BY-SA 4.0",
        page="https://www.robots.ox.ac.uk/~vgg/data/pets/",
    ),
    "places365": DatasetEntry(
        title="Places365 (standard)",
        folders=("places365",),
        marks=("categories_places365.txt",),
        images={"train": 1_803_460, "val": 36_500},
        split="val",
        classes=365,
        read=listed_images.read_places365,
        domain="place",
        gigabytes=0.59,
        by_hand="`data get` fetches the validation images; for training unpack train_256_places365standard.tar (26 GB) "
        "to places365/data_256",
        terms=RESEARCH,
        page="http://places2.csail.mit.edu/download.html",
    ),
    "resisc45": DatasetEntry(
        title="NWPU-RESISC45",
        folders=("resisc45",),
        marks=("NWPU-RESISC45",),
        images={"train": 18_900, "val": 6300, "test": 6300, "all": 31_500},
        split="test",
        classes=45,
        read=listed_images.read_resisc45_lists,
        read_all=class_folders.read_resisc45,
        domain="satellite",
        gigabytes=0.43,
        terms="no licence stated; for research",
        page="https://doi.org/10.1109/jproc.2017.2675998",
    ),
    "stanford_cars": DatasetEntry(
        title="Stanford Cars",
        folders=("stanford_cars",),
        marks=("devkit",),
        images={"train": 8144, "test": 8041},
        split="test",
        classes=196,
        read=listed_images.read_stanford_cars,
        few_shot=FewShotLists("split_zhou_StanfordCars.json", ""),
        by_hand="its publisher's address is dead: from a mirror unpack cars_train.tgz, cars_test.tgz and "
        "car_devkit.tgz to stanford_cars/, and put cars_test_annos_withlabels.mat there",
        terms="for non-commercial research",
        page="https://ai.stanford.edu/~jkrause/papers/fgvc13.pdf",
    ),
    "sun397": DatasetEntry(
        title="SUN397, partition 1",
        folders=("SUN397", "sun397/SUN397"),
        marks=("a",),
        images={"train": 19_850, "test": 19_850},
        split="test",
        classes=397,
        read=listed_images.read_sun397,
        few_shot=FewShotLists("split_zhou_SUN397.json", ""),
        domain="place",
        gigabytes=39.1,
        terms=RESEARCH,
        page="https://vision.princeton.edu/projects/2010/SUN/",
    ),
    "ucf101": DatasetEntry(
        title="UCF-101, middle frames, list 1",
        folders=("ucf101",),
        marks=("UCF-101-midframes",),
        images={"train": 9537, "test": 3783},
        split="test",
        classes=101,
        read=listed_images.read_ucf101,
        few_shot=FewShotLists("split_zhou_UCF101.json", "UCF-101-midframes"),
        domain="action",
        by_hand="the field classifies the middle frame of each film: unpack UCF-101-midframes.zip (CoOp's DATASETS.md "
        "links it) to ucf101/, and UCF's ucfTrainTestlist beside it",
        terms="no licence stated; for research",
        page="https://www.crcv.ucf.edu/research/data-sets/ucf101/",
    ),
}
