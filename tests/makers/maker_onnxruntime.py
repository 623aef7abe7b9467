"""ONNX Runtime's quantisers, optimiser and converters over the model card's float file (real-mobilenetv2-1.0) and others made before."""

import json
import shutil

import numpy as np
import onnx
import onnxruntime
from onnxruntime import quantization as q
from onnxruntime.quantization.shape_inference import quant_pre_process

from common import Skipped, crop, encode

SOURCE = "real-mobilenetv2-1.0"
VERSION = onnxruntime.__version__


class Pictures(q.CalibrationDataReader):
    """All photos, one after the other."""

    def __init__(self, folder, about, name):
        spec = about["input"]
        self.feeds = iter([{name: encode(crop(p, spec["width_px"], spec["height_px"]), spec)} for p in folder.photos])

    def get_next(self):
        return next(self.feeds, None)


def source_of(folder, short):
    """A model that was made before, at opset 13 or more, with shapes inferred, as the quantisers want it."""
    file = folder.root / short / f"{short}.onnx"
    if not file.exists():
        raise Skipped(f"{short} was not made")
    about = json.loads((file.parent / "about.json").read_text())
    ready = folder.root / short / "prepared.onnx"
    if not ready.exists():
        model = onnx.load(file)
        if max(o.version for o in model.opset_import if o.domain in ("", "ai.onnx")) < 13:
            # The version converter wants weights that are no inputs.
            weights = {w.name for w in model.graph.initializer}
            inputs = [i for i in model.graph.input if i.name not in weights]
            del model.graph.input[:]
            model.graph.input.extend(inputs)
            model.ir_version = 8
            model = onnx.version_converter.convert_version(model, 13)
        onnx.save(model, ready)
        quant_pre_process(str(ready), str(ready), skip_symbolic_shape=True)
    return ready, about, onnx.load(ready).graph.input[0].name


def quantisers(folder):
    """quantize_static in both forms, all types; quantize_dynamic."""
    signed, unsigned = q.QuantType.QInt8, q.QuantType.QUInt8
    static = {
        "qdq-int8-per-channel": {"quant_format": q.QuantFormat.QDQ, "activation_type": signed, "weight_type": signed, "per_channel": True},
        "qdq-uint8-per-tensor": {"quant_format": q.QuantFormat.QDQ, "activation_type": unsigned, "weight_type": signed},
        "qdq-uint8-uint8": {"quant_format": q.QuantFormat.QDQ, "activation_type": unsigned, "weight_type": unsigned, "per_channel": True},
        "qdq-reduce-range-symmetric": {"quant_format": q.QuantFormat.QDQ, "activation_type": signed, "weight_type": signed, "per_channel": True, "reduce_range": True, "extra_options": {"ActivationSymmetric": True}},
        "qdq-percentile": {"quant_format": q.QuantFormat.QDQ, "activation_type": unsigned, "weight_type": signed, "per_channel": True, "calibrate_method": q.CalibrationMethod.Percentile},
        "qoperator-uint8": {"quant_format": q.QuantFormat.QOperator, "activation_type": unsigned, "weight_type": signed},
        "qoperator-int8-per-channel": {"quant_format": q.QuantFormat.QOperator, "activation_type": signed, "weight_type": signed, "per_channel": True},
        "qdq-int16-activations": {"quant_format": q.QuantFormat.QDQ, "activation_type": q.QuantType.QUInt16, "weight_type": signed},
    }
    others = {"ts-resnet18": ("qdq-int8-per-channel", "qoperator-uint8"), "ts-mobilenet_v3_small": ("qdq-uint8-per-tensor", "qoperator-uint8"), "ts-efficientnet_b0": ("qdq-int8-per-channel",),
              "ts-shufflenet_v2": ("qdq-uint8-per-tensor", "qoperator-uint8"), "ts-vit": ("qdq-int8-per-channel",), "tf2onnx-mobilenet_v2": ("qdq-int8-per-channel", "qoperator-uint8"), "ts-densenet121": ("qdq-uint8-per-tensor",), "ts-squeezenet1_1": ("qoperator-uint8",)}
    jobs = [(SOURCE, form) for form in static] + [(short, form) for short, forms in others.items() for form in forms]
    for short, form in jobs:
        name = f"ort-{short}-{form}" if short != SOURCE else f"ort-{form}"

        def run():
            ready, about, taken = source_of(folder, short)
            q.quantize_static(str(ready), str(folder.path(name)), Pictures(folder, about, taken), **static[form])
            expect = "16 bits" if "int16" in form else "runs"
            folder.about(name, f"ONNX Runtime {VERSION} quantize_static", about["input"], about["output"], expect, f"{form} of {short}")

        folder.make(name, run)

    for short, kind, per_channel in ((SOURCE, unsigned, False), (SOURCE, signed, True), ("ts-vit", signed, False), ("tf2onnx-mobilenet_v2", unsigned, False)):
        what = ("uint8" if kind == unsigned else "int8") + ("-per-channel" if per_channel else "")
        name = f"ort-dynamic-{what}" + ("" if short == SOURCE else f"-{short}")

        def run():
            ready, about, _ = source_of(folder, short)
            q.quantize_dynamic(str(ready), str(folder.path(name)), weight_type=kind, per_channel=per_channel)
            folder.about(name, f"ONNX Runtime {VERSION} quantize_dynamic", about["input"], about["output"], note=f"{what} of {short}")

        folder.make(name, run)

    def four_bits():
        from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

        ready, about, _ = source_of(folder, "ts-swin_t")
        quantiser = MatMulNBitsQuantizer(onnx.load(ready), block_size=32, is_symmetric=True)
        quantiser.process()
        onnx.save(quantiser.model.model, folder.path("ort-4-bits-weights"))
        folder.about("ort-4-bits-weights", f"ONNX Runtime {VERSION} MatMulNBitsQuantizer", about["input"], about["output"], note="4-bit weights, of ts-swin_t")

    folder.make("ort-4-bits-weights", four_bits)


def optimiser(folder):
    """Files that ONNX Runtime's optimiser wrote, half precision by its converter, opset conversion, onnxslim."""
    levels = onnxruntime.GraphOptimizationLevel
    for short in (SOURCE, "ts-resnet18", "ts-vit", "tf2onnx-mobilenet_v2", "ort-qdq-uint8-per-tensor"):
        for level, word in ((levels.ORT_ENABLE_BASIC, "basic"), (levels.ORT_ENABLE_EXTENDED, "extended"), (levels.ORT_ENABLE_ALL, "all")):
            if word != "extended" and short != SOURCE:
                continue
            name = f"ort-optimised-{word}" + ("" if short == SOURCE else f"-{short}")

            def run():
                file = folder.root / short / f"{short}.onnx"
                if not file.exists():
                    raise Skipped(f"{short} was not made")
                about = json.loads((file.parent / "about.json").read_text())
                options = onnxruntime.SessionOptions()
                options.graph_optimization_level = level
                options.optimized_model_filepath = str(folder.path(name))
                onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
                folder.about(name, f"ONNX Runtime {VERSION} optimized_model_filepath", about["input"], about["output"], "runs" if word == "basic" or short.startswith("ort-") else "ONNX Runtime's private operators", f"{word} of {short}")

            folder.make(name, run)

    for short, keep in ((SOURCE, True), ("ts-resnet18", False), ("tf2onnx-mobilenet_v2", True)):
        name = "ort-float16" + ("" if short == SOURCE else f"-{short}")

        def run():
            from onnxruntime.transformers.float16 import convert_float_to_float16

            ready, about, _ = source_of(folder, short)
            onnx.save(convert_float_to_float16(onnx.load(ready), keep_io_types=keep), folder.path(name))
            folder.about(name, f"ONNX Runtime {VERSION} convert_float_to_float16", about["input"], about["output"], note=f"of {short}, float input {keep}")

        folder.make(name, run)

    for short in ("ts-swin_t", "tf2onnx-efficientnet_b0", "hf-vit"):
        name = f"onnxslim-{short}"

        def run():
            import onnxslim

            file = folder.root / short / f"{short}.onnx"
            if not file.exists():
                raise Skipped(f"{short} was not made")
            about = json.loads((file.parent / "about.json").read_text())
            onnx.save(onnxslim.slim(str(file)), folder.path(name))
            folder.about(name, f"onnxslim {onnxslim.__version__}", about["input"], about["output"], note=f"of {short}")

        folder.make(name, run)


MAKERS = [quantisers, optimiser]
