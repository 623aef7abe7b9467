#!/usr/bin/env python3
"""Writes what ONNX Runtime makes of the sample photos with the network of this folder, for the tests to hold Eyelet against.

    python3 -m venv VENV && VENV/bin/pip install -r requirements.txt
    VENV/bin/python reference.py

The network is the file here, as it ships; nothing is downloaded, and a second run leaves the same bytes. For each photo of
boards/photos:

    reference/NAME.png           the middle 224x224 of it, by the preprocess of model.toml: what the network is given
    reference/NAME.logits.f32    its 1000 scores, little-endian float32

These scores are ONNX Runtime's with all optimisations, in integers throughout. Its residual sums round by where the zero of the
integers lies, and Eyelet counts all integers in -128..=127 (src/network/graph/requantise.rs): so the network's tensors are declared
int8 before it runs, each zero point 128 less, which changes no real value. Whoever rounds the same way gets the same bits; a runtime
that counts in 0..=255, as ONNX Runtime itself does with the file as it is, is up to 3 steps of the scores away.

test_data_set_0 is the form in which the ONNX model zoo ships test data, for `eyelet model verify`: the cat, and its scores without
optimisations, where each operator is computed in float and then quantised.

Needs a processor with VNNI if it is an x86-64: without, ONNX Runtime's 8-bit sums can saturate.
"""

import pathlib
import sys

import numpy as np
import onnx
from onnx import numpy_helper
from PIL import Image

import calibrate

HERE = pathlib.Path(__file__).resolve().parent
MODEL = HERE / "efficientnet-lite0-int8.onnx"
PHOTOS = HERE.parent.parent / "boards/photos"
# Steps of the scores by which two right answers may differ: a value between two steps inside the network is rounded either way.
MAX_STEPS = 4
STEP = 0.0624


def as_int8(model):
    """The same network with its tensors counted in -128..=127."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for constant in changed.graph.initializer:
        values = numpy_helper.to_array(constant)
        if values.dtype == np.uint8:
            constant.CopyFrom(numpy_helper.from_array((values.astype(int) - 128).astype(np.int8), constant.name))
    return changed


def scores(session, crop):
    (logits,) = session.run(["output"], {"input": calibrate.to_tensor(crop)})
    return logits


def write_zoo_form(session, crop):
    folder = HERE / "test_data_set_0"
    folder.mkdir(exist_ok=True)
    for name, file, values in (("input", "input_0.pb", calibrate.to_tensor(crop)),
                               ("output", "output_0.pb", scores(session, crop))):
        (folder / file).write_bytes(numpy_helper.from_array(values, name).SerializeToString())


def main():
    model = onnx.load(MODEL)
    integers, literal = calibrate.session(as_int8(model), int8=True), calibrate.session(model, optimised=False)
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    for photo in sorted(PHOTOS.glob("*.jpg")):
        crop = calibrate.centre_crop(Image.open(photo))
        logits = scores(integers, crop)
        apart = np.abs(logits - scores(literal, crop)).max() / STEP
        if apart > MAX_STEPS:
            sys.exit(f"reference.py: {photo.name}: {apart:.1f} steps from the scores without optimisations: this processor saturates")
        crop.save(folder / f"{photo.stem}.png", optimize=True)
        logits.astype("<f4").tofile(folder / f"{photo.stem}.logits.f32")
        best = int(logits[0].argmax())
        share = np.exp(logits[0] - logits[0].max())
        print(f"{photo.name}: class {best}, {1 / share.sum():.4f}, {apart:.1f} steps from the scores without optimisations")
        if photo.stem == "cat":
            write_zoo_form(literal, crop)


if __name__ == "__main__":
    main()
