"""Quantisers of others: OpenVINO's NNCF over ONNX files, Brevitas and PyTorch's own over networks."""

import json

import numpy as np
import torch

from common import IMAGENET, Skipped, batch, crop, encode, input_spec, output_spec
from maker_torch import Scores, settle


def nncf(folder):
    """NNCF's quantize: QDQ, per channel, uint8 or int8 by layer."""
    import nncf as library
    import onnx

    for short, preset in (("real-mobilenetv2-1.0", "MIXED"), ("ts-resnet18", "PERFORMANCE"), ("ts-mobilenet_v3_small", "MIXED"), ("ts-shufflenet_v2", "MIXED")):
        name = f"nncf-{short}"

        def run():
            file = folder.root / short / f"{short}.onnx"
            prepared = folder.root / short / "prepared.onnx"
            if not file.exists():
                raise Skipped(f"{short} was not made")
            about = json.loads((file.parent / "about.json").read_text())
            model = onnx.load(prepared if prepared.exists() else file)
            taken, spec = model.graph.input[0].name, about["input"]
            data = [{taken: encode(crop(p, spec["width_px"], spec["height_px"]), spec)} for p in folder.photos]
            made = library.quantize(model, library.Dataset(data), preset=getattr(library.QuantizationPreset, preset), subset_size=len(data))
            onnx.save(made, folder.path(name))
            folder.about(name, f"NNCF {library.__version__} (OpenVINO)", spec, about["output"], note=f"{preset} of {short}")

        folder.make(name, run)


def brevitas(folder):
    """Brevitas: a small network of quantised layers, exported as QCDQ."""
    from importlib.metadata import version
    import brevitas.nn as qnn
    from brevitas.export import export_onnx_qcdq
    from brevitas.quant import Int8ActPerTensorFloat, Uint8ActPerTensorFloat

    def network():
        parts, channels = [qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True)], 3
        for width, stride in ((16, 2), (32, 2), (64, 2), (64, 1)):
            parts += [qnn.QuantConv2d(channels, width, 3, stride=stride, padding=1, bias=False), torch.nn.BatchNorm2d(width), qnn.QuantReLU(act_quant=Uint8ActPerTensorFloat, return_quant_tensor=False)]
            channels = width
        parts += [torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), qnn.QuantIdentity(act_quant=Int8ActPerTensorFloat, return_quant_tensor=True), qnn.QuantLinear(channels, 10, bias=True)]
        return torch.nn.Sequential(*parts)

    name = "brevitas-qcdq"

    def run():
        spec = input_spec("NCHW", 96, rule=IMAGENET)
        pixels = torch.from_numpy(batch(folder.photos, spec))
        torch.manual_seed(1)
        made = settle(network(), pixels)
        with torch.no_grad():
            export_onnx_qcdq(made, args=pixels[:1], export_path=str(folder.path(name)), opset_version=17, dynamo=False)
        folder.about(name, f"Brevitas {version('brevitas')} QCDQ", spec, output_spec("logits", 10))

    folder.make(name, run)


def torch_quantised(folder):
    """PyTorch's FX quantisation through the TorchScript exporter, which writes QDQ."""
    from torch.ao.quantization import get_default_qconfig_mapping, quantize_fx
    from torchvision import models

    for short, build in (("resnet18", models.resnet18), ("mobilenet_v2", models.mobilenet_v2)):
        name = f"ts-fx-int8-{short}"

        def run():
            spec = input_spec("NCHW", 224, rule=IMAGENET)
            pixels = torch.from_numpy(batch(folder.photos, spec))
            torch.manual_seed(1)
            network = settle(build(weights=None), pixels)
            prepared = quantize_fx.prepare_fx(network, get_default_qconfig_mapping("qnnpack"), (pixels[:1],))
            prepared(pixels)
            quantised = quantize_fx.convert_fx(prepared)
            torch.onnx.export(quantised, (pixels[:1],), str(folder.path(name)), opset_version=17, dynamo=False, input_names=["input"], output_names=["output"])
            folder.about(name, f"torch.onnx.export {torch.__version__.split('+')[0]} TorchScript, torch.ao FX int8", spec, output_spec("logits", 1000))

        folder.make(name, run)


MAKERS = [nncf, brevitas, torch_quantised]
