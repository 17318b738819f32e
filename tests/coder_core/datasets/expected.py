"""What must be read from every one of `trees`: a part, and the class of its images; and how a data set is opened."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from coder_core.images.sources import ImageSource, open_source
from coder_core.specs import NamedDataset


def open_named(name: str, root: Path, **settings: Any) -> ImageSource:
    return open_source(NamedDataset(kind="named", name=name, root=str(root), **{"partial": True, **settings}))


def labels_of(source: ImageSource) -> dict[str, int]:
    found: dict[str, int] = {}
    for batch in source.batches(3):
        assert batch.label_ids is not None
        found |= dict(zip(batch.image_ids, batch.label_ids.tolist(), strict=True))
    assert len(found) == source.image_count
    return found


def named_images(source: ImageSource) -> dict[str, str]:
    return {image: source.classes.names[label] for image, label in labels_of(source).items()}


EXPECTED: Mapping[str, tuple[str, dict[str, str]]] = {
    "caltech101": (
        "all",
        {
            f"{folder}/image_000{number}.jpg": name
            for folder, name in {
                "Faces": "face",
                "Leopards": "leopard",
                "airplanes": "airplane",
                "car_side": "car side",
            }.items()
            for number in (1, 2)
        },
    ),
    "cifar10": ("test", {"test_batch/00000": "bird", "test_batch/00001": "bird"}),
    "cifar100": ("test", {"test/00000": "maple tree", "test/00001": "apple"}),
    "cub200": (
        "test",
        {
            "001.Black_footed_Albatross/Black_Footed_Albatross_0046_18.jpg": "Black footed Albatross",
            "002.Laysan_Albatross/Laysan_Albatross_0003_1033.jpg": "Laysan Albatross",
        },
    ),
    "dtd": ("test", {"banded/banded_0003.jpg": "banded", "polka-dotted/polka-dotted_0003.jpg": "polka-dotted"}),
    "eurosat": (
        "all",
        {
            f"{folder}/{folder}_{number}.jpg": name
            for folder, name in {
                "AnnualCrop": "annual crop land",
                "Forest": "forest",
                "HerbaceousVegetation": "brushland or shrubland",
                "Highway": "highway or road",
                "Industrial": "industrial buildings or commercial buildings",
                "Pasture": "pasture land",
                "PermanentCrop": "permanent crop land",
                "Residential": "residential buildings or homes or apartments",
                "River": "river",
                "SeaLake": "lake or sea",
            }.items()
            for number in (1, 10)
        },
    ),
    "fgvc_aircraft": (
        "test",
        {"2000042.jpg": "707-320", "2100042.jpg": "727-200", "2200042.jpg": "DH-82", "2300042.jpg": "F/A-18"},
    ),
    "flowers102": (
        "test",
        {
            "image_00004.jpg": "passion flower",
            "image_00005.jpg": "pink-yellow dahlia",
            "image_00006.jpg": "blackberry lily",
        },
    ),
    "food101": (
        "test",
        {
            f"{folder}/test{number}.jpg": folder.replace("_", " ")
            for folder in ("apple_pie", "baby_back_ribs")
            for number in (1, 2)
        },
    ),
    "imagenet": (
        "val",
        {
            "n01440764/ILSVRC2012_val_3.JPEG": "tench",
            "n02012849/ILSVRC2012_val_0.JPEG": "crane bird",
            "n03126707/ILSVRC2012_val_1.JPEG": "construction crane",
            "n03710721/ILSVRC2012_val_2.JPEG": "one-piece bathing suit",
        },
    ),
    "imagenet_a": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_r": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_sketch": ("test", {"n01498041/0.000_x.jpg": "stingray", "n02012849/0.000_x.jpg": "crane bird"}),
    "imagenet_v2": (
        "test",
        {
            "0/0.jpeg": "tench",
            "1/1.jpeg": "goldfish",
            "2/2.jpeg": "great white shark",
            "10/10.jpeg": "brambling",
            "999/999.jpeg": "toilet paper",
        },
    ),
    "oxford_pets": (
        "test",
        {
            "Abyssinian_201.jpg": "Abyssinian",
            "american_bulldog_201.jpg": "american bulldog",
            "Bengal_201.jpg": "Bengal",
        },
    ),
    "places365": (
        "val",
        {
            "Places365_val_00000001.jpg": "wind farm",
            "Places365_val_00000002.jpg": "airfield",
            "Places365_val_00000003.jpg": "apartment building outdoor",
        },
    ),
    "resisc45": (
        "test",
        {"baseball_diamond/baseball_diamond_003.jpg": "baseball diamond", "ship/ship_003.jpg": "ship"},
    ),
    "stanford_cars": (
        "test",
        {
            "cars_test/00001.jpg": "Ram C/V Cargo Van Minivan 2012",
            "cars_test/00002.jpg": "AM General Hummer SUV 2000",
        },
    ),
    "sun397": (
        "test",
        {
            "a/abbey/sun_b0.jpg": "abbey",
            "a/apse/indoor/sun_b1.jpg": "indoor apse",
            "b/balcony/exterior/sun_b2.jpg": "exterior balcony",
            "b/balcony/interior/sun_b3.jpg": "interior balcony",
        },
    ),
    "ucf101": (
        "test",
        {
            "Apply_Eye_Makeup/v_ApplyEyeMakeup_g01_c01.jpg": "Apply Eye Makeup",
            "Handstand_Pushups/v_HandStandPushups_g01_c01.jpg": "Handstand Pushups",
        },
    ),
}
