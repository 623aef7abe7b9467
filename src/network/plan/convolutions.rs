//! Convolutions: padded copies of their inputs, whole layers, and blocks of up to three convolutions fused over bands of rows.

use super::Planner;
use super::arena::{Need, Places};
use super::groups::{Bands, conv_of};
use super::pack::Pitches;
use crate::network::graph::{Conv, Shape, Window};
use crate::network::run::Fill;
use crate::network::run::steps::{
    AnyConv, Block, ConvStep, DepthwiseStep, Front, Pad, Slots, Work,
};

/// Minimum pixels of a band, so that the convolutions around it work on full tiles and their weights pass by seldom. Bands of 28 to 112
/// pixels were measured with L1 caches of 32 and 64 KiB and L2 caches of 256 KiB to 1 MiB: none is better everywhere.
const BAND_PIXELS: usize = 48;

/// A convolution's step, built once offsets are known, and what its row reports.
pub(super) struct PlannedConv<S> {
    pub(super) step: S,
    pub(super) op: &'static str,
    pub(super) kernel: &'static str,
}

/// A convolution's input, how the kernel walks over it, and its packed weights, per group.
struct Input {
    x: Need,
    front: Front,
    convs: Vec<AnyConv>,
}

impl Planner<'_> {
    pub(super) fn conv(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let PlannedConv { step, op, kernel } = self.conv_step(index, conv)?;
        self.step((index, index), move |at| Work::Conv(step(at)));
        self.row(index, op, kernel, true);
        Ok(())
    }

    pub(super) fn depthwise(&mut self, index: usize, conv: &Conv) -> Result<(), String> {
        let PlannedConv { step, op, kernel } = self.depthwise_step(index, conv)?;
        self.step((index, index), move |at| Work::Depthwise(step(at)));
        self.row(index, op, kernel, true);
        Ok(())
    }

    /// The next step for a convolution, after one that makes a padded copy of its input if it has padding.
    pub(super) fn conv_step(
        &mut self,
        index: usize,
        conv: &Conv,
    ) -> Result<PlannedConv<impl FnOnce(&Places) -> ConvStep + use<>>, String> {
        let Input { x, front, convs } = self.input(index, conv)?;
        let output = self.graph.layers[index].output;
        let y = self.define(output, self.steps.len());
        let (shape, elem) = (self.tensor(output).shape, self.tensor(output).kind.bytes());
        // A pointwise convolution (or one over the whole input) sees all pixels as one row.
        let flat = conv.window == Window::POINT;
        let (rows, columns) = if flat {
            (1, shape.pixels())
        } else {
            (shape.h, shape.w)
        };
        let op = match (conv.groups, flat, shape.pixels()) {
            (1, _, 1) => "fully connected",
            (1, true, _) => "pointwise",
            (1, false, _) => "convolution",
            _ => "grouped convolution",
        };
        let group_channels = shape.c / conv.groups;
        Ok(PlannedConv {
            op,
            kernel: convs[0].by(),
            step: move |at: &Places| ConvStep {
                x: at.of(x),
                y: at.of(y),
                front,
                convs,
                rows,
                columns,
                y_pixel: shape.c * elem,
                y_group: group_channels * elem,
            },
        })
    }

    /// The next step for a depthwise convolution.
    pub(super) fn depthwise_step(
        &mut self,
        index: usize,
        conv: &Conv,
    ) -> Result<PlannedConv<impl FnOnce(&Places) -> DepthwiseStep + use<>>, String> {
        let layer = &self.graph.layers[index];
        let step = self.steps.len();
        let x = self.read(layer.inputs[0], step);
        let input = self.tensor(layer.inputs[0]);
        let (h_in, row_bytes) = (input.shape.h, row_bytes(input.shape, input.kind.bytes()));
        let padding = self.padding_row(row_bytes, self.pad_byte(layer.inputs[0]));
        let packed = self.pack_depthwise(layer, conv)?;
        let y = self.define(layer.output, step);
        let output = self.tensor(layer.output);
        let (shape, y_row) = (
            output.shape,
            self::row_bytes(output.shape, output.kind.bytes()),
        );
        let window = conv.window;
        Ok(PlannedConv {
            op: "depthwise",
            kernel: packed.by(),
            step: move |at: &Places| DepthwiseStep {
                x: at.of(x),
                y: at.of(y),
                padding: at.of(padding),
                conv: packed,
                window,
                h_in,
                row_bytes,
                rows: shape.h,
                y_row,
                channels: shape.c,
            },
        })
    }

    /// A convolution's input, or a padded copy of it, for which this adds a step.
    fn input(&mut self, index: usize, conv: &Conv) -> Result<Input, String> {
        let layer = &self.graph.layers[index];
        let id = layer.inputs[0];
        let (shape, elem) = (self.tensor(id).shape, self.tensor(id).kind.bytes());
        let window = conv.window;
        let mut width = shape.w;
        let mut x = self.read(id, self.steps.len());
        if window.padded() {
            let rows = shape.h + window.top + window.bottom;
            width += window.left + window.right;
            let padded = Shape::new(rows, width, shape.c)?;
            let step = self.steps.len();
            let (from, value) = (x, self.pad_byte(id));
            let to = self.needs.add(padded.volume() * elem, step, step + 1);
            self.step((index, index), move |at| {
                Work::Pad(Pad {
                    x: at.of(from),
                    y: at.of(to),
                    shape,
                    elem,
                    window,
                    value,
                })
            });
            x = to;
        }
        let pixel = shape.c * elem;
        let pitches = Pitches {
            row: width * pixel,
            pixel,
            width,
        };
        let convs = (0..conv.groups)
            .map(|g| self.pack_conv(layer, conv, g, pitches))
            .collect::<Result<Vec<_>, _>>()?;
        let front = Front {
            row_pitch: pitches.row * window.sh,
            pixel_pitch: pixel * window.sw,
            group_pitch: conv.cin / conv.groups * elem,
        };
        Ok(Input { x, front, convs })
    }

    /// A row of padding of at least `bytes`, shared by all layers that pad with `byte`; it lives for the whole run.
    fn padding_row(&mut self, bytes: usize, byte: u8) -> Need {
        if let Some(fill) = self.fills.iter_mut().find(|f| f.byte == byte) {
            fill.bytes = fill.bytes.max(bytes);
            self.needs.grow(fill.at, bytes);
            return fill.at;
        }
        let at = self.needs.add(bytes, 0, usize::MAX);
        self.fills.push(Fill { at, bytes, byte });
        at
    }

    /// `bytes` of memory per thread in one step.
    fn slots(&mut self, bytes: usize, step: usize) -> impl FnOnce(&Places) -> Slots + use<> {
        let pitch = Slots::pitch_of(bytes);
        let need = (self.needs).add((self.threads - 1) * pitch + bytes, step, step);
        move |at| Slots {
            at: at.of(need),
            pitch,
        }
    }

    /// A depthwise convolution over bands of rows, fused with the convolution before it, the pointwise one after it, or both.
    pub(super) fn block(&mut self, bands: Bands) -> Result<(), String> {
        let graph = self.graph;
        let layer = &graph.layers[bands.depthwise];
        let conv = conv_of(layer).ok_or("not a convolution")?;
        let (mid, result) = (self.tensor(layer.inputs[0]), self.tensor(layer.output));
        let window = conv.window;
        let row_bytes = row_bytes(mid.shape, mid.kind.bytes());
        let dw_pixel = result.shape.c * result.kind.bytes();
        let dw_row = result.shape.w * dw_pixel;
        let expand = (bands.expand).map(|index| {
            let conv = conv_of(&graph.layers[index]).ok_or("not a convolution")?;
            self.input(index, conv)
        });
        let mut expand = expand.transpose()?;
        let step = self.steps.len();
        let x = match &expand {
            Some(input) => input.x,
            None => self.read(layer.inputs[0], step),
        };
        let padding = self.padding_row(row_bytes, self.pad_byte(layer.inputs[0]));
        let depthwise = self.pack_depthwise(layer, conv)?;
        let band_rows = BAND_PIXELS.div_ceil(result.shape.w).min(result.shape.h);
        let ring_rows = Block::ring_rows(&window, band_rows, mid.shape.h);
        // The memory of all threads together is no larger than a tensor may be.
        Shape::new(ring_rows * self.threads, mid.shape.w, mid.shape.c)?;
        Shape::new(band_rows * self.threads, result.shape.w, result.shape.c)?;
        let project = (bands.project).map(|index| {
            let layer = &graph.layers[index];
            let conv = conv_of(layer).ok_or("not a convolution")?;
            let pitches = Pitches {
                row: dw_row,
                pixel: dw_pixel,
                width: result.shape.w,
            };
            self.pack_conv(layer, conv, 0, pitches)
        });
        let project = project.transpose()?;
        let ring = (expand.is_some()).then(|| self.slots(row_bytes * ring_rows, step));
        let band = (project.is_some()).then(|| self.slots(dw_row * band_rows, step));
        let output = graph.layers[bands.last()].output;
        let y = self.define(output, step);
        let (shape, elem) = (self.tensor(output).shape, self.tensor(output).kind.bytes());
        let front = expand.as_mut().and_then(|input| input.convs.pop());
        let front = expand.map(|input| input.front).zip(front);
        let kernels = [
            front.as_ref().map(|(_, conv)| conv.by()),
            Some(depthwise.by()),
            project.as_ref().map(|conv| conv.by()),
        ];
        let (mid, result) = (mid.shape, result.shape);
        self.step((bands.first(), bands.last()), move |at| {
            Work::Block(Box::new(Block {
                x: at.of(x),
                front,
                ring: ring.map(|ring| ring(at)),
                padding: at.of(padding),
                depthwise,
                window,
                h_in: mid.h,
                w_in: mid.w,
                row_bytes,
                rows: result.h,
                dw_row,
                dw_pixel,
                band: band.map(|band| band(at)),
                band_rows,
                channels: result.c,
                project,
                y: at.of(y),
                y_row: shape.w * shape.c * elem,
                y_pixel: shape.c * elem,
                columns: result.w,
            }))
        });
        self.block_rows(bands, kernels);
        Ok(())
    }

    /// A row for each layer of a block.
    fn block_rows(&mut self, bands: Bands, kernels: [Option<&'static str>; 3]) {
        let layers = [bands.expand, Some(bands.depthwise), bands.project];
        let names = [
            "convolution, by bands",
            "depthwise, by bands",
            "pointwise, by bands",
        ];
        for ((layer, name), kernel) in layers.into_iter().zip(names).zip(kernels) {
            if let (Some(layer), Some(kernel)) = (layer, kernel) {
                self.row(layer, name, kernel, layer == bands.last());
            }
        }
    }
}

/// Bytes of a tensor's row, with `value` bytes per value.
fn row_bytes(shape: Shape, elem: usize) -> usize {
    shape.w * shape.c * elem
}
