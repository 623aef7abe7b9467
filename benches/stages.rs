//! From a camera frame to a shown class, stage by stage, on one core: 640x480 YUYV and MJPEG through the shipped network onto a
//! 480x320 16-bit display. `cargo bench --bench stages`

#![allow(clippy::unwrap_used, missing_docs)]

use criterion::{Criterion, criterion_group, criterion_main};
use eyelet::decide::DecideConfig;
use eyelet::decide::{Classes, Decider};
use eyelet::frame::{Frame, Geometry, PixelFormat};
use eyelet::model::Model;
use eyelet::network::Network;
use eyelet::preprocess::Mount;
use eyelet::preprocess::Preprocess;
use eyelet::show::Depth;
use eyelet::show::draw::Painter;
use eyelet::show::{Scene, State};
use std::hint::black_box;
use std::time::Duration;

const WIDTH_PX: u32 = 640;
const HEIGHT_PX: u32 = 480;

/// Everything in the loop except camera and display.
struct Stages {
    model: Model,
    preprocess: Preprocess,
    network: Network,
    decider: Decider,
    painter: Painter,
    geometry: Geometry,
    bytes: Vec<u8>,
    now: Duration,
}

impl Stages {
    fn new(format: PixelFormat) -> Self {
        let model = Model::find("efficientnet-lite0", None).unwrap();
        let network = Network::load(&model, 1).unwrap();
        let geometry = Geometry::packed(format, WIDTH_PX, HEIGHT_PX);
        let mut new = Self {
            preprocess: Preprocess::new(&model.input, Mount::default(), network.encoder().clone()),
            decider: Decider::new(DecideConfig::default(), Classes::default(), model.output),
            painter: Painter::new(480, 320, Depth::Rgb565).unwrap(),
            bytes: picture(format),
            now: Duration::ZERO,
            model,
            network,
            geometry,
        };
        // Run every stage once, so that each has its input.
        let frame = Frame::new(new.geometry, &new.bytes, new.now, 0).unwrap();
        new.preprocess.run(&frame, new.network.input()).unwrap();
        new.network.run().unwrap();
        new
    }

    fn frame(&mut self) {
        let frame = Frame::new(self.geometry, &self.bytes, self.now, 0).unwrap();
        self.preprocess.run(&frame, self.network.input()).unwrap();
        self.now += Duration::from_millis(33);
        let verdict = self.decider.step(self.network.run().unwrap(), self.now);
        let scene = Scene {
            state: State::Live,
            verdict: Some(&verdict),
            labels: &self.model.labels,
            unknown_label: "unknown",
            rate_fps: 30.0,
            picture: Some(self.preprocess.crop()),
            regions: &[],
            notice: None,
        };
        black_box(self.painter.draw(&scene));
    }
}

/// A picture that is neither uniform nor noise.
fn picture(format: PixelFormat) -> Vec<u8> {
    let rgb = image::RgbImage::from_fn(WIDTH_PX, HEIGHT_PX, |x, y| {
        image::Rgb([(x / 3) as u8, (y / 2) as u8, (x * y / 64) as u8])
    });
    if format == PixelFormat::Mjpeg {
        let mut jpeg = std::io::Cursor::new(Vec::new());
        rgb.write_to(&mut jpeg, image::ImageFormat::Jpeg).unwrap();
        return jpeg.into_inner();
    }
    // YUYV: luma of each pixel, mid-grey chroma.
    rgb.pixels().flat_map(|p| [16 + p.0[1] / 2, 128]).collect()
}

fn stages(c: &mut Criterion) {
    for format in [PixelFormat::Yuyv, PixelFormat::Mjpeg] {
        let mut group = c.benchmark_group(format!("{WIDTH_PX}x{HEIGHT_PX} {format}"));
        let mut s = Stages::new(format);
        let bytes = s.bytes.clone();
        let frame = Frame::new(s.geometry, &bytes, Duration::ZERO, 0).unwrap();
        if format == PixelFormat::Mjpeg {
            group.bench_function("1 decode", |b| {
                b.iter(|| s.preprocess.decode(0, black_box(&frame)).map(|_| ()));
            });
        }
        // Of MJPEG with the decoding.
        group.bench_function("2 preprocess", |b| {
            b.iter(|| {
                s.preprocess
                    .run(black_box(&frame), s.network.input())
                    .unwrap()
            });
        });
        group.bench_function("3 infer", |b| {
            b.iter(|| {
                black_box(s.network.run().unwrap());
            });
        });
        let scores = s.network.run().unwrap().to_vec();
        group.bench_function("4 decide", |b| {
            b.iter(|| black_box(s.decider.step(black_box(&scores), Duration::from_secs(1))));
        });
        let verdict = s.decider.step(&scores, Duration::from_secs(2));
        group.bench_function("5 draw", |b| {
            b.iter(|| {
                let scene = Scene {
                    state: State::Live,
                    verdict: Some(&verdict),
                    labels: &s.model.labels,
                    unknown_label: "unknown",
                    rate_fps: 30.0,
                    picture: Some(s.preprocess.crop()),
                    regions: &[],
                    notice: None,
                };
                black_box(s.painter.draw(&scene));
            });
        });
        let mut s = Stages::new(format);
        group.bench_function("frame to class, all stages", |b| b.iter(|| s.frame()));
        group.finish();
    }
}

criterion_group!(benches, stages);
criterion_main!(benches);
