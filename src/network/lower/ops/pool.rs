//! Pooling.

use crate::network::graph::{Op, Shape, Window};
use crate::network::lower::{Activation, DeferredOp, Lower, Lowered, Value, View};
use crate::network::onnx::attributes::{int, ints};
use tract_onnx::pb::NodeProto;

impl Lower {
    pub(crate) fn pool(&mut self, node: &NodeProto) -> Lowered<Value> {
        let x = self.input_value(node, 0)?;
        self.pool_of(node, &x)
    }

    pub(crate) fn pool_of(&mut self, node: &NodeProto, x: &Value) -> Lowered<Value> {
        let windowed = !node.op_type.contains("Global") && node.op_type != "ReduceMean";
        let (x, zeros) = match x {
            Value::Padded(inner, pads) if windowed => (&**inner, *pads),
            other => (other, [0; 4]),
        };
        if node.op_type == "ReduceMean"
            && let Ok(part) = self.mean_of_rows(node, x)
        {
            return Ok(part);
        }
        let settled = self.settled(node, x)?;
        let act = self.materialise(&settled)?;
        let input = self.shape(act.id);
        let whole = Window {
            kh: input.h,
            kw: input.w,
            ..Window::POINT
        };
        let one = input.one_pixel();
        if node.op_type == "ReduceMean" {
            let spatial = matches!(act.view, View::Nchw | View::Nhwc);
            return match self.reduce_mean(node, act, whole, one) {
                Err(_) if !spatial => self.mean_of_tokens(node, &Value::Activation(act)),
                other => other,
            };
        }
        let last = int(node, "channels_last", 0) != 0;
        let fits = if last { View::Nhwc } else { View::Nchw };
        if act.view != fits {
            return Err("the input's axes are in another order".into());
        }
        let (window, shape) = if windowed {
            self.pool_window(node, input, zeros)?
        } else {
            (whole, one)
        };
        let padded = zeros != [0; 4];
        if node.op_type.contains("Max") {
            let tensor = self.same_kind(act, shape);
            let op = Op::MaxPool(window, padded);
            let id = self.add_layer(op, vec![act.id], tensor, &node.name);
            return Ok(Value::Activation(Activation { id, ..act }));
        }
        let pads = padded || int(node, "count_include_pad", 0) != 0;
        let op = DeferredOp::Average(window, pads);
        Ok(self.deferred(node, op, vec![act], shape, act.view))
    }

    /// A pooling node's window over an input with `zeros` around it, which count as values, and the size of its result.
    fn pool_window(
        &self,
        node: &NodeProto,
        input: Shape,
        zeros: [usize; 4],
    ) -> Lowered<(Window, Shape)> {
        let size = ints(node, "kernel_shape").unwrap_or_default();
        let [kh, kw] = size[..] else {
            return Err(format!("kernel_shape is {size:?}"));
        };
        let size = |k: i64| usize::try_from(k).ok().filter(|k| (1..1 << 16).contains(k));
        let (Some(kh), Some(kw)) = (size(kh), size(kw)) else {
            return Err("a kernel size makes no sense".into());
        };
        let mut window = self.window(node, (kh, kw), input, zeros)?;
        let pads = [window.top, window.left, window.bottom, window.right];
        if zeros != [0; 4] && pads != zeros {
            return Err("padding around padding by zeros".into());
        }
        if int(node, "ceil_mode", 0) != 0 {
            // Rounding up adds padding at the end, which never counts as values.
            let more = |size: usize, k: usize, d: usize, s: usize| {
                let over = size.saturating_sub((k - 1) * d + 1) % s;
                if over == 0 { 0 } else { s - over }
            };
            let (h, w) = (
                input.h + window.top + window.bottom,
                input.w + window.left + window.right,
            );
            let extra = (
                more(h, kh, window.dh, window.sh),
                more(w, kw, window.dw, window.sw),
            );
            let counted = zeros != [0; 4] || int(node, "count_include_pad", 0) != 0;
            if extra != (0, 0) && counted {
                return Err("ceil_mode with counted padding".into());
            }
            window.bottom += extra.0;
            window.right += extra.1;
        }
        if window.top >= kh || window.left >= kw || window.bottom >= kh || window.right >= kw {
            return Err("a padding is as large as the kernel".into());
        }
        let (h, w) = window
            .output(input.h, input.w)
            .ok_or("the kernel is larger than the input")?;
        let shape = Shape::new(h, w, input.c)?;
        // The first tap after the padding must be inside the picture.
        let sees = |out: usize, size: usize, before: usize, k: usize, d: usize, s: usize| {
            (0..out).all(|at| {
                let tap = before.saturating_sub(at * s).div_ceil(d);
                tap < k && at * s + tap * d - before < size
            })
        };
        let counted = zeros != [0; 4] || int(node, "count_include_pad", 0) != 0;
        let rows = sees(h, input.h, window.top, kh, window.dh, window.sh);
        let columns = sees(w, input.w, window.left, kw, window.dw, window.sw);
        if !(counted || rows && columns) {
            return Err("a window is outside the picture".into());
        }
        Ok((window, shape))
    }

    fn reduce_mean(
        &mut self,
        node: &NodeProto,
        act: Activation,
        whole: Window,
        one: Shape,
    ) -> Lowered<Value> {
        let axes = self.reduced(node, 4)?;
        let spatial = match act.view {
            View::Nchw => axes == [2, 3],
            View::Nhwc => axes == [1, 2],
            _ => false,
        };
        if !spatial {
            return Err(format!("axes {axes:?} are not rows and columns"));
        }
        let view = if int(node, "keepdims", 1) != 0 {
            act.view
        } else {
            View::Flat
        };
        Ok(self.deferred(
            node,
            DeferredOp::Average(whole, false),
            vec![act],
            one,
            view,
        ))
    }
}
