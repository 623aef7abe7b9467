"""The photos that set the int8 ranges, how the ranges are chosen, and how well float and int8 agree.

Preprocess everywhere: shorter side to 240 with antialiased bilinear, crop 224x224, then (rgb - 127) / 128.
"""

import io
import pathlib
import random

import numpy as np
import onnxruntime
from PIL import Image

RESIZE_SHORTER_PX, CROP_PX = 240, 224
SEED = 20
CROPS_PER_PHOTO = 8
BINS = 2048
# Photos by the package that carries them. The first set is for calibration; the second is kept from it, to measure with.
CALIBRATION = {
    "scikit-image": [f"skimage/data/{name}" for name in (
        "astronaut.png", "brick.png", "camera.png", "chelsea.png", "clock_motion.png", "coffee.png", "coins.png",
        "grass.png", "gravel.png", "hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "retina.jpg",
        "rocket.jpg")],
    "scikit-learn": ["sklearn/datasets/images/flower.jpg"],
}
HELD_OUT = {
    "scikit-learn": ["sklearn/datasets/images/china.jpg"],
    "matplotlib": ["matplotlib/mpl-data/sample_data/grace_hopper.jpg"],
}


def to_tensor(crop):
    """A 224x224 picture as the network's input, 1x3x224x224."""
    values = (np.asarray(crop.convert("RGB"), np.float32) - 127.0) / 128.0
    return np.ascontiguousarray(values.transpose(2, 0, 1)[None])


def resized(picture, shorter_px):
    """The picture with its shorter side at `shorter_px`, antialiased bilinear."""
    factor = shorter_px / min(picture.size)
    size = [max(shorter_px, round(side * factor)) for side in picture.size]
    return picture.convert("RGB").resize(size, Image.Resampling.BILINEAR)


def centre_crop(picture, shorter_px=RESIZE_SHORTER_PX):
    """The middle 224x224 of the resized picture."""
    picture = resized(picture, shorter_px)
    left, top = ((side - CROP_PX) // 2 for side in picture.size)
    return picture.crop((left, top, left + CROP_PX, top + CROP_PX))


def crops(picture, count, rng):
    """The centre crop and `count - 1` others: random place, random zoom, every other one mirrored."""
    found = [centre_crop(picture)]
    for number in range(1, count):
        zoomed = resized(picture, rng.randint(CROP_PX, 2 * RESIZE_SHORTER_PX))
        left, top = (rng.randint(0, side - CROP_PX) for side in zoomed.size)
        crop = zoomed.crop((left, top, left + CROP_PX, top + CROP_PX))
        found.append(crop.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if number % 2 else crop)
    return found


def photos(wheels, table):
    """The pictures of `table` out of the opened wheels, by their file name's stem."""
    return {pathlib.PurePosixPath(path).stem: Image.open(io.BytesIO(wheels[package].read(path)))
            for package, paths in table.items() for path in paths}


def session(model, optimised=True, int8=False):
    """An ONNX Runtime session on one thread, so that sums have one order.

    Not optimised, it rounds as the operators' definitions say. `int8` for a network of int8 tensors: in integers on x86-64 too.
    """
    options = onnxruntime.SessionOptions()
    if int8:
        options.add_session_config_entry("session.qdqisint8allowed", "1")
    options.intra_op_num_threads = 1
    if not optimised:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def _best_range(counts, low, high):
    """The range that quantises a histogram over low..high with the least squared error."""
    centres = low + (np.arange(BINS) + 0.5) * (high - low) / BINS

    def error(a, b):
        scale = max(b - a, 1e-9) / 255.0
        zero_point = np.rint(-a / scale)
        real = (np.clip(np.rint(centres / scale) + zero_point, 0, 255) - zero_point) * scale
        return float(np.dot(counts, (real - centres) ** 2))

    fractions = np.linspace(0.3, 1.0, 71)
    best_low, best_high = low, high
    for _ in range(2):
        best_high = min((high * f for f in fractions), key=lambda b: error(best_low, b))
        if low < 0.0:
            best_low = min((low * f for f in fractions), key=lambda a: error(a, best_high))
    return best_low, best_high


def ranges(network, float_model, wheels):
    """Low and high of every step's output: least squared error over the calibration crops."""
    names = [step.name for step in network]
    net = session(float_model(network, watch=names))
    rng = random.Random(SEED)
    inputs = [to_tensor(crop) for picture in photos(wheels, CALIBRATION).values()
              for crop in crops(picture, CROPS_PER_PHOTO, rng)]
    low, high = dict.fromkeys(names, 0.0), dict.fromkeys(names, 0.0)
    for x in inputs:
        for name, value in zip(names, net.run(names, {"input": x})):
            low[name], high[name] = min(low[name], float(value.min())), max(high[name], float(value.max()))
    counts = {name: np.zeros(BINS) for name in names}
    for x in inputs:
        for name, value in zip(names, net.run(names, {"input": x})):
            counts[name] += np.histogram(value, BINS, (low[name], high[name]))[0]
    found = {}
    for name in names:
        # Four digits: the last bits of float sums differ between processors and shall not show.
        found[name] = [float(f"{bound:.4g}") for bound in _best_range(counts[name], low[name], high[name])]
    return found


def agreement(float_net, int8_net, tensors):
    """Share of equal top-1, mean and least correlation of the logits, mean absolute difference of the logits."""
    same, correlations, differences = 0, [], []
    for x in tensors:
        (a,), (b,) = float_net.run(["output"], {"input": x}), int8_net.run(["output"], {"input": x})
        same += int(a.argmax() == b.argmax())
        correlations.append(np.corrcoef(a[0], b[0])[0, 1])
        differences.append(np.abs(a - b).mean())
    return {"top1": same / len(tensors), "count": len(tensors), "correlation_mean": float(np.mean(correlations)),
            "correlation_min": float(np.min(correlations)), "difference_mean": float(np.mean(differences))}
