#!/bin/sh
# Regenerates src/bindings.rs from the kernel's own header, for a 64-bit and a 32-bit ARM target, and compares the two: they are
# the same text, because every type whose size differs is spelt with c_long, c_ulong or a pointer. So one file is checked in.
#
# Needs, on Debian 12:
#   apt-get install libclang1-14 libclang-common-14-dev linux-libc-dev-arm64-cross libc6-dev-arm64-cross \
#       linux-libc-dev-armhf-cross libc6-dev-armhf-cross
#   cargo install bindgen-cli --version 0.73.2 --locked
set -eu
cd "$(dirname "$0")"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# The structures behind each VIDIOC_* number that the crate v4l names, and the constants that v4l and we read.
types='v4l2_(audio|audioout|buffer|capability|control|crop|cropcap|edid|enc_idx|encoder_cmd|exportbuffer|ext_controls?'
types="$types"'|fmtdesc|format|framebuffer|frequency|frmivalenum|frmsizeenum|input|jpegcompression|modulator|output'
types="$types"'|query_ext_ctrl|querymenu|queryctrl|requestbuffers|sliced_vbi_cap|standard|streamparm|tuner|buf_type|frmsizetypes'
types="$types"'|frmivaltypes)|v4l2_std_id|timeval|time_t'
constants='V4L2_(CAP|BUF_FLAG|PIX_FMT|FMT_FLAG|CTRL_FLAG)_.*'
# Tables of stateless codecs: only pointers to them occur, which become pointers to void.
codecs='v4l2_(ctrl_(h264|fwht|vp8|vp9|mpeg2|hevc)|h264|vp8|vp9|hevc)_.*'

generate() { # TARGET HEADERS
    echo '#include <linux/videodev2.h>' >"$work/$1.h"
    bindgen "$work/$1.h" --output "$work/$1.rs" --allowlist-type "$types" --allowlist-var "$constants" \
        --blocklist-type "$codecs" \
        --no-doc-comments --no-layout-tests --disable-header-comment --rust-target 1.85 --rust-edition 2024 \
        -- --target="$1" -nostdlibinc -isystem "/usr/$2/include"
}
generate aarch64-unknown-linux-gnu aarch64-linux-gnu
generate armv7-unknown-linux-gnueabihf arm-linux-gnueabihf
cmp "$work/aarch64-unknown-linux-gnu.rs" "$work/armv7-unknown-linux-gnueabihf.rs"

{
    echo '// Made by generate.sh from <linux/videodev2.h>. Do not edit.'
    sed 's/\*mut v4l2_ctrl_[a-z0-9_]*/*mut ::std::os::raw::c_void/' "$work/aarch64-unknown-linux-gnu.rs"
} >src/bindings.rs
rustfmt --edition 2024 src/bindings.rs
