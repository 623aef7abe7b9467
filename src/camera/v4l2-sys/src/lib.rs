//! The kernel's V4L2 interface (`<linux/videodev2.h>`) under the names that bindgen gives it and the crate `v4l` expects.
//!
//! `bindings.rs` is made by `generate.sh` and checked in, so that a build needs no libclang and no kernel headers. It holds the
//! structures, unions and constants alone: facts of the kernel's interface to user space, no comments, no functions.
//!
//! One file serves 64-bit and 32-bit targets. `timeval` is made of two C longs, so on a 32-bit target `v4l2_buffer` is 68 bytes
//! long and carries 32-bit times; the kernel tells that from the ioctl number and answers in kind whenever it is built with
//! COMPAT_32BIT_TIME, which distribution kernels for 32-bit ARM are. This does not depend on what `time_t` the C library has.
//! Capture times count from boot, so they do not run over in 2038. `tests/v4l2_abi.rs` of the project holds sizes, field offsets
//! and ioctl numbers against the kernel's for both widths.

#![allow(clippy::all, missing_docs, non_camel_case_types, non_snake_case, non_upper_case_globals)]

include!("bindings.rs");
