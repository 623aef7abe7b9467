"""MXNet's own exporter over Gluon's model zoo, with the names and forms of the ONNX model zoo's files."""

import pathlib
import tempfile

import mxnet as mx
import numpy as np

from common import IMAGENET, batch, input_spec, output_spec, spread


def settle(network, pixels):
    """Statistics of real photos, and scores that differ by photo."""
    for block in walk(network):
        if isinstance(block, mx.gluon.nn.BatchNorm):
            block._kwargs["momentum"] = 0.0
    with mx.autograd.train_mode():
        network(pixels).wait_to_read()
    last = [b for b in walk(network) if isinstance(b, (mx.gluon.nn.Dense, mx.gluon.nn.Conv2D))][-1]
    kept = []
    handle = last.register_forward_hook(lambda _b, _i, out: kept.append(out.asnumpy()))
    network(pixels).wait_to_read()
    handle.detach()
    scores = kept[0].reshape(len(pixels), kept[0].shape[1], -1).mean(2)
    factor, mean = spread(scores)
    last.weight.set_data(last.weight.data() * factor)
    if last.bias is not None:
        above = 0 if isinstance(last, mx.gluon.nn.Dense) else 6
        last.bias.set_data(mx.nd.array((last.bias.data().asnumpy() - mean) * factor + above))


def walk(block):
    """A block and all inside of it, in order."""
    yield block
    for child in block._children.values():
        yield from walk(child)


def gluon(folder):
    """Random weights, exported as symbol and params, then by mx.onnx."""
    from mxnet.gluon.model_zoo import vision

    for short in ("mobilenet0_5", "mobilenet_v2_0_5", "resnet18_v1", "resnet18_v2", "squeezenet1_1", "densenet121"):
        name = f"mxnet-{short}"

        def run():
            spec = input_spec("NCHW", 224, rule=IMAGENET)
            mx.random.seed(1)
            np.random.seed(1)
            network = getattr(vision, short)(pretrained=False)
            network.initialize(mx.init.Xavier(magnitude=2.24))
            pixels = mx.nd.array(batch(folder.photos, spec))
            network(pixels)
            settle(network, pixels)
            network.hybridize()
            network(pixels[:1])
            with tempfile.TemporaryDirectory() as temporary:
                prefix = str(pathlib.Path(temporary) / "model")
                network.export(prefix)
                mx.onnx.export_model(prefix + "-symbol.json", prefix + "-0000.params", [(1, 3, 224, 224)], np.float32, str(folder.path(name)))
            folder.about(name, f"MXNet {mx.__version__} mx.onnx, Gluon's model zoo", spec, output_spec("logits", 1000))

        folder.make(name, run)


MAKERS = [gluon]
