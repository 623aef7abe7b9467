#!/usr/bin/env python3
"""Runs Eyelet over the folder of make.py and stored.py, and prints a table in Markdown.

`eyelet explain` shows what is held to be true of a file that has no description beside it. Each such line is compared with what the
network's maker said (about.json): it must be right, or be marked as assumed. Then `eyelet model verify` compares scores on the
stored tensors, with a description beside the file where an assumption is wrong for it, as its user would write one.

Exit code 1 when a classifier is refused or has other scores, a network that is none runs, or a wrong fact is not marked as assumed.
"""

import argparse
import json
import math
import pathlib
import re
import subprocess
import sys

FACT = re.compile(r"^\s*([a-z_]+(?:\.[a-z_]+)?)\s+=\s+(.*?)\s{2,}(assumed: .*|the ONNX file says so: .*|.* says so)$")
COMPARED = re.compile(r"test_data_set_\d+: largest difference (\S+) \((\S+) allowed.*?\), (top class equal)?")
TIME_LIMIT_S = 300
# ONNX Runtime's own spread is measured by two samples a photo: others may come out somewhat wider.
OWN_SPREAD_FACTOR = 1.5


def run(program, *args):
    try:
        return subprocess.run([program, *map(str, args)], capture_output=True, text=True, timeout=TIME_LIMIT_S)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(args, 124, "", f"no end within {TIME_LIMIT_S} s")


def facts_of(text):
    """The lines of `eyelet explain` that say what is held to be true: key to (value, who says it)."""
    facts = {}
    for line in text.splitlines():
        found = FACT.match(line)
        if found:
            facts[found[1]] = (found[2].strip(), found[3])
    return facts


def number(text):
    try:
        return json.loads(text)
    except ValueError:
        return text


def same(a, b):
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (int, float)) and isinstance(b, (int, float)):
        return math.isclose(a, b, rel_tol=1e-4, abs_tol=1e-6)
    return a == b


def truth(about):
    """What the maker says, in the keys of a model.toml."""
    spec = {"channels": "rgb", "dtype": "f32", **about["input"]}
    if spec["dtype"] == "u8":
        spec = {k: v for k, v in spec.items() if k not in ("scale", "mean", "std")}
    return {**{f"input.{k}": v for k, v in spec.items()}, **{f"output.{k}": v for k, v in about["output"].items()}}


def input_rule(values):
    """Factor and offset of each colour, however scale, mean and std say it."""
    scale, mean, std = values
    return [[scale / s for s in std], [-m / s for m, s in zip(mean, std)]]


def compare_facts(facts, wanted):
    """Keys that are assumed, keys that are assumed wrongly, and keys that are wrong and not marked."""
    assumed = [key for key, (_, who) in facts.items() if who.startswith("assumed")]
    wrong = []
    pixel_keys = ("input.scale", "input.mean", "input.std")
    if all(k in facts for k in pixel_keys) and all(k in wanted for k in pixel_keys):
        here, there = (input_rule([number(facts[k][0]) for k in pixel_keys]), input_rule([wanted[k] for k in pixel_keys]))
        if not all(map(same, here, there)):
            wrong.append("input.mean")
    for key, (value, _) in facts.items():
        if key in wanted and key not in pixel_keys and not same(number(value), wanted[key]):
            wrong.append(key)
    unmarked = [key for key in wrong if not facts[key][1].startswith("assumed")]
    return assumed, [k for k in wrong if k not in unmarked], unmarked


def toml_of(about, file):
    """The description that a user of this network would write."""
    taken, gives = about["input"], about["output"]
    lines = ["description = \"a network of make.py\"", f"file = {json.dumps(file.name)}", "", "[input]"]
    for key in ("layout", "dtype", "width_px", "height_px", "channels", "scale", "mean", "std"):
        if key in taken and not (taken.get("dtype") == "u8" and key in ("scale", "mean", "std")):
            lines.append(f"{key} = {json.dumps(taken[key])}")
    lines += ["", "[output]"] + [f"{key} = {json.dumps(value)}" for key, value in gives.items()]
    return "\n".join(lines) + "\n"


def plan_of(text):
    for line in text.splitlines():
        if "nothing left to tract" in line:
            return "fast"
        found = re.match(r"([\d.]+) of ([\d.]+) million multiply-adds in (\d+) island", line)
        if found:
            nodes = re.search(r"(\d+) nodes? left to tract", line)
            return f"{100 * float(found[1]) / max(float(found[2]), 1e-9):.0f}% fast, {nodes[1] if nodes else '?'} nodes by tract"
        if line.startswith("the whole network runs in tract"):
            return "all by tract: " + line.split(": ", 1)[-1]
    return "?"


def graph_of(file):
    """Opset, and the input's shape and type, by onnx if it is installed."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    opset = max((o.version for o in model.opset_import if o.domain in ("", "ai.onnx")), default=0)
    weights = {w.name for w in model.graph.initializer}
    taken = next(i for i in model.graph.input if i.name not in weights)
    sizes = "x".join(str(d.dim_value) if d.dim_value > 0 else "?" for d in taken.type.tensor_type.shape.dim)
    kind = onnx.TensorProto.DataType.Name(taken.type.tensor_type.elem_type).lower()
    return opset, f"{sizes} {kind}"


def one(program, folder):
    """A row of the table, and what is a finding."""
    about = json.loads((folder / "about.json").read_text())
    file = folder / f"{folder.name}.onnx"
    toml = file.with_suffix(".toml")
    toml.unlink(missing_ok=True)
    opset, taken = graph_of(file)
    explained = run(program, "explain", file)
    # Messages name the file as it was given: the table does without this machine's folder.
    complaint = (explained.stderr.replace(f"{folder}/", "").strip().splitlines() or ["?"])[-1]
    row = {"name": folder.name, "maker": about["maker"] + (f" ({about['note']})" if about["note"] else ""), "opset": opset, "input": taken, "assumed": "", "plan": ""}
    findings = []
    expected = about["expect"]
    if expected != "runs":
        row["outcome"] = f"refused rightly ({expected}): {complaint}" if explained.returncode == 4 else f"**RUNS** although {expected}"
        if explained.returncode != 4:
            findings.append(f"{expected}, exit {explained.returncode}")
        return row, findings
    if explained.returncode:
        row["outcome"] = f"**refused**, exit {explained.returncode}: {complaint}"
        return row, [f"refused: {complaint}"]
    facts = facts_of(explained.stdout)
    assumed, wrongly, unmarked = compare_facts(facts, truth(about))
    row["plan"] = plan_of(explained.stdout)
    row["assumed"] = "yes: " + ", ".join(k.split(".")[-1] for k in assumed) if assumed else "nothing"
    if wrongly:
        row["assumed"] += "; wrong for it, and told: " + ", ".join(k.split(".")[-1] for k in wrongly)
    if unmarked:
        row["assumed"] += "; **wrong and not marked**: " + ", ".join(f"{k} = {facts[k][0]} ({facts[k][1]})" for k in unmarked)
        findings.append("wrong fact not marked: " + ", ".join(unmarked))
    if wrongly or unmarked:
        toml.write_text(toml_of(about, file))
    verified = run(program, "model", "verify", file)
    text = verified.stdout + verified.stderr
    (folder / "verified.txt").write_text(text)
    stored = about["scores"]
    differences, same_best, sets, swapped = [], 0, 0, 0
    for line in text.splitlines():
        found = COMPARED.match(line)
        if found:
            sets += 1
            differences.append(float(found[1]))
            passes = float(found[2])
            same_best += found[3] is not None
            # Two classes whose scores are nearer than ONNX Runtime's own come apart are one as much as the other.
            apart = OWN_SPREAD_FACTOR * max(stored["moved_by_grey_level"], stored["moved_by_optimising"])
            swapped += found[3] is None and stored["margins"][sets - 1] > apart
    if sets:
        row["outcome"] = f"runs: same top-1 {same_best}/{sets}, largest difference {max(differences):.2g} ({passes:.2g} passes)"
        apart = OWN_SPREAD_FACTOR * max(stored["moved_by_grey_level"], stored["moved_by_optimising"])
        if verified.returncode == 10:
            row["outcome"] += f"; `verify` says exit 10; in ONNX Runtime itself scores move by {stored['moved_by_optimising']:.2g} (optimising), {stored['moved_by_grey_level']:.2g} (a grey level)"
        if verified.returncode == 10 and (swapped or max(differences) > apart):
            row["outcome"] += ", **differs**"
            findings.append(row["outcome"])
    else:
        row["outcome"] = f"exit {verified.returncode}: {text.strip().splitlines()[-1] if text.strip() else '?'}"
        findings.append(row["outcome"])
    if about.get("best_classes") and len(set(about["best_classes"])) < 2:
        row["outcome"] += " (one class for all photos)"
    return row, findings


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--eyelet", default="eyelet")
    parser.add_argument("--only", nargs="+", help="words in the names of models")
    args = parser.parse_args()
    folders = [a.parent for a in sorted(args.folder.glob("*/about.json")) if not args.only or any(w in a.parent.name for w in args.only)]
    rows = [one(args.eyelet, folder) for folder in folders]
    print("| model | maker | opset | input | outcome | assumed | plan |\n|---|---|---|---|---|---|---|")
    for row, _ in rows:
        cells = [row[k] for k in ("name", "maker", "opset", "input", "outcome", "assumed", "plan")]
        print("| " + " | ".join(str(c).replace("|", "\\|") for c in cells) + " |")
    bad = [(row["name"], f) for row, findings in rows for f in findings]
    for name, finding in bad:
        print(f"finding: {name}: {finding}", file=sys.stderr)
    print(f"{len(rows)} models, {len(bad)} findings", file=sys.stderr)
    return bool(bad)


if __name__ == "__main__":
    sys.exit(main())
