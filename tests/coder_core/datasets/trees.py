"""Tiny trees in the true on-disk format of every data set that is known by name, with the traps that each one has."""

import io
import json
import pickle
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.io import savemat

Tree = Callable[[Path], None]


def picture(word: str, mode: str = "RGB") -> bytes:
    """A JPEG of its own for every word."""
    pixels = np.random.default_rng(zlib.crc32(word.encode())).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    target = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(target, "JPEG")
    return target.getvalue()


def put(path: Path, content: bytes | str | None = None) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(
        picture(path.name) if content is None else content if isinstance(content, bytes) else content.encode()
    )


def put_images(folder: Path, *names: str) -> None:
    for name in names:
        put(folder / name)


def lines(path: Path, *rows: str) -> None:
    put(path, "".join(f"{row}\n" for row in rows))


def caltech101(root: Path) -> None:
    for folder in ("Faces", "Faces_easy", "Leopards", "airplanes", "car_side", "BACKGROUND_Google"):
        put_images(root / "caltech101/101_ObjectCategories" / folder, "image_0001.jpg", "image_0002.jpg")
    put(root / "caltech101/101_ObjectCategories/BACKGROUND_Google/tmp", "")  # it is in the archive


def caltech101_few_shot(root: Path) -> None:
    """As CoOp lays it out, beside its lists."""
    caltech101(root)
    (root / "caltech101").rename(root / "caltech-101")
    items = [
        [f"{folder}/image_000{n}.jpg", label, name]
        for n in (1, 2)
        for label, (folder, name) in enumerate({"Faces": "face", "Leopards": "leopard"}.items())
    ]
    split = {"train": items[:2], "val": [], "test": items[2:]}
    put(root / "caltech-101/split_zhou_Caltech101.json", json.dumps(split))


def dtd(root: Path) -> None:
    folder = root / "dtd/dtd"
    parts = {"train": "0001", "val": "0002", "test": "0003"}
    for name in ("polka-dotted", "banded"):
        put_images(folder / "images" / name, *(f"{name}_{number}.jpg" for number in parts.values()))
    put(folder / "images/banded/.directory", "")  # it is in the archive
    for part, number in parts.items():
        lines(folder / f"labels/{part}1.txt", *(f"{name}/{name}_{number}.jpg" for name in ("polka-dotted", "banded")))
        lines(folder / f"labels/{part}2.txt", f"banded/banded_{number}.jpg")


def eurosat(root: Path) -> None:
    for name in (
        "AnnualCrop",
        "Forest",
        "HerbaceousVegetation",
        "Highway",
        "Industrial",
        "Pasture",
        "PermanentCrop",
        "Residential",
        "River",
        "SeaLake",
    ):
        put_images(root / "eurosat/2750" / name, f"{name}_1.jpg", f"{name}_10.jpg")


def fgvc_aircraft(root: Path) -> None:
    """Two variants of one family: whoever reads families finds one class less."""
    folder = root / "fgvc-aircraft-2013b/data"
    variants, families = ("707-320", "727-200", "DH-82", "F/A-18"), ("Boeing 707", "Boeing 727", "DH-82", "F/A-18")
    lines(folder / "variants.txt", *variants)
    lines(folder / "families.txt", *families[:3])
    lines(folder / "manufacturers.txt", "Boeing", "de Havilland")
    for start, part in enumerate(("train", "val", "test")):
        images = [f"{start}{number}00042" for number in range(4)]
        put_images(folder / "images", *(f"{image}.jpg" for image in images))
        lines(folder / f"images_variant_{part}.txt", *map(" ".join, zip(images, variants, strict=True)))
        lines(folder / f"images_family_{part}.txt", *map(" ".join, zip(images, families, strict=True)))


def flowers102(root: Path) -> None:
    folder = root / "flowers-102"
    put_images(folder / "jpg", *(f"image_{number:05d}.jpg" for number in range(1, 7)))
    put(folder / "imagelabels.mat", _mat(labels=np.array([[77, 60, 1, 77, 60, 102]], np.uint8)))
    put(folder / "setid.mat", _mat(trnid=[[1, 2]], valid=[[3]], tstid=[[6, 4, 5]]))


def food101(root: Path) -> None:
    folder = root / "food-101"
    images = {
        part: {name: [f"{name}/{part}{number}" for number in (1, 2)] for name in ("baby_back_ribs", "apple_pie")}
        for part in ("train", "test")
    }
    for part, by_class in images.items():
        put(folder / f"meta/{part}.json", json.dumps(by_class))
        put_images(folder / "images", *(f"{image}.jpg" for names in by_class.values() for image in names))
    lines(folder / "meta/classes.txt", "apple_pie", "baby_back_ribs")
    put(folder / "images/apple_pie/test1.jpg", picture("grey", "L"))
    put(folder / "images/apple_pie/test2.jpg", picture("cmyk", "CMYK"))


def imagenet(root: Path) -> None:
    """Two different things are called crane, and two maillot; a folder of 1,000 has too few images to be whole."""
    for part in ("train", "val"):
        for number, wordnet_id in enumerate(("n02012849", "n03126707", "n03710721", "n01440764")):
            put(root / "imagenet" / part / wordnet_id / f"ILSVRC2012_{part}_{number}.JPEG")


def unsorted_imagenet(root: Path) -> None:
    """Images and devkit as their archives unpack; the devkit's numbers are no label ids, and some are of groups."""
    put_images(root / "imagenet/val", *(f"ILSVRC2012_val_{number:08d}.JPEG" for number in (1, 2, 3)))
    kind = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O"), ("num_children", "O")]
    synsets = [(1, "n02119789", "kit fox", 0), (2, "n03126707", "crane", 0), (3, "n02012849", "crane", 0)]
    rows = np.array([*synsets, (1001, "n00001740", "entity", 2)], dtype=kind)
    put(root / "imagenet/ILSVRC2012_devkit_t12/data/meta.mat", _mat(synsets=rows.reshape(-1, 1)))
    lines(root / "imagenet/ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt", "3", "1", "2")


def imagenet_a(root: Path, folder: str = "imagenet-a") -> None:
    for wordnet_id in ("n01498041", "n02012849"):
        put(root / folder / wordnet_id / "0.000_x.jpg")
    put(root / folder / "README.txt", "a readme is in the archive")


def imagenet_r(root: Path) -> None:
    imagenet_a(root, "imagenet-rendition/imagenet-r")


def imagenet_sketch(root: Path) -> None:
    imagenet_a(root, "imagenet-sketch/sketch")


def imagenet_v2(root: Path) -> None:
    """Folders are numbers: sorted as text, 10 would come before 2."""
    for label in (0, 1, 2, 10, 999):
        put(root / "imagenetv2-matched-frequency-format-val" / str(label) / f"{label}.jpeg")


def oxford_pets(root: Path) -> None:
    folder = root / "oxford-iiit-pet"
    rows = {"Abyssinian": (1, 1, 1), "american_bulldog": (2, 2, 1), "Bengal": (3, 1, 2)}
    for part, number in (("trainval", 100), ("test", 201)):
        images = [(f"{name}_{number}", *numbers) for name, numbers in rows.items()]
        put_images(folder / "images", *(f"{image}.jpg" for image, *_ in images))
        lines(folder / f"annotations/{part}.txt", *(" ".join(map(str, row)) for row in images))
    put(folder / "images/Abyssinian_100.mat", "not an image, and in the archive")
    lines(folder / "annotations/list.txt", "#Image CLASS-ID SPECIES BREED ID")


def places365(root: Path) -> None:
    folder = root / "places365"
    categories = ("/a/airfield", "/a/apartment_building/outdoor", "/w/wind_farm")
    lines(folder / "categories_places365.txt", *(f"{name} {label}" for label, name in enumerate(categories)))
    rows = [(f"Places365_val_0000000{number}.jpg", label) for number, label in ((1, 2), (2, 0), (3, 1))]
    lines(folder / "places365_val.txt", *(f"{name} {label}" for name, label in rows))
    put_images(folder / "val_256", *(name for name, _ in rows))
    lines(folder / "places365_train_standard.txt", *(f"{name}/00000001.jpg {n}" for n, name in enumerate(categories)))
    put_images(folder / "data_256_standard", *(f"{name[1:]}/00000001.jpg" for name in categories))


def resisc45(root: Path) -> None:
    """`baseball_diamond_001.jpg`: its class has a blank, and its number is what stands behind the last one."""
    folder = root / "resisc45"
    for part, number in (("train", 1), ("val", 2), ("test", 3)):
        names = [f"{name}_{number:03d}.jpg" for name in ("ship", "baseball_diamond")]
        lines(folder / f"resisc45-{part}.txt", *names)
        put_images(folder / "NWPU-RESISC45", *(f"{name.rpartition('_')[0]}/{name}" for name in names))


def stanford_cars(root: Path) -> None:
    folder = root / "stanford_cars"
    names = np.array(["AM General Hummer SUV 2000", "Ram C/V Cargo Van Minivan 2012"], dtype=object)
    put(folder / "devkit/cars_meta.mat", _mat(class_names=names))
    kind = [("bbox_x1", "O"), ("class", "O"), ("fname", "O")]
    for part, file in (("train", "devkit/cars_train_annos.mat"), ("test", "cars_test_annos_withlabels.mat")):
        rows = np.array([(39, 2, "00001.jpg"), (5, 1, "00002.jpg")], dtype=kind)
        put(folder / file, _mat(annotations=rows))
        put_images(folder / f"cars_{part}", "00001.jpg", "00002.jpg")  # the same names in both parts
    put(
        folder / "devkit/cars_test_annos.mat",
        _mat(annotations=np.array([(1, "00001.jpg")], dtype=[("a", "O"), ("fname", "O")])),
    )


def sun397(root: Path) -> None:
    folder = root / "SUN397"
    names = ("/a/abbey", "/a/apse/indoor", "/b/balcony/exterior", "/b/balcony/interior")
    lines(folder / "ClassName.txt", *names)
    for part, letter in (("Training", "a"), ("Testing", "b")):
        images = [f"{name}/sun_{letter}{number}.jpg" for number, name in enumerate(names)]
        put_images(folder, *(image[1:] for image in images))
        lines(folder / f"{part}_01.txt", *images)


def ucf101(root: Path) -> None:
    """The files of HandstandPushups are spelt HandStandPushups."""
    folder = root / "ucf101"
    lines(folder / "ucfTrainTestlist/classInd.txt", "1 ApplyEyeMakeup", "2 HandstandPushups")
    films = ("ApplyEyeMakeup/v_ApplyEyeMakeup", "HandstandPushups/v_HandStandPushups")
    for part, group in (("train", "g08"), ("test", "g01")):
        rows = [f"{film}_{group}_c01.avi" for film in films]
        numbered = [f"{row} {number}" if part == "train" else row for number, row in enumerate(rows, start=1)]
        put(folder / f"ucfTrainTestlist/{part}list01.txt", "\r\n".join(numbered))
        for folder_name, row in zip(("Apply_Eye_Makeup", "Handstand_Pushups"), rows, strict=True):
            put(folder / "UCF-101-midframes" / folder_name / f"{row.rpartition('/')[2][:-4]}.jpg")


def cub200(root: Path) -> None:
    folder = root / "CUB_200_2011"
    lines(folder / "classes.txt", "1 001.Black_footed_Albatross", "2 002.Laysan_Albatross")
    rows = [
        ("1", "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg", "1", "0"),
        ("2", "001.Black_footed_Albatross/Black_Footed_Albatross_0009_34.jpg", "1", "1"),
        ("3", "002.Laysan_Albatross/Laysan_Albatross_0003_1033.jpg", "2", "0"),
    ]
    for name, column in (("images.txt", 1), ("image_class_labels.txt", 2), ("train_test_split.txt", 3)):
        lines(folder / name, *(f"{row[0]} {row[column]}" for row in rows))
    put_images(folder / "images", *(row[1] for row in rows))


def cifar10(root: Path) -> None:
    folder = root / "cifar-10-batches-py"
    for number, name in enumerate([*(f"data_batch_{n}" for n in range(1, 6)), "test_batch"]):
        put(folder / name, batch_of_python_2(_pixels(number), "labels", [number % 3, 2]))
    put(
        folder / "batches.meta", _pickled({"label_names": ["airplane", "automobile", "bird"], "num_cases_per_batch": 2})
    )


def cifar100(root: Path) -> None:
    folder = root / "cifar-100-python"
    for number, name in enumerate(("train", "test")):
        rows = {"data": _pixels(number), "fine_labels": [1, 0], "coarse_labels": [7, 7], "filenames": ["a", "b"]}
        put(folder / name, _pickled(rows))
    put(folder / "meta", _pickled({"fine_label_names": ["apple", "maple_tree"], "coarse_label_names": ["trees"]}))


_MADE: tuple[Tree, ...] = (
    caltech101, cifar10, cifar100, cub200, dtd, eurosat, fgvc_aircraft, flowers102, food101, imagenet, imagenet_a,
    imagenet_r, imagenet_sketch, imagenet_v2, oxford_pets, places365, resisc45, stanford_cars, sun397, ucf101,
)  # fmt: skip
TREES: Mapping[str, Tree] = {made.__name__: made for made in _MADE}  # type: ignore[attr-defined]


def _pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (2, 3072), dtype=np.uint8)


def _mat(**variables: Any) -> bytes:
    target = io.BytesIO()
    savemat(target, variables)
    return target.getvalue()


def _pickled(content: object) -> bytes:
    return pickle.dumps(content, protocol=2)


def batch_of_python_2(pixels: np.ndarray, key: str, labels: list[int]) -> bytes:
    """A batch as Python 2 has written it: numpy's old names, and bytes as the texts of that time."""

    def text(word: bytes) -> bytes:
        return b"T" + len(word).to_bytes(4, "little") + word

    def number(value: int) -> bytes:
        return b"J" + value.to_bytes(4, "little", signed=True)

    rows, width = pixels.shape
    empty = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text(b"b") + b"\x87R"
    kind = b"cnumpy\ndtype\n" + text(b"u1") + number(0) + number(1) + b"\x87R"
    kind += b"(" + number(3) + text(b"|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    shape = number(rows) + number(width) + b"\x86"
    array = empty + b"(" + number(1) + shape + kind + b"\x89" + text(pixels.tobytes()) + b"tb"
    listed = b"](" + b"".join(map(number, labels)) + b"e"
    return b"\x80\x02}(" + text(b"data") + array + text(key.encode()) + listed + b"u."
