#!/bin/sh
# The first hour of a new user, on a clean Debian, as the README tells it: from the package to the own model on a stream of
# pictures, and a look at the display. `tests/deb` runs it in a container; by hand: `sh first-hour.sh FOLDER`, as root.
#
# FOLDER has eyelet.deb, photos/ (JPEG), mine.onnx (an own network of ten classes) and mine.txt (its labels).
set -eu
given=$1
work=$(mktemp -d)
cd "$work"

step() {
    echo "== $*"
}

# FILE WORDS: the words must be in the file.
says() {
    grep -q -- "$2" "$1" || {
        echo "FAILED: $1 does not say '$2':"
        cat "$1"
        exit 1
    }
}

step install the package
dpkg --install "$given/eyelet.deb"
eyelet --version

step what is there
eyelet list models > models.txt
cat models.txt
says models.txt /usr/share/eyelet/models/efficientnet-lite0

step the first run: photos for a camera, PNG files for a display
eyelet > run.txt
says run.txt 'Egyptian cat'
ls eyelet-display

step an own network with own labels
eyelet model describe "$given/mine.onnx" --labels "$given/mine.txt" > mine.toml
says mine.toml 'assumed'
eyelet model import "$given/mine.onnx" --labels "$given/mine.txt" --name mine
eyelet check --board host --model mine > check.txt 2>&1
says check.txt 'all is well'
eyelet classify --model mine "$given/photos" --csv > classes.csv
cat classes.csv
for photo in "$given"/photos/*.jpg; do
    says classes.csv "$(basename "$photo")"
done
says classes.csv 'Raum'

step a folder of photos, with the shipped network
eyelet classify --top 1 "$given/photos" > folder.txt
cat folder.txt
says folder.txt 'Egyptian cat'
says folder.txt 'espresso'

step a stream through a pipe, shown on a display
cat > desk.toml <<END
description = "my desk: a stream for a camera, PNG files for a display"
tier = "untested"
model = "efficientnet-lite0"
threads = 1
[camera.pipe]
[decide]
frames_in_a_row = 2
hold_ms = 0
[display.png]
folder = "shown"
width_px = 320
height_px = 240
END
eyelet check --board-file desk.toml > desk.txt
says desk.txt 'all is well'
# What `rpicam-vid --codec mjpeg --output -` sends: one JPEG after another.
stream() {
    for photo in cat espresso cat; do
        for _ in 1 2 3 4 5 6 7 8; do
            cat "$given/photos/$photo.jpg"
            sleep 0.25
        done
    done
}
stream | eyelet run --board-file desk.toml > stream.txt
cat stream.txt
says stream.txt 'Egyptian cat'
says stream.txt 'espresso'

step what was shown last is here
last=$(ls "$work"/shown/*.png | tail -n 1)
echo "PNG $last"
