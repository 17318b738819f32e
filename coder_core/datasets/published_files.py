"""What is fetched for a data set, from where, and how to know that it is whole.

Addresses and checksums come from torchvision where it states them as constants; the others are those of the publisher,
of TensorFlow Datasets or of TorchGeo, as the comment says. Sizes are for the message and for the disk.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from urllib.parse import urljoin

from coder_core.specs import PublishedName

__all__ = ["Download", "PublishedFile", "download_of"]

_RESISC = "https://hf.co/datasets/isaaccorley/resisc45/resolve/883edc0eee77b2c84225472f10f126e3ed83fa6e/"
_HENDRYCKS = "https://people.eecs.berkeley.edu/~hendrycks/"


@dataclass(frozen=True)
class PublishedFile:
    """A file to fetch.

    Attributes:
        url: Where it is.
        digest: `md5:` or `sha256:`, and the sum in hexadecimal digits.
        size: In bytes, as far as it is known: more than a tenth beyond it is refused; 0 where nobody says.
        into: The folder that it is unpacked to, or put into where it is no archive, below that of the download.
        inner: Archives in it that are unpacked where they lie, and removed.
    """

    url: str
    digest: str
    size: int = 0
    into: str = ""
    inner: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The file's name."""
        return self.url.partition("?")[0].rpartition("/")[2]


@dataclass(frozen=True)
class Download:
    """All files of a data set.

    Attributes:
        files: To fetch, in this order.
        top: The folder that unpacking makes and that becomes the data set's; empty: that of the download itself.
        folder: What it is called below the data root.
    """

    files: tuple[PublishedFile, ...]
    folder: str
    top: str = ""


def download_of(name: PublishedName) -> Download | None:
    """What to fetch for a data set; None where nothing can be fetched without an account."""
    made = _DOWNLOADS.get(name)
    return made() if made else None


def _torchvision(module: str, name: str) -> Any:
    return getattr(import_module(f"torchvision.datasets.{module}"), name)


def _md5(value: str) -> str:
    return f"md5:{value}"


def _caltech101() -> Download:
    # torchvision's Caltech101.download has both in its body
    url = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
    inner = ("caltech-101/101_ObjectCategories.tar.gz",)
    file = PublishedFile(url, _md5("3138e1922a9193bfa496528edbbc45d0"), 137_414_764, inner=inner)
    return Download((file,), "caltech-101", "caltech-101")


def _cifar(name: str) -> Callable[[], Download]:
    def made() -> Download:
        known = _torchvision("cifar", name)
        return Download((PublishedFile(known.url, _md5(known.tgz_md5), 170_500_000),), *[known.base_folder] * 2)

    return made


def _cub200() -> Download:
    # the publisher's record at data.caltech.edu; the sum as TensorFlow Datasets states it
    url = "https://data.caltech.edu/records/65de6-vp158/files/CUB_200_2011.tgz"
    digest = "sha256:0c685df5597a8b24909f6a7c9db6d11e008733779a671760afef78feb49bf081"
    return Download((PublishedFile(url, digest, 1_150_585_339),), "CUB_200_2011", "CUB_200_2011")


def _dtd() -> Download:
    known = _torchvision("dtd", "DTD")
    return Download((PublishedFile(known._URL, _md5(known._MD5), 625_239_812),), "dtd", "dtd")


def _eurosat() -> Download:
    # torchvision's EuroSAT.download has both in its body
    url = (
        "https://huggingface.co/datasets/torchgeo/eurosat/resolve/c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip"
    )
    return Download((PublishedFile(url, _md5("c8fa014336c82ac7804f0398fcb19387"), 94_280_567),), "eurosat")


def _fgvc_aircraft() -> Download:
    # torchvision states no sum; this is the publisher's
    known = _torchvision("fgvc_aircraft", "FGVCAircraft")
    file = PublishedFile(known._URL, _md5("d4acdd33327262359767eeaa97a4f732"), 2_753_340_328)
    return Download((file,), *["fgvc-aircraft-2013b"] * 2)


def _flowers102() -> Download:
    known = _torchvision("flowers102", "Flowers102")
    sizes = {"image": 344_862_509, "label": 502, "setid": 14_989}
    files = (
        PublishedFile(known._download_url_prefix + name, _md5(md5), sizes[part])
        for part, (name, md5) in known._file_dict.items()
    )
    return Download(tuple(files), "flowers-102")


def _food101() -> Download:
    known = _torchvision("food101", "Food101")
    return Download((PublishedFile(known._URL, _md5(known._MD5), 4_996_278_331),), "food-101", "food-101")


def _imagenet_a() -> Download:
    # sums of TensorFlow Datasets, here and for -R, -Sketch and -V2
    digest = "sha256:3bb3632277e6ba6392ea64c02ddbf4dd2266c9caffd6bc09c9656d28f012589e"
    return Download((PublishedFile(f"{_HENDRYCKS}imagenet-a.tar", digest, 687_552_512),), "imagenet-a", "imagenet-a")


def _imagenet_r() -> Download:
    digest = "sha256:18c6bf493b39a0d975d48e587437f562caab9c52ae6327dcfa9dd8eb54aa1b52"
    return Download((PublishedFile(f"{_HENDRYCKS}imagenet-r.tar", digest, 2_191_079_936),), "imagenet-r", "imagenet-r")


def _imagenet_sketch() -> Download:
    url = "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/ImageNet-Sketch.zip"
    digest = "sha256:4d3ce6b82a7c48aabf14aeac105eb533e75707f152cc858f55bfc022031a72ed"
    return Download((PublishedFile(url, digest, 7_593_573_012),), "imagenet-sketch")


def _imagenet_v2() -> Download:
    url = "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/imagenetv2-matched-frequency.tar.gz"
    digest = "sha256:f0c37fdf925916b19ea1323cd9a2208cdb6959ba2c32eef2a7fc393835c9ca7c"
    return Download((PublishedFile(url, digest, 1_264_079_360),), *["imagenetv2-matched-frequency-format-val"] * 2)


def _oxford_pets() -> Download:
    sizes = (791_918_971, 19_173_078)
    known = _torchvision("oxford_iiit_pet", "OxfordIIITPet")._RESOURCES
    files = (PublishedFile(url, _md5(md5), size) for (url, md5), size in zip(known, sizes, strict=True))
    return Download(tuple(files), "oxford-iiit-pet")


def _places365() -> Download:
    known = _torchvision("places365", "Places365")
    archives = (*known._DEVKIT_META["standard"], 67_498_496), (*known._IMAGES_META["val", True], 525_158_400)
    files = (PublishedFile(urljoin(known._BASE_URL, name), _md5(md5), size) for name, md5, size in archives)
    return Download(tuple(files), "places365")


def _resisc45() -> Download:
    # TorchGeo's copy, pinned, with its sums
    images = PublishedFile(
        f"{_RESISC}NWPU-RESISC45.zip", "sha256:beeecd0b63656290ae6d65cf7763185b0c1c4c54a753ef8088d6fba3faaf1f53"
    )
    sums = {
        "train": "ecfa963be4d85eac83665f8be8634abcb4fe6f3546472cc0e87999e2cab4449b",
        "val": "08d81f642526bec240589000af7f49a47e8d071a6e7925b0f36246a78ab64342",
        "test": "e0927e80130b47317a2f18520d98382b6fc56f0d3edd3345140f7d02267c3805",
    }
    lists = (PublishedFile(f"{_RESISC}resisc45-{part}.txt", f"sha256:{value}") for part, value in sums.items())
    return Download((images, *lists), "resisc45")


def _sun397() -> Download:
    known = _torchvision("sun397", "SUN397")
    partitions = PublishedFile(
        "https://vision.princeton.edu/projects/2010/SUN/download/Partitions.zip",
        "sha256:e3311ea5f812d4cc6faef194688343d1111f6cd6f70f2c62f393c2b8d6ba1ec9",  # of TensorFlow Datasets
        18_293_705,
        into="SUN397",
    )
    images = PublishedFile(known._DATASET_URL, _md5(known._DATASET_MD5), 39_077_296_924)
    return Download((partitions, images), "SUN397", "SUN397")


_DOWNLOADS: Mapping[str, Callable[[], Download]] = {
    "caltech101": _caltech101,
    "cifar10": _cifar("CIFAR10"),
    "cifar100": _cifar("CIFAR100"),
    "cub200": _cub200,
    "dtd": _dtd,
    "eurosat": _eurosat,
    "fgvc_aircraft": _fgvc_aircraft,
    "flowers102": _flowers102,
    "food101": _food101,
    "imagenet_a": _imagenet_a,
    "imagenet_r": _imagenet_r,
    "imagenet_sketch": _imagenet_sketch,
    "imagenet_v2": _imagenet_v2,
    "oxford_pets": _oxford_pets,
    "places365": _places365,
    "resisc45": _resisc45,
    "sun397": _sun397,
}
