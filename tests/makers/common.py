"""What all makers share: photos as a network wants them, the folder of a model, and scores that differ by photo."""

import argparse
import json
import pathlib

import numpy as np
from PIL import Image

SHIPPED_PHOTOS = pathlib.Path(__file__).resolve().parents[2] / "boards/photos"
PHOTO_SUFFIXES = {".jpg", ".jpeg", ".png"}

# How pixels from 0 to 255 become values, in the keys of a model.toml: (pixel * scale - mean) / std.
IMAGENET = {"scale": 1 / 255, "mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
UNIT = {"scale": 1 / 255, "mean": [0.0] * 3, "std": [1.0] * 3}
SIGNED = {"scale": 1 / 127.5, "mean": [1.0] * 3, "std": [1.0] * 3}
BYTES = {"scale": 1.0, "mean": [0.0] * 3, "std": [1.0] * 3}

# Logits of a network with random weights are brought to this deviation, so that they look like a trained network's.
LOGIT_DEVIATION = 2.0


class Skipped(Exception):
    """A maker that is not installed, or a file that its package does not ship."""


def command_line(doc):
    """The arguments that the scripts share: the folder of models, and the photos."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--photos", type=pathlib.Path, default=SHIPPED_PHOTOS)
    return parser


def photos(folder):
    """The photos of a folder, by name."""
    paths = sorted(p for p in pathlib.Path(folder).iterdir() if p.suffix.lower() in PHOTO_SUFFIXES)
    if len(paths) < 2:
        raise SystemExit(f"{folder} has {len(paths)} photos; at least 2 are needed")
    return paths


def crop(path, width, height):
    """The middle of a photo, resized: bytes of HxWx3."""
    picture = Image.open(path).convert("RGB")
    factor = max(width / picture.width, height / picture.height)
    size = (max(width, round(picture.width * factor)), max(height, round(picture.height * factor)))
    picture = picture.resize(size, Image.BILINEAR)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return np.asarray(picture.crop((left, top, left + width, top + height)), np.uint8)


def encode(pixels, spec):
    """Bytes of HxWx3 as the network's input, with a batch axis."""
    channels = spec.get("channels", "rgb")
    if spec.get("dtype", "f32") == "u8":
        values = pixels
    else:
        scale, mean, std = (np.asarray(spec[key], np.float32) for key in ("scale", "mean", "std"))
        values = ((pixels.astype(np.float32) * scale - mean) / std).astype(np.float32)
    if channels == "grey":
        values = (values @ np.asarray([0.299, 0.587, 0.114], np.float32))[..., None].astype(np.float32)
    elif channels == "bgr":
        values = values[..., ::-1]
    if spec["layout"] == "NCHW":
        values = values.transpose(2, 0, 1)
    return np.ascontiguousarray(values[None])


def batch(paths, spec):
    """All photos in one tensor."""
    size = (spec["width_px"], spec["height_px"])
    return np.concatenate([encode(crop(path, *size), spec) for path in paths])


def input_spec(layout, width, height=None, rule=IMAGENET, **more):
    """The [input] of a model.toml."""
    return {"layout": layout, "width_px": width, "height_px": height or width, **rule, **more}


def output_spec(kind, class_count, label_offset=0):
    """The [output] of a model.toml."""
    return {"kind": kind, "class_count": class_count, "label_offset": label_offset}


def spread(outputs):
    """Factor and offset for each class that bring outputs (photos x classes) to LOGIT_DEVIATION and no mean."""
    mean = outputs.mean(0)
    deviation = float((outputs - mean).std())
    if not deviation > 0:
        raise ValueError("all photos have the same scores")
    return LOGIT_DEVIATION / deviation, mean


class Folder:
    """Where the models go: one folder each, with an about.json."""

    def __init__(self, root, photo_paths, only=None):
        self.root, self.photos, self.only = pathlib.Path(root), photo_paths, only
        self.skipped = []

    def wants(self, name):
        """Whether a model of this name is to be made: it was asked for, or is not there yet."""
        if self.only:
            return any(word in name for word in self.only)
        return not (self.root / name / "about.json").exists()

    def path(self, name):
        """The file that a maker writes."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{name}.onnx"

    def about(self, name, maker, taken, gives, expect="runs", note=""):
        """Keeps what is true of a model. `expect` is "runs", or what it is instead of a classifier."""
        about = {"name": name, "maker": maker, "input": taken, "output": gives, "expect": expect, "note": note}
        (self.root / name / "about.json").write_text(json.dumps(about, indent=1) + "\n")
        print(f"made {name}", flush=True)

    def make(self, name, function):
        """Runs one maker; what goes wrong is told and kept, and the next one goes on."""
        if not self.wants(name):
            return
        try:
            function()
        except Exception as error:  # Makers fail in as many ways as there are makers.
            why = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
            self.skipped.append((name, why))
            print(f"skipped {name}: {why}", flush=True)
