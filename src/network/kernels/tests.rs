//! Every kernel of this CPU against the reference, over random shapes.
#![allow(clippy::unwrap_used)]

use super::panels::Packed;
use super::*;
use crate::basics::say_skipped;
use crate::network::graph::requantise::Requantise;
use crate::network::graph::{FREE, Quant, Tables};
use fastrand::Rng;

/// Memory that ends at the end of its page, followed by a guard page: an access past the end faults.
struct Guarded<T> {
    map: *mut libc::c_void,
    bytes: usize,
    start: *mut T,
    len: usize,
}

const PAGE: usize = 65536;

impl<T: Copy> Guarded<T> {
    fn new(len: usize, mut value: impl FnMut(usize) -> T) -> Self {
        let wanted = len * size_of::<T>();
        let usable = wanted.next_multiple_of(PAGE);
        let bytes = usable + PAGE;
        let (access, flags) = (
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
        );
        // SAFETY: a new mapping.
        let map = unsafe { libc::mmap(std::ptr::null_mut(), bytes, access, flags, -1, 0) };
        assert_ne!(map, libc::MAP_FAILED);
        // SAFETY: the last page of the mapping; the values end where it begins, aligned because pages are.
        let start = unsafe {
            assert_eq!(
                libc::mprotect(map.byte_add(usable), PAGE, libc::PROT_NONE),
                0
            );
            map.byte_add(usable - wanted).cast::<T>()
        };
        for i in 0..len {
            // SAFETY: within the mapping.
            unsafe { start.add(i).write(value(i)) };
        }
        Self {
            map,
            bytes,
            start,
            len,
        }
    }
}

impl<T> std::ops::Deref for Guarded<T> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        // SAFETY: `new` wrote them.
        unsafe { std::slice::from_raw_parts(self.start, self.len) }
    }
}

impl<T> std::ops::DerefMut for Guarded<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: `new` wrote them, and the borrow is exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.start, self.len) }
    }
}

impl<T> Drop for Guarded<T> {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nothing refers to it any more.
        unsafe { libc::munmap(self.map, self.bytes) };
    }
}

/// Memory followed by slack and then a guard page, holding random bytes, or only those whose products are the largest.
fn memory(random: &mut Rng, len: usize) -> Guarded<u8> {
    let extreme = random.u8(..4) == 0;
    let byte = |_| {
        if extreme {
            [0, 0x7f, 0x80, 0xff][random.usize(..4)]
        } else {
            random.u8(..)
        }
    };
    Guarded::new(len + SLACK, byte)
}

fn floats(random: &mut Rng, len: usize) -> Guarded<f32> {
    Guarded::new(len + SLACK / 4, |_| random.f32() * 2.0 - 1.0)
}

fn partner(kernels: &dyn Kernels) -> &'static dyn Kernels {
    if kernels.signed() {
        &plain::SIGNED
    } else {
        &plain::UNSIGNED
    }
}

fn end(random: &mut Rng, signed: bool) -> Requantise {
    let quant = Quant {
        scale: 0.05,
        zero: [0, 128, random.i32(0..256)][random.usize(..3)],
    };
    let clamp = [
        (f32::NEG_INFINITY, f32::INFINITY),
        (0.0, f32::INFINITY),
        (0.0, 6.0),
    ];
    Requantise::new(quant, clamp[random.usize(..3)], signed)
}

struct Case {
    w: Vec<i8>,
    bias: Vec<i32>,
    multiplier: Vec<f32>,
    zero: Vec<i32>,
}

fn case(random: &mut Rng, n: usize, per: usize) -> Case {
    // Usual weights, small ones, and only those whose products are the largest; or some of each.
    let kind = random.u8(..4);
    let mut weight = |i: usize| match (kind, i % per / 4 % 3) {
        (0, _) | (3, 0) => random.i8(-20..=20),
        (1, _) | (3, 1) => [-128, -127, 127][random.usize(..3)],
        _ => random.i8(-127..=127),
    };
    let mut w: Vec<i8> = (0..n * per).map(&mut weight).collect();
    let mut bias: Vec<i32> = (0..n).map(|_| random.i32(-20000..20000)).collect();
    // Sometimes channels that never change, and those whose sums are far from 0.
    let odd = random.u8(..3) == 0;
    for (bias, w) in bias.iter_mut().zip(w.chunks_exact_mut(per)) {
        match if odd { random.u8(..24) } else { 3 } {
            0 => w.fill(0),
            1 => *bias = random.i32(-300_000_000..300_000_000),
            2 => {
                w.fill(0);
                *bias = random.i32(-300_000_000..300_000_000);
            }
            _ => {}
        }
    }
    // Results must not saturate, or a difference would not show.
    let largest = [1e-1, 5e-3, 4e-2, 4e-2][usize::from(kind)];
    Case {
        w,
        bias,
        multiplier: {
            // Sometimes so large that everything saturates.
            let scale = if random.u8(..8) == 0 { 1e9 } else { largest };
            // Powers of two, so that many steps are halfway between whole numbers.
            let halves = random.u8(..4) == 0;
            (0..n)
                .map(|_| match random.f32() * scale / (per as f32).sqrt() {
                    m if halves => f32::from_bits(m.to_bits() & 0x7f80_0000),
                    m => m,
                })
                .collect()
        },
        // None, all of them, or only some channels have any.
        zero: {
            let every = [0, 1, 12][random.usize(..3)];
            let mut zero =
                |n: usize| (every > 0 && n.is_multiple_of(every)).then(|| random.i32(-128..128));
            (0..n).map(|n| zero(n).unwrap_or(0)).collect()
        },
    }
}

impl Case {
    fn raw(&self) -> RawQ8<'_> {
        RawQ8 {
            w: &self.w,
            w_zero: &self.zero,
            bias: &self.bias,
            multiplier: &self.multiplier,
        }
    }
}

fn runs(random: &mut Rng, size: usize, value: usize) -> (Runs, usize) {
    let len = if random.bool() {
        random.usize(1..70)
    } else {
        4 * random.usize(1..60)
    };
    let count = [1, 1, 2, 3, 9][random.usize(..5)];
    let pitch = len + random.usize(..9);
    let n = if random.bool() {
        8 * random.usize(1..20)
    } else {
        random.usize(1..size)
    };
    let offsets = (0..count).map(|r| r * pitch * 13 * value).collect();
    (Runs { offsets, len, n }, pitch)
}

/// Scratch memory followed by bytes that must not change.
struct Scratch {
    memory: Guarded<u8>,
    bytes: usize,
}

impl Scratch {
    fn new(bytes: usize) -> Self {
        let memory = Guarded::new(bytes.next_multiple_of(64), |_| 0x5a);
        Self { memory, bytes }
    }
    fn start(&mut self) -> *mut u8 {
        self.memory.as_mut_ptr()
    }
    fn check(self) {
        let behind = &self.memory[self.bytes..];
        assert!(
            behind.iter().all(|&b| b == 0x5a),
            "written behind the scratch memory"
        );
    }
}

#[test]
fn convolutions_of_bytes_are_bit_identical() {
    let mut random = Rng::with_seed(11);
    for round in 0..150 {
        let (shape, pitch) = runs(&mut random, 150, 1);
        let pixels = random.usize(1..40);
        let x_pitch = random.usize(1..=pitch);
        let len = shape.offsets.last().unwrap() + (pixels - 1) * x_pitch + shape.len;
        let x = memory(&mut random, len);
        let case = case(&mut random, shape.n, shape.offsets.len() * shape.len);
        let y_pitch = shape.n + random.usize(..20);
        for kernels in available() {
            let mut random = Rng::with_seed(round);
            let end = end(&mut random, kernels.signed());
            let [got, want] = [kernels, partner(kernels)].map(|k| {
                let conv = ConvQ8::new(k, shape.clone(), &case.raw(), end);
                let bytes = (pixels - 1) * y_pitch + shape.n;
                let mut y = Guarded::new(bytes, |_| 0xa5u8);
                let job = Pixels {
                    x: x.as_ptr(),
                    x_pitch,
                    y: y.as_mut_ptr(),
                    y_pitch,
                    count: pixels,
                };
                let middle = kernels.channel_group(shape.n).min(shape.n);
                let mut scratch = Scratch::new(k.conv_q8_scratch_bytes(conv.runs()));
                // SAFETY: x and y are as long as the geometry says plus SLACK; the scratch is as long as requested.
                unsafe {
                    conv.run(k, &job, 0..0, scratch.start());
                    assert!((0..bytes).all(|i| *job.y.add(i) == 0xa5));
                    conv.run(k, &job, 0..middle, scratch.start());
                    if middle < shape.n {
                        conv.run(k, &job, middle..shape.n, scratch.start());
                    }
                }
                scratch.check();
                y.to_vec()
            });
            assert_eq!(got, want, "{}: {shape:?} x {pixels}", kernels.name());
        }
    }
}

fn row(random: &mut Rng) -> DepthwiseRow {
    let kw = [1, 3, 3, 3, 5, 7][random.usize(..6)];
    let kh = if random.bool() {
        kw
    } else {
        random.usize(1..8)
    };
    let stride = random.usize(1..4);
    let dilation = if random.u8(..4) == 0 { 2 } else { 1 };
    let w_in = random.usize(1..30);
    let left = random.usize(..=kw / 2);
    let span = (kw - 1) * dilation + 1;
    let right = random.usize(..=kw / 2) + span.saturating_sub(w_in + left);
    let c = if random.bool() {
        16 * random.usize(1..14)
    } else {
        random.usize(1..200)
    };
    DepthwiseRow {
        c,
        kh,
        kw,
        stride,
        dilation,
        left,
        w_in,
        w_out: (w_in + left + right - span) / stride + 1,
    }
}

#[test]
fn depthwise_convolutions_of_bytes_are_bit_identical() {
    let mut random = Rng::with_seed(12);
    for round in 0..600 {
        let d = row(&mut random);
        let x = memory(&mut random, d.kh * d.w_in * d.c);
        let case = case(&mut random, d.c, d.kh * d.kw);
        let pad = random.u8(..);
        for kernels in available() {
            let mut random = Rng::with_seed(round);
            let end = end(&mut random, kernels.signed());
            let [got, want] = [kernels, partner(kernels)].map(|k| {
                let conv = DepthwiseQ8::new(k, d, &case.raw(), pad, end);
                let rows: Vec<*const u8> =
                    (0..d.kh).map(|r| x[r * d.w_in * d.c..].as_ptr()).collect();
                let rows = rows.repeat(conv.row.kh / d.kh);
                let d = conv.row;
                let mut y = Guarded::new(d.w_out * d.c, |_| 0xa5u8);
                let middle = 64.min(d.c);
                let mut scratch = Scratch::new(k.depthwise_q8_scratch_bytes(&d));
                let (y_start, start) = (y.as_mut_ptr(), scratch.start());
                // SAFETY: rows and y are as long as the geometry says plus SLACK; the scratch is as long as requested.
                unsafe {
                    conv.run(k, &rows, y_start, 0..middle, start);
                    if middle < d.c {
                        conv.run(k, &rows, y_start, middle..d.c, start);
                    }
                }
                scratch.check();
                y.to_vec()
            });
            assert_eq!(got, want, "{}: {d:?}", kernels.name());
        }
    }
}

fn close(got: &[f32], want: &[f32], scale: f32, what: &str) {
    for (i, (g, w)) in got.iter().zip(want).enumerate() {
        assert!((g - w).abs() <= 2e-6 * scale, "{what}: {i}: {g} {w}");
    }
}

#[test]
fn float_convolutions_agree() {
    let mut random = Rng::with_seed(13);
    for _ in 0..150 {
        let (shape, pitch) = runs(&mut random, 150, 4);
        let most = [40, 40, 130][random.usize(..3)];
        let pixels = random.usize(1..most);
        let clamp = [FREE, (0.0, 6.0), (0.0, f32::INFINITY), (-0.5, 1.0)][random.usize(..4)];
        let x_pitch = random.usize(1..=pitch);
        let len = shape.offsets.last().unwrap() / 4 + (pixels - 1) * x_pitch + shape.len;
        let x = floats(&mut random, len);
        let per = shape.offsets.len() * shape.len;
        let w: Vec<f32> = (0..shape.n * per).map(|_| random.f32() - 0.5).collect();
        let bias: Vec<f32> = (0..shape.n).map(|_| random.f32() - 0.5).collect();
        let raw = RawF32 { w: &w, bias: &bias };
        let y_pitch = shape.n + random.usize(..20);
        let run = |k: &dyn Kernels| {
            let conv = ConvF32 {
                runs: shape.clone(),
                packed: Packed::Own(k.pack_conv_f32(&shape, &raw)),
                clamp,
            };
            let mut y = Guarded::new((pixels - 1) * y_pitch + shape.n, |_| 7.5f32);
            let job = Pixels {
                x: x.as_ptr().cast(),
                x_pitch: x_pitch * 4,
                y: y.as_mut_ptr().cast(),
                y_pitch: y_pitch * 4,
                count: pixels,
            };
            let middle = k.channel_group(shape.n).min(shape.n);
            // SAFETY: x and y are as long as the geometry says plus SLACK.
            unsafe {
                k.conv_f32(&conv, &job, 0..middle);
                k.conv_f32(&conv, &job, middle..shape.n);
            }
            y
        };
        let want = run(&plain::UNSIGNED);
        for kernels in available() {
            let what = format!("{}: {shape:?} x {pixels}, {clamp:?}", kernels.name());
            close(&run(kernels), &want, per as f32, &what);
        }
    }
}

#[test]
fn float_depthwise_convolutions_agree() {
    let mut random = Rng::with_seed(14);
    for _ in 0..200 {
        let d = row(&mut random);
        let x = floats(&mut random, d.kh * d.w_in * d.c);
        let per = d.kh * d.kw;
        let w: Vec<f32> = (0..d.c * per).map(|_| random.f32() - 0.5).collect();
        let bias: Vec<f32> = (0..d.c).map(|_| random.f32() - 0.5).collect();
        let run = |k: &dyn Kernels| {
            let conv = DepthwiseF32 {
                row: d,
                packed: k.pack_depthwise_f32(&d, &RawF32 { w: &w, bias: &bias }),
                clamp: (-0.5, 6.0),
            };
            let rows: Vec<*const u8> = (0..d.kh)
                .map(|r| x[r * d.w_in * d.c..].as_ptr().cast())
                .collect();
            let mut y = Guarded::new(d.w_out * d.c, |_| 7.5f32);
            let middle = 64.min(d.c);
            // SAFETY: rows and y are as long as the geometry says plus SLACK.
            unsafe {
                k.depthwise_f32(&conv, &rows, y.as_mut_ptr().cast(), 0..middle);
                k.depthwise_f32(&conv, &rows, y.as_mut_ptr().cast(), middle..d.c);
            }
            y
        };
        let want = run(&plain::UNSIGNED);
        for kernels in available() {
            let what = format!("{}: {d:?}", kernels.name());
            close(&run(kernels), &want, per as f32, &what);
        }
    }
}

#[test]
fn sums_and_averages_are_bit_identical() {
    let mut random = Rng::with_seed(15);
    let quant = |random: &mut Rng| Quant {
        scale: random.f32() * 0.3 + 0.01,
        zero: random.i32(0..256),
    };
    for _ in 0..100 {
        let len = random.usize(1..300);
        let (a, b) = (memory(&mut random, len), memory(&mut random, len));
        let q = [quant(&mut random), quant(&mut random), quant(&mut random)];
        let c = random.usize(1..150);
        let pixels = random.usize(1..60);
        let x = memory(&mut random, c * pixels);
        let m = random.f32() / pixels as f32;
        for kernels in available() {
            let none = (f32::NEG_INFINITY, f32::INFINITY);
            let add = BinaryQ8::sum(q[0], q[1], q[2], none, kernels.signed());
            let average = AverageQ8 {
                c,
                zero: 3,
                multiplier: m,
                end: Requantise::new(q[0], none, kernels.signed()),
            };
            let [got, want] = [kernels, partner(kernels)].map(|k| {
                let mut y = vec![0; len];
                k.add_q8(&add, &a[..len], &b[..len], &mut y);
                let mut mean = vec![0; c];
                k.average_q8(&average, &x[..c * pixels], &mut mean);
                (y, mean)
            });
            assert_eq!(got, want, "{}", kernels.name());
        }
    }
}

/// Tables as layers have them: lines with limits, curves, anything.
fn tables(random: &mut Rng, channels: Option<usize>) -> Tables {
    let kind = random.u8(..4);
    let (low, high) = (random.u8(..100), random.u8(150..));
    let lines: Vec<(f32, f32)> = (0..channels.unwrap_or(1))
        .map(|_| ((random.f32() - 0.4) * 4.0, random.f32() * 255.0))
        .collect();
    let mut any = [0u8; 256];
    random.fill(&mut any);
    Tables::new(channels, |c, q| {
        let (a, b) = lines[c];
        let line = a * (f32::from(q) - 128.0) + b;
        match kind {
            0 => any[usize::from(q)].wrapping_add(c as u8),
            1 => (line * line / 300.0) as u8,
            _ => (line.round_ties_even() as i32).clamp(low.into(), high.into()) as u8,
        }
    })
}

#[test]
fn functions_of_bytes_are_bit_identical() {
    let mut random = Rng::with_seed(8);
    for kernels in available() {
        let flip = kernels.flip();
        let mut kinds = [0; 2];
        for _ in 0..400 {
            let all = random.usize(1..200);
            let from = random.usize(..3);
            let c = all - all.min(from).min(all - 1);
            let by_channel = random.bool().then_some(all);
            let tables = tables(&mut random, by_channel);
            let map = Map::new(&tables, all - c..all, kernels.signed());
            assert_eq!(map.channels(), c);
            kinds[usize::from(map.looks_up())] += 1;
            let first = if random.bool() { 0 } else { random.usize(..c) };
            let part = first..if random.bool() {
                c
            } else {
                random.usize(first + 1..=c)
            };
            let pixels = random.usize(..40);
            let mut y = Guarded::new(pixels * part.len(), |_| random.u8(..));
            let want: Vec<u8> = (y.iter().enumerate())
                .map(|(i, &x)| {
                    let channel = all - c + first + i % part.len();
                    tables.of(channel)[usize::from(x ^ flip)] ^ flip
                })
                .collect();
            kernels.map_q8(&map, part, &mut y);
            assert!(y[..] == want[..], "{} {all} {c}", kernels.name());
        }
        assert!(kinds.iter().all(|&n| n > 50), "{kinds:?}");
    }
}

fn halves(random: &mut Rng, len: usize) -> Guarded<u16> {
    Guarded::new(len + SLACK / 2, |_| {
        half_values::of_f32(random.f32() * 2.0 - 1.0)
    })
}

/// Sums of products below 1/2. A partial sum of a few is rounded by up to 2^-9 for each product: of thousands of results the worst is
/// several deviations off.
fn half_close(got: &[u16], want: &[u16], products: usize, what: &str) {
    for (i, (&g, &w)) in got.iter().zip(want).enumerate() {
        let (g, w) = (half_values::to_f32(g), half_values::to_f32(w));
        let most = 2f32.powi(-10) * (2.0 + w.abs() + 4.0 * (products as f32).sqrt());
        assert!((g - w).abs() <= most, "{what}: {i}: {g} {w} {most}");
    }
}

/// The loops of every kernel set that has some of its own.
fn half_loops() -> Vec<&'static dyn Half> {
    let all = available().into_iter().filter_map(|k| k.half());
    let own: Vec<_> = all
        .filter(|half| half.name() != half::Reference.name())
        .collect();
    if own.is_empty() {
        say_skipped("this CPU does not compute in half precision");
    }
    own
}

#[test]
fn half_convolutions_agree() {
    let mut random = Rng::with_seed(16);
    let loops = half_loops();
    for _ in 0..150 {
        let (shape, pitch) = runs(&mut random, 150, 2);
        let pixels = random.usize(1..40);
        let x_pitch = random.usize(1..=pitch);
        let len = shape.offsets.last().unwrap() / 2 + (pixels - 1) * x_pitch + shape.len;
        let x = halves(&mut random, len);
        let per = shape.offsets.len() * shape.len;
        let w: Vec<f32> = (0..shape.n * per).map(|_| random.f32() - 0.5).collect();
        let bias: Vec<f32> = (0..shape.n).map(|_| random.f32() - 0.5).collect();
        let raw = RawF32 { w: &w, bias: &bias };
        let y_pitch = shape.n + random.usize(..20);
        let run = |k: &dyn Half| {
            let conv = ConvF16::new(k, shape.clone(), &raw, (-2.0, 6.0));
            let mut y = Guarded::new((pixels - 1) * y_pitch + shape.n, |_| 0x4780u16);
            let job = Pixels {
                x: x.as_ptr().cast(),
                x_pitch: x_pitch * 2,
                y: y.as_mut_ptr().cast(),
                y_pitch: y_pitch * 2,
                count: pixels,
            };
            let middle = k.channel_group(shape.n).min(shape.n);
            // SAFETY: x and y are as long as the geometry says plus SLACK.
            unsafe {
                k.conv(&conv, &job, 0..middle);
                k.conv(&conv, &job, middle..shape.n);
            }
            y
        };
        let want = run(&half::Reference);
        for half in &loops {
            let what = format!("{}: {shape:?} x {pixels}", half.name());
            half_close(&run(*half), &want, per, &what);
        }
    }
}

/// The loops that the others are compared with, against sums in double precision.
#[test]
fn half_convolutions_are_those_of_the_definition() {
    let mut random = Rng::with_seed(19);
    for _ in 0..50 {
        let (shape, pitch) = runs(&mut random, 40, 2);
        let pixels = random.usize(1..9);
        let len = shape.offsets.last().unwrap() / 2 + (pixels - 1) * pitch + shape.len;
        let x = halves(&mut random, len);
        let per = shape.offsets.len() * shape.len;
        let value = |random: &mut Rng| half_values::to_f32(half_values::of_f32(random.f32() - 0.5));
        let w: Vec<f32> = (0..shape.n * per).map(|_| value(&mut random)).collect();
        let bias: Vec<f32> = (0..shape.n).map(|_| value(&mut random)).collect();
        let raw = RawF32 { w: &w, bias: &bias };
        let conv = ConvF16::new(&half::Reference, shape.clone(), &raw, (-2.0, 6.0));
        let mut y = Guarded::new(pixels * shape.n, |_| 0u16);
        let job = Pixels {
            x: x.as_ptr().cast(),
            x_pitch: pitch * 2,
            y: y.as_mut_ptr().cast(),
            y_pitch: shape.n * 2,
            count: pixels,
        };
        // SAFETY: x and y are as long as the geometry says plus SLACK.
        unsafe { half::Reference.conv(&conv, &job, 0..shape.n) };
        let want: Vec<u16> = (0..pixels * shape.n)
            .map(|i| {
                let (pixel, channel) = (i / shape.n, i % shape.n);
                let runs = shape.offsets.iter().enumerate().flat_map(|(r, &offset)| {
                    let start = pixel * pitch + offset / 2;
                    (0..shape.len).map(move |k| (start + k, r * shape.len + k))
                });
                let sum: f64 = runs
                    .map(|(at, k)| {
                        f64::from(half_values::to_f32(x[at])) * f64::from(w[channel * per + k])
                    })
                    .sum();
                half_values::of_f32((sum as f32 + bias[channel]).clamp(-2.0, 6.0))
            })
            .collect();
        half_close(&y, &want, per, &format!("{shape:?} x {pixels}"));
    }
}

#[test]
fn half_depthwise_convolutions_agree() {
    let mut random = Rng::with_seed(17);
    let loops = half_loops();
    for _ in 0..200 {
        let d = row(&mut random);
        let x = halves(&mut random, d.kh * d.w_in * d.c);
        let per = d.kh * d.kw;
        let w: Vec<f32> = (0..d.c * per).map(|_| random.f32() - 0.5).collect();
        let bias: Vec<f32> = (0..d.c).map(|_| random.f32() - 0.5).collect();
        let run = |k: &dyn Half| {
            let conv = DepthwiseF16::new(k, d, &RawF32 { w: &w, bias: &bias }, (-0.5, 6.0));
            let rows: Vec<*const u8> = (0..d.kh)
                .map(|r| x[r * d.w_in * d.c..].as_ptr().cast())
                .collect();
            let mut y = Guarded::new(d.w_out * d.c, |_| 0x4780u16);
            let middle = 64.min(d.c);
            // SAFETY: rows and y are as long as the geometry says plus SLACK.
            unsafe {
                k.depthwise(&conv, &rows, y.as_mut_ptr().cast(), 0..middle);
                k.depthwise(&conv, &rows, y.as_mut_ptr().cast(), middle..d.c);
            }
            y
        };
        let want = run(&half::Reference);
        for half in &loops {
            half_close(&run(*half), &want, per, &format!("{}: {d:?}", half.name()));
        }
    }
}

#[test]
fn half_sums_averages_and_conversions_are_bit_identical() {
    let mut random = Rng::with_seed(18);
    let loops = half_loops();
    let numbers = |random: &mut Rng, len| -> Vec<u16> {
        let number = |_| {
            let any = random.u16(..);
            if half_values::to_f32(any).is_nan() {
                any & 0xfc00
            } else {
                any
            }
        };
        (0..len).map(number).collect()
    };
    for _ in 0..300 {
        let (c, pixels) = (random.usize(1..150), random.usize(1..20));
        let len = c * pixels;
        let (a, b) = (numbers(&mut random, len), numbers(&mut random, len));
        let floats: Vec<f32> = (0..len)
            .map(|_| (random.f32() - 0.5) * 2f32.powi(random.i32(-30..20)))
            .collect();
        let finite: Vec<u16> = (0..len)
            .map(|_| half_values::of_f32(random.f32() - 0.5))
            .collect();
        let clamp = [(f32::NEG_INFINITY, f32::INFINITY), (-1.5, 6.0)][random.usize(..2)];
        let run = |k: &dyn Half| {
            let (mut sum, mut product) = (vec![0; len], vec![0; len]);
            k.add(clamp, &a, &finite, &mut sum);
            k.mul(clamp, &finite, &b, &mut product);
            let (mut mean, mut narrow, mut wide) = (vec![0; c], vec![0; len], vec![0.0; len]);
            k.average(&finite, c, &mut mean);
            k.narrow(&floats, &mut narrow);
            k.widen(&a, &mut wide);
            (sum, product, mean, narrow, wide)
        };
        for half in &loops {
            assert_eq!(run(*half), run(&half::Reference), "{}", half.name());
        }
    }
}
