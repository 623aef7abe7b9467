"""PaddlePaddle's vision models by paddle2onnx."""

import pathlib
import tempfile

import numpy as np
import paddle
import paddle2onnx

from common import IMAGENET, batch, input_spec, output_spec, spread


def settle(network, pixels):
    """Statistics of real photos, and scores that differ by photo."""
    for module in network.sublayers():
        if isinstance(module, (paddle.nn.BatchNorm2D, paddle.nn.BatchNorm)):
            module._momentum = 0.0
        if isinstance(module, paddle.nn.Dropout):
            module.p = 0.0
    network.train()
    with paddle.no_grad():
        network(pixels)
        network.eval()
        last = [m for m in network.sublayers() if isinstance(m, (paddle.nn.Linear, paddle.nn.Conv2D))][-1]
        kept = []
        hook = last.register_forward_post_hook(lambda _m, _i, out: kept.append(out.numpy()))
        network(pixels)
        hook.remove()
        scores = kept[0].reshape(len(pixels), kept[0].shape[1], -1).mean(2)
        factor, mean = spread(scores)
        last.weight.set_value(last.weight * factor)
        old = last.bias.numpy()
        last.bias.set_value(np.asarray((old - mean) * factor + (0 if isinstance(last, paddle.nn.Linear) else 6), np.float32))


def models(folder):
    """Random weights, static graph by paddle.jit.save, opset 7 to 17; one with a Softmax."""
    m = paddle.vision.models
    builders = {
        "resnet18": (m.resnet18, 11), "mobilenet_v1": (m.mobilenet_v1, 9), "mobilenet_v2": (m.mobilenet_v2, 13), "mobilenet_v3_small": (m.mobilenet_v3_small, 11),
        "shufflenet_v2": (m.shufflenet_v2_x1_0, 15), "squeezenet1_1": (m.squeezenet1_1, 11), "densenet121": (m.densenet121, 11), "shufflenet_v2_swish": (m.shufflenet_v2_swish, 17),
        "mobilenet_v3_large_softmax": (lambda: paddle.nn.Sequential(m.mobilenet_v3_large(num_classes=102), paddle.nn.Softmax()), 11),
    }
    for at, (short, (build, opset)) in enumerate(builders.items()):
        name = f"paddle-{short}"

        def run():
            spec = input_spec("NCHW", 224, rule=IMAGENET)
            paddle.seed(1)
            network = build()
            settle(network, paddle.to_tensor(batch(folder.photos, spec)))
            network.eval()
            shape = [None if at % 2 else 1, 3, 224, 224]
            with tempfile.TemporaryDirectory() as temporary:
                prefix = str(pathlib.Path(temporary) / "model")
                paddle.jit.save(network, prefix, input_spec=[paddle.static.InputSpec(shape, "float32", "x")])
                graph = next(p for p in (prefix + ".json", prefix + ".pdmodel") if pathlib.Path(p).exists())
                paddle2onnx.export(graph, prefix + ".pdiparams", str(folder.path(name)), opset_version=opset)
            if not folder.path(name).exists():
                raise RuntimeError("paddle2onnx wrote no file")
            soft = "softmax" in short
            folder.about(name, f"PaddlePaddle {paddle.__version__}, paddle2onnx {paddle2onnx.__version__}", spec, output_spec("probabilities" if soft else "logits", 102 if soft else 1000))

        folder.make(name, run)


MAKERS = [models]
