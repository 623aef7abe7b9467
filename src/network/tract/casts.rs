//! Cast to 64-bit integers. tract makes them sizes (`TDim`), as its own arithmetic on shapes wants them; but some operators fail on
//! sizes, so only what is one stays one.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::ops::cast::cast;
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::expandable::{Expansion, expand};

use super::ranks::tracts;
use crate::network::onnx::attributes::int;

/// ONNX's number of the type.
const INT64: i64 = 7;

/// Parses a Cast.
pub fn whole_cast(
    context: &ParsingContext,
    node: &NodeProto,
) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    if int(node, "to", 0) != INT64 {
        return tracts(context, node);
    }
    Ok((expand(WholeCast), vec![]))
}

#[derive(Debug, Clone, Hash, PartialEq, Eq)]
struct WholeCast;

/// The type that values of this one become.
fn whole(from: DatumType) -> DatumType {
    let size = TDim::datum_type();
    if from == size {
        size
    } else {
        i64::datum_type()
    }
}

impl Expansion for WholeCast {
    fn name(&self) -> StaticName {
        "WholeCast".into()
    }

    fn rules<'r, 'p: 'r, 's: 'r>(
        &'s self,
        s: &mut Solver<'r>,
        inputs: &'p [TensorProxy],
        outputs: &'p [TensorProxy],
    ) -> InferenceResult {
        check_input_arity(inputs, 1)?;
        check_output_arity(outputs, 1)?;
        s.given(&inputs[0].datum_type, |s, from| {
            s.equals(&outputs[0].datum_type, whole(from))
        })?;
        s.equals(&outputs[0].shape, &inputs[0].shape)
    }

    fn wire(
        &self,
        prefix: &str,
        model: &mut TypedModel,
        inputs: &[OutletId],
    ) -> TractResult<TVec<OutletId>> {
        let from = model.outlet_fact(inputs[0])?.datum_type;
        model.wire_node(prefix, cast(whole(from)), &[inputs[0]])
    }
}
