#!/usr/bin/env python3
"""ONNX Runtime's scores for photos, stored beside each model as test_data_set_N, as the published models have them.

ONNX Runtime runs with all graph optimisations off, so that its scores are those of the operators' own definitions.
Runtimes round an 8-bit network's layers apart, and a network passes that on to its scores. How much is measured too, in ONNX Runtime
alone: by how much scores move between its levels of optimisation, and when one value in fifty changes by one grey level.

A model whose photos all have the same best class is told: agreeing on it would say little.
"""

import json

import numpy as np
import onnx
import onnxruntime
from onnx import numpy_helper

from common import command_line, crop, encode, photos

FLOATS = {"tensor(float)": np.float32, "tensor(float16)": np.float16}


def score_output(session, count):
    """Which output has as many values as there are scores."""
    for at, output in enumerate(session.get_outputs()):
        if output.type in FLOATS or output.type in ("tensor(uint8)", "tensor(int8)"):
            if not output.shape or not isinstance(output.shape[-1], int) or output.shape[-1] in (count, 1) or len(output.shape) == 4:
                return at
    return 0


def real(scores, file):
    """Scores as real numbers, where the network's last operator makes them integers: Eyelet gives what they stand for."""
    if scores.dtype not in (np.uint8, np.int8):
        return scores
    graph = onnx.load(file).graph
    last = next(n for n in graph.node if n.output[0] == graph.output[0].name)
    if last.op_type != "QuantizeLinear":
        return scores
    values = {w.name: numpy_helper.to_array(w) for w in graph.initializer}
    scale, zero = values[last.input[1]], values[last.input[2]]
    return ((scores.astype(np.float32) - zero.astype(np.float32)) * scale).astype(np.float32)


def moved(session, others, taken, value, scores, at, spec, file):
    """The largest change of a score in ONNX Runtime itself."""
    random = np.random.default_rng(1)
    step = 1 if value.dtype == np.uint8 else spec["scale"] / float(np.mean(spec["std"]))
    noise = (random.random(value.shape) < 0.02) * random.choice([-1, 1], value.shape)
    changed = (value + noise * step).clip(0, 255).astype(value.dtype) if value.dtype == np.uint8 else (value + noise * step).astype(value.dtype)
    results = [session.run(None, {taken.name: changed})[at]] + [other.run(None, {taken.name: value})[at] for other in others]
    return [float(np.abs(real(r, file).astype(np.float32) - scores.astype(np.float32)).max()) for r in results]


def store(folder, paths):
    about = json.loads((folder / "about.json").read_text())
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    file = str(folder / f"{folder.name}.onnx")
    session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
    taken, spec = session.get_inputs()[0], about["input"]
    at = score_output(session, about["output"]["class_count"] + about["output"]["label_offset"])
    best, by_grey_level, by_level, margins = [], 0.0, 0.0, []
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    others = [onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])]
    for number, path in enumerate(paths):
        value = encode(crop(path, spec["width_px"], spec["height_px"]), spec)
        value = value.astype(FLOATS.get(taken.type, value.dtype))
        scores = real(session.run(None, {taken.name: value})[at], file)
        best.append(int(scores.argmax()) if scores.size > 1 else int(scores.reshape(()) > 0.5))
        noise, level = moved(session, others, taken, value, scores, at, spec, file)
        by_grey_level, by_level = max(by_grey_level, noise), max(by_level, level)
        ranked = np.sort(scores.astype(np.float32).ravel())
        margins.append(float(ranked[-1] - ranked[-2]) if ranked.size > 1 else float(abs(2 * ranked[0] - 1)))
        data_set = folder / f"test_data_set_{number}"
        data_set.mkdir(exist_ok=True)
        for stored_name, tensor in (("input_0.pb", value), (f"output_{at}.pb", scores)):
            (data_set / stored_name).write_bytes(numpy_helper.from_array(tensor).SerializeToString())
    about["best_classes"] = best
    about["scores"] = {"runtime": f"ONNX Runtime {onnxruntime.__version__}, no graph optimisation", "moved_by_grey_level": by_grey_level, "moved_by_optimising": by_level, "margins": margins}
    (folder / "about.json").write_text(json.dumps(about, indent=1) + "\n")
    if len(set(best)) < 2:
        print(f"{folder.name}: all photos are class {best[0]}")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--again", action="store_true", help="also where scores are stored")
    args = parser.parse_args()
    paths = photos(args.photos)
    for about in sorted(args.folder.glob("*/about.json")):
        text = json.loads(about.read_text())
        if text["expect"] != "runs" or ("best_classes" in text and not args.again):
            continue
        try:
            store(about.parent, paths)
        except OSError:
            raise
        except Exception as error:
            # Such a file is to be refused.
            text["expect"] = f"no runtime's: ONNX Runtime says {type(error).__name__}"
            about.write_text(json.dumps(text, indent=1) + "\n")
            print(f"{about.parent.name}: no scores stored: {type(error).__name__}: {str(error)[:300]}")


if __name__ == "__main__":
    main()
