//! The constants of a file while its graph is cut. Together they are as large as the file, and the walk over the nodes reads them
//! more than once: so each is kept once, either as the file has it or decoded, and values derived from it share its storage.

use crate::network::graph::sizes::MAX_VALUES;
use crate::network::onnx::constant::Const;
use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use tract_onnx::pb::{TensorProto, tensor_proto::DataType};

/// Largest constant, in bytes, that is kept in the file's form after it was decoded.
const SMALL_BYTES: usize = 4096;

/// Constants by name.
#[derive(Debug)]
pub struct Constants {
    places: HashMap<String, usize>,
    entries: RefCell<Vec<(Vec<i64>, Entry)>>,
}

#[derive(Debug)]
enum Entry {
    File(Box<TensorProto>),
    Read(String, Rc<Const>),
}

impl Constants {
    /// The initialisers of a graph.
    pub fn new(initializers: Vec<TensorProto>) -> Self {
        let names = initializers.iter().map(|t| t.name.clone());
        let places = names.enumerate().map(|(i, name)| (name, i)).collect();
        let entries = initializers
            .into_iter()
            .map(|t| (t.dims.clone(), Entry::File(Box::new(t))));
        Self {
            places,
            entries: RefCell::new(entries.collect()),
        }
    }

    /// The constants of a graph that is not cut after all, as the file had them; also those of a cut graph that `used` names.
    pub fn back(self, used: Option<&HashSet<&str>>) -> Vec<TensorProto> {
        let entries = self.entries.into_inner().into_iter();
        let tensors = entries.filter_map(|(_, entry)| match entry {
            Entry::File(tensor) => used
                .is_none_or(|u| u.contains(tensor.name.as_str()))
                .then_some(*tensor),
            Entry::Read(name, read) => used
                .is_none_or(|u| u.contains(name.as_str()))
                .then(|| read.tensor(&name, None)),
        });
        tensors.collect()
    }

    /// Whether there is a constant with this name.
    pub fn contains(&self, name: &str) -> bool {
        self.places.contains_key(name)
    }

    /// A constant's shape in the file.
    pub fn dims(&self, name: &str) -> Option<Vec<i64>> {
        let place = *self.places.get(name)?;
        Some(self.entries.borrow()[place].0.clone())
    }

    /// A constant's values; `None` if the file has no such constant.
    pub(crate) fn read(&self, name: &str) -> Option<Result<Rc<Const>, String>> {
        let place = *self.places.get(name)?;
        let entry = &mut self.entries.borrow_mut()[place].1;
        let tensor = match entry {
            Entry::Read(_, read) => return Some(Ok(Rc::clone(read))),
            Entry::File(tensor) if !moves(tensor) => {
                return Some(Const::read((**tensor).clone()).map(Rc::new));
            }
            Entry::File(tensor) => std::mem::take(&mut **tensor),
        };
        let name = tensor.name.clone();
        Some(Const::read(tensor).map(|read| {
            let read = Rc::new(read);
            *entry = Entry::Read(name, Rc::clone(&read));
            read
        }))
    }
}

/// Whether a tensor is large, and can be restored exactly after decoding.
fn moves(tensor: &TensorProto) -> bool {
    let width = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Float) => 4,
        Ok(DataType::Int8 | DataType::Uint8) => 1,
        _ => return false,
    };
    let mut sizes = tensor.dims.iter().map(|&d| usize::try_from(d).ok());
    let count = sizes.try_fold(1usize, |n, d| n.checked_mul(d?));
    let bytes = tensor.raw_data.len();
    bytes > SMALL_BYTES
        && tensor.data_location.unwrap_or(0) == 0
        && count.and_then(|n| n.checked_mul(width)) == Some(bytes)
        && bytes / width <= MAX_VALUES
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::network::onnx::constant::Data;
    use crate::network::onnx::{float_tensor, int64_tensor, typed_tensor};

    #[test]
    fn constants_that_were_read_are_shared_and_returned_unchanged() {
        let floats = (0..5000).map(|i| i as f32 * 0.1 - 77.0).collect();
        let bytes: Vec<u8> = (0..6000).map(|i| (i * 7) as u8).collect();
        let tensors = vec![
            float_tensor("floats", &[5, 1000], floats),
            typed_tensor("int8", &[6000], DataType::Int8, bytes.clone()),
            int64_tensor("shape", &[2], vec![1, -1]),
            typed_tensor("lies", &[7, 1000], DataType::Uint8, bytes),
        ];
        let constants = Constants::new(tensors.clone());
        for name in ["floats", "int8"] {
            let first = constants.read(name).unwrap().unwrap();
            assert!(Rc::ptr_eq(&first, &constants.read(name).unwrap().unwrap()));
        }
        let shape = constants.read("shape").unwrap().unwrap();
        assert_eq!(shape.data, Data::I64(vec![1, -1]));
        assert!(constants.read("lies").unwrap().is_err());
        assert!(constants.read("other").is_none());
        assert_eq!(constants.dims("int8"), Some(vec![6000]));
        assert_eq!(constants.back(None), tensors);
    }
}
