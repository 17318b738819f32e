"""This project beside other tools: the same images, weights, classes and templates; decisions, and whole commands.

    python bench/peers.py ENVIRONMENTS [--shared SITE_PACKAGES] [--photos FOLDER] [--images 240] [--rounds 3]
        [--only clip_benchmark clip_retrieval daft ray mteb]

ENVIRONMENTS is a folder; each peer is installed into an environment of its own in it, once
(`bench/peer_environments.py` says what, and what `--shared` is). One that cannot be installed is named with pip's
words, and the others go on. Weights are random, and photographs rendered unless `--photos` names a folder of class
folders, so nothing but packages is downloaded. Commands are those that a user types, from the start of the process to
its end; sides take turns.

* CLIP_benchmark reads the photographs as tar shards (its `wds/` data sets), and so does this project; what both say of
  every image, by one template and by several, is compared, and so are the metrics that both write.
* CPU seconds are those of a command and the processes that it waits for: ray's workers are not among them.
* clip-retrieval, daft and ray embed the files; this project embeds them, classifies, measures and publishes a run.
  From clip-retrieval's vectors, imported, this project must say the same as from the photographs.
* mteb reads the task results that `coder-eval metrics` writes.
"""

import argparse
import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from bench.peer_environments import PACKAGES, Environment, Took, make_environment, middle, run_timed
from bench.random_clip import write_clip, write_photographs

ROOT = Path(__file__).parents[1]
SIZE = (500, 375)
SHARDS = 4
CLASSES = (
    "banded",
    "blotchy",
    "braided",
    "bubbly",
    "bumpy",
    "chequered",
    "cobwebbed",
    "cracked",
    "crosshatched",
    "dotted",
)
OPENAI = {
    "mean": [0.48145466, 0.4578275, 0.40821073],
    "std": [0.26862954, 0.26130258, 0.27577711],
    "interpolation": "bicubic",
    "resize_mode": "shortest",
}
"""Preprocessing that all peers take for an architecture of open_clip whose weights are a file."""
TEMPLATES = {
    "clip": ["a photo of a {class}."],
    "clip_ensemble": ["itap of a {class}.", "a bad photo of the {class}.", "a photo of the large {class}."],
}


def main() -> None:
    """Print the comparisons."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("environments", type=Path)
    parser.add_argument("--shared", type=Path, help="site-packages that every environment sees behind its own")
    parser.add_argument("--photos", type=Path, help="a folder of class folders of .jpg; default: rendered")
    parser.add_argument("--images", type=int, default=240, help="rendered photographs of 500 x 375")
    parser.add_argument("--architecture", default="ViT-B-32")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", default=list(PACKAGES), choices=list(PACKAGES))
    options = parser.parse_args()
    options.environments.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as name:
        peers = Peers(Path(name), options)
        for peer in options.only:
            environment = make_environment(options.environments.absolute(), peer, options.shared)
            if environment.problem is not None:
                print(f"{peer}: not installed. {environment.problem}", flush=True)
                continue
            peers.comparisons[peer](environment)


class Peers:
    """Photographs, weights and configs that all sides are given."""

    def __init__(self, folder: Path, options: argparse.Namespace) -> None:
        self.folder, self.rounds, self._used = folder, options.rounds, 0
        self.architecture = options.architecture
        self.checkpoint = write_clip(folder / "clip", options.architecture, OPENAI)
        self.photos = folder / "photos"
        self.images = lay_out_photographs(self.photos, options.photos, options.images)
        self.names = sorted({image.parent.name for image in self.images})
        self.environment = {**os.environ, "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        self.comparisons: Mapping[str, Callable[[Environment], None]] = {
            "clip_benchmark": self.clip_benchmark,
            "clip_retrieval": self.clip_retrieval,
            "daft": lambda peer: self.pipeline(peer, "bench/peer_daft.py"),
            "ray": lambda peer: self.pipeline(peer, "bench/peer_ray.py"),
            "mteb": self.mteb,
        }

    def config(
        self,
        name: str,
        dataset: Mapping[str, Any],
        methods: Sequence[str],
        precision: str = "float32",
        **settings: Any,
    ) -> Path:
        """Write a config of ours."""
        sentences = {"class_name": TEMPLATES["clip"][0], "ensemble": TEMPLATES["clip_ensemble"]}
        content = {
            "name": name,
            "dataset": dict(dataset),
            "encoder": {"kind": "open_clip", "checkpoint": str(self.checkpoint), "precision": precision},
            "texts": {"domain": "peers", "domains": {"peers": sentences}},
            "methods": list(methods),
            **settings,
        }
        path = self.folder / f"{name}.yaml"
        path.write_text(yaml.safe_dump(content))
        return path

    def ours(self, *words: str, store: Path) -> list[str]:
        """A command of ours."""
        return [sys.executable, "-m", "flows.program", *words, "--store", str(store)]

    def fresh(self, what: str) -> Path:
        """A place where nothing is."""
        self._used += 1
        return self.folder / f"{what}{self._used}"

    def race(self, label: str, own: Callable[[], list[str]], other: Callable[[], list[str]], peer: Environment) -> None:
        """Run both commands in turns, and print medians."""
        takes: tuple[list[Took], list[Took]] = ([], [])
        theirs = {**self.environment, "PYTHONPATH": ""}
        for _ in range(self.rounds):
            takes[0].append(run_timed(own(), cwd=self.folder, environment=self.environment))
            takes[1].append(run_timed(other(), cwd=self.folder, environment=theirs))
        here, there = map(middle, takes)
        print(
            f"{len(self.images)} photographs, whole commands, medians of {self.rounds}: {label} "
            f"{there.seconds:.1f} s ({there.cpu_seconds:.1f} s of CPU), coder-eval {here.seconds:.1f} s "
            f"({here.cpu_seconds:.1f}): {there.seconds / here.seconds:.2f} times "
            f"(CPU {there.cpu_seconds / here.cpu_seconds:.2f}); {peer.name} {version(peer)}",
            flush=True,
        )

    def run_once(self, config: Path, store: Path) -> None:
        """Run one of our evaluations."""
        run_timed(
            self.ours("run", str(config), "--engine", "inline", store=store),
            cwd=self.folder,
            environment=self.environment,
        )

    def said(self, store: Path) -> dict[str, dict[str, str]]:
        """What our latest run says of every image, by method; images by the end of their path."""
        sql = "SELECT method, image_id, predicted_name FROM latest_predictions"
        answer = self.output(self.ours("query", sql, "--format", "json", store=store))
        found: dict[str, dict[str, str]] = {}
        for row in json.loads(answer):
            name = Path(row["image_id"]).stem
            found.setdefault(row["method"], {})[name] = row["predicted_name"]
        return found

    def output(self, command: Sequence[str]) -> str:
        """What a command of ours prints."""
        found = subprocess.run(  # noqa: S603 (our own words)
            list(command), cwd=self.folder, env=self.environment, capture_output=True, text=True, check=True
        )
        return found.stdout

    def clip_benchmark(self, peer: Environment) -> None:
        """Decisions, metrics and whole commands."""
        root = self.folder / "wds"
        keys = write_shards(root, self.images, self.names, TEMPLATES["clip_ensemble"])
        dataset = {"kind": "webdataset", "path": str(root / "test" / "*.tar"), "class_names": self.names}
        both = self.config("photos", dataset, ["clip", "clip_ensemble"])
        store = self.fresh("store")
        self.run_once(both, store)
        ours = self.said(store)
        model = f"local-dir:{self.checkpoint}"
        self.compare_decisions(peer, keys, ours, root, model)
        result = self.folder / "result.json"
        command = [peer.script("clip_benchmark"), "eval", "--dataset", "wds/photos", "--dataset_root", str(root)]
        command += ["--task", "zeroshot_classification", "--model", model, "--pretrained", "", "--no_amp"]
        command += ["--output", str(result)]
        alone = self.config("photos-ensemble", dataset, ["clip_ensemble"])
        self.race(
            "clip_benchmark eval",
            lambda: self.ours("run", str(alone), "--engine", "inline", store=self.fresh("store")),
            lambda: command,
            peer,
        )
        self.race_halves(dataset, command, result, peer)
        self.output(
            self.ours("metrics", "photos", str(self.folder / "exported"), "--format", "clip_benchmark", store=store)
        )
        mine = json.loads((self.folder / "exported" / "clip_ensemble.json").read_text())["metrics"]
        theirs = json.loads(result.read_text())["metrics"]
        apart = max(abs(mine[name] - value) for name, value in theirs.items())
        files = [str(path) for path in sorted((self.folder / "exported").glob("*.json"))]
        table = self.folder / "built.csv"
        run_timed(
            [peer.script("clip_benchmark"), "build", *files, "--output", str(table)],
            cwd=self.folder,
            environment=self.environment,
        )
        built = len(table.read_text().splitlines()) - 1
        print(
            f"metrics {theirs}; ours differ by at most {apart:.1e}; its `build` reads our export: {built} rows",
            flush=True,
        )

    def race_halves(self, dataset: Mapping[str, Any], exact: Sequence[str], result: Path, peer: Environment) -> None:
        """Both with their quicker precision: CLIP_benchmark's default, and weights in bfloat16."""
        config = self.config("photos-half", dataset, ["clip_ensemble"], precision="bfloat16")
        other = str(result.with_name("half.json"))
        command = [other if word == str(result) else word for word in exact if word != "--no_amp"]
        self.race(
            "clip_benchmark eval as it comes (autocast) beside `precision: bfloat16`,",
            lambda: self.ours("run", str(config), "--engine", "inline", store=self.fresh("store")),
            lambda: command,
            peer,
        )

    def compare_decisions(
        self, peer: Environment, keys: Sequence[str], ours: Mapping[str, Mapping[str, str]], root: Path, model: str
    ) -> None:
        """What CLIP_benchmark's own functions say of every image, against ours."""
        sentences = {method: [text.replace("{class}", "{c}") for text in texts] for method, texts in TEMPLATES.items()}
        (self.folder / "templates.json").write_text(json.dumps(sentences))
        out = self.folder / "said.json"
        script = [str(peer.python), "-P", str(ROOT / "bench" / "peer_clip_benchmark.py")]
        words = [str(root), model, str(self.folder / "templates.json"), str(out)]
        run_timed([*script, *words], cwd=self.folder, environment={**self.environment, "PYTHONPATH": ""})
        for method, said in json.loads(out.read_text()).items():
            theirs = {key: self.names[label] for key, label in zip(keys, said["predicted"], strict=True)}
            same = sum(ours[method][key] == name for key, name in theirs.items())
            classes = len(set(theirs.values()))
            print(
                f"clip_benchmark {version(peer)}, {method}: {same} of {len(keys)} decisions the same, of {classes} "
                f"classes; its smallest lead {min(said['ahead']):.1e} logits",
                flush=True,
            )

    def folder_config(self) -> Path:
        """Our evaluation of the same files."""
        return self.config("files", {"kind": "folder", "path": str(self.photos)}, ["clip_ensemble"])

    def clip_retrieval(self, peer: Environment) -> None:
        """Whole commands, and an evaluation of its vectors."""
        config, weights = self.folder_config(), self.checkpoint / "open_clip_model.safetensors"
        outs: list[Path] = []

        def theirs() -> list[str]:
            outs.append(self.fresh("retrieval"))
            command = [peer.script("clip-retrieval"), "inference", "--input_dataset", str(self.photos)]
            command += ["--output_folder", str(outs[-1]), "--enable_text", "False"]
            return [*command, "--clip_model", f"open_clip:{self.architecture}/{weights}"]

        self.race(
            "clip-retrieval inference",
            lambda: self.ours("run", str(config), "--engine", "inline", store=self.fresh("store")),
            theirs,
            peer,
        )
        self.compare_imported(outs[-1])

    def compare_imported(self, vectors: Path) -> None:
        """An evaluation from imported vectors against the same from photographs."""
        store, folder = self.fresh("store"), {"kind": "folder", "path": str(self.photos)}
        config = self.config("both", folder, ["clip", "clip_ensemble"], texts={"domain": "general"})
        self.run_once(config, store)
        expected = self.said(store)
        imported, written = self.fresh("store"), self.folder / "imported.yaml"
        words = ["import", "clip-retrieval", str(vectors), "--model", str(self.checkpoint), "--out", str(written)]
        self.output(self.ours(*words, store=imported))
        self.run_once(written, imported)
        found = self.said(imported)["clip_ensemble"]
        same = sum(expected["clip_ensemble"][key] == name for key, name in found.items())
        print(
            f"clip-retrieval's vectors, imported: {same} of {len(found)} decisions as from the photographs", flush=True
        )

    def pipeline(self, peer: Environment, script: str) -> None:
        """Whole commands."""
        config = self.folder_config()
        command = [str(peer.python), "-P", str(ROOT / script), str(self.photos), str(self.checkpoint)]
        self.race(
            f"a pipeline of {peer.name}",
            lambda: self.ours("run", str(config), "--engine", "inline", store=self.fresh("store")),
            lambda: [*command, str(self.fresh("vectors"))],
            peer,
        )

    def mteb(self, peer: Environment) -> None:
        """Its own class reads the task results that we write."""
        store = self.fresh("store")
        self.run_once(self.folder_config(), store)
        out = self.folder / "mteb"
        self.output(self.ours("metrics", "files", str(out), "--format", "mteb", "--task", "DTDZeroShot", store=store))
        code = (
            "import sys, pathlib; from mteb.results import TaskResult; "
            "r = TaskResult.from_disk(pathlib.Path(sys.argv[1])); print(r.task_name, r.get_score(), r.task_type)"
        )
        found = subprocess.run(  # noqa: S603 (our own words)
            [str(peer.python), "-c", code, str(out / "clip_ensemble" / "DTDZeroShot.json")],
            capture_output=True,
            text=True,
            check=True,
            env={**self.environment, "PYTHONPATH": ""},
        )
        print(f"mteb {version(peer)} reads our task result: {found.stdout.strip().splitlines()[-1]}", flush=True)


def lay_out_photographs(folder: Path, given: Path | None, count: int) -> list[Path]:
    """Class folders of JPEG files, rendered or copied; gives the files by class and name."""
    if given is not None:
        shutil.copytree(given, folder)
    else:
        rendered = write_photographs(folder.parent / "rendered", count, SIZE)
        for number, path in enumerate(rendered):
            place = folder / CLASSES[number % len(CLASSES)]
            place.mkdir(parents=True, exist_ok=True)
            path.rename(place / path.name)
    return sorted(folder.glob("*/*.jpg"))


def write_shards(root: Path, images: Sequence[Path], names: Sequence[str], templates: Sequence[str]) -> list[str]:
    """Tar shards and the files beside them, as CLIP_benchmark's data sets are laid out; gives the keys in order.

    There is a shard for each of its loader's four processes: one that has none is an error of webdataset.
    """
    (root / "test").mkdir(parents=True)
    size = -(-len(images) // SHARDS)
    for number in range(SHARDS):
        with tarfile.open(root / "test" / f"{number}.tar", "w") as shard:
            for image in images[number * size : (number + 1) * size]:
                label = str(names.index(image.parent.name)).encode()
                add_file(shard, f"{image.stem}.cls", label)
                add_file(shard, f"{image.stem}.jpg", image.read_bytes())
    (root / "test" / "nshards.txt").write_text(str(SHARDS))
    (root / "classnames.txt").write_text("\n".join(names) + "\n")
    lines = [template.replace("{class}", "{c}") for template in templates]
    (root / "zeroshot_classification_templates.txt").write_text("\n".join(lines) + "\n")
    return [image.stem for image in images]


def add_file(shard: tarfile.TarFile, name: str, content: bytes) -> None:
    """Put a file into a shard."""
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    shard.addfile(entry, io.BytesIO(content))


def version(peer: Environment) -> str:
    """The release that is installed."""
    name = PACKAGES[peer.name][0].split(">")[0].split("[")[0]
    code = f"from importlib.metadata import version; print(version({name!r}))"
    found = subprocess.run([str(peer.python), "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    return found.stdout.strip()


if __name__ == "__main__":
    main()
