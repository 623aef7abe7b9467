//! Weights in a file beside the model, as PyTorch's exporter writes them (`model.onnx.data`).
//!
//! Such a tensor has, instead of values, a `location` below the model's folder, an `offset` and a `length`. Each tensor's bytes
//! are read once, straight into their place, so a model in two files needs no more memory than one in a single file. What a file
//! says is checked before it is believed: nothing outside the model's folder is opened, and no more memory is allocated than the
//! side file is long.

use super::budget::MAX_WEIGHTS_BYTES;
use crate::named;
use std::collections::HashMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path, PathBuf};
use tract_onnx::pb::TensorProto;
use tract_onnx::pb::tensor_proto::{DataLocation, DataType};

const AS_ONE_FILE: &str =
    "save the model as one file (onnx.save_model(..., save_as_external_data=False))";

/// The side files of one model, opened when a tensor needs them.
pub struct SideFiles {
    folder: PathBuf,
    open: HashMap<String, Side>,
    /// Bytes that tensors may still read; several tensors may name the same bytes.
    left: u64,
}

struct Side {
    path: PathBuf,
    file: File,
    len: u64,
}

/// Location of a tensor's bytes.
struct Span {
    location: String,
    offset: u64,
    len: usize,
}

impl SideFiles {
    /// The side files of the model in the file `model`.
    pub fn of(model: &Path) -> Self {
        Self {
            folder: named::folder_of(model).to_owned(),
            open: HashMap::new(),
            left: MAX_WEIGHTS_BYTES,
        }
    }

    /// The files opened so far: the name in the model, and the path.
    pub fn opened(self) -> Vec<(String, PathBuf)> {
        let sides = self.open.into_iter().map(|(name, side)| (name, side.path));
        let mut sides: Vec<_> = sides.collect();
        sides.sort();
        sides
    }

    /// Checks that the values of `tensor` can be read, if they are in a side file.
    pub fn check(&mut self, tensor: &TensorProto) -> Result<(), String> {
        self.span(tensor).map(|_| ())
    }

    /// Reads the values of `tensor`, if they are in a side file.
    pub fn read(&mut self, tensor: &mut TensorProto) -> Result<(), String> {
        let Some(Span {
            location,
            offset,
            len,
        }) = self.span(tensor)?
        else {
            return Ok(());
        };
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(len).map_err(|_| {
            format!(
                "has weights '{}' of {len} bytes, more than there is memory for",
                tensor.name
            )
        })?;
        if let Some(side) = self.open.get_mut(&location) {
            side.file
                .seek(SeekFrom::Start(offset))
                .and_then(|_| (&side.file).take(len as u64).read_to_end(&mut bytes))
                .map_err(|e| format!("keeps weights in '{location}', which cannot be read: {e}"))?;
        }
        if bytes.len() != len {
            return Err(format!(
                "keeps weights in '{location}', which became shorter while it was read; load the model again"
            ));
        }
        tensor.raw_data = bytes;
        tensor.data_location = None;
        tensor.external_data.clear();
        Ok(())
    }

    /// Location of the values of `tensor`; `None` if they are in the model itself.
    fn span(&mut self, tensor: &TensorProto) -> Result<Option<Span>, String> {
        if tensor.data_location != Some(DataLocation::External as i32) {
            return Ok(None);
        }
        let entry_value = |key: &str| {
            let entry = tensor.external_data.iter().find(|e| e.key == key);
            entry.map(|e| e.value.as_str())
        };
        let number = |key: &str| match entry_value(key).map(str::parse::<u64>) {
            None => Ok(None),
            Some(Ok(n)) => Ok(Some(n)),
            Some(Err(_)) => Err(format!(
                "says of the weights '{}' that their {key} is '{}', which is not a number; export the model again",
                tensor.name,
                entry_value(key).unwrap_or_default()
            )),
        };
        let Some(location) = entry_value("location").filter(|l| !l.is_empty()) else {
            return Err(format!(
                "does not say in which file the weights '{}' are; export the model again",
                tensor.name
            ));
        };
        let len = byte_len(tensor)?;
        let offset = number("offset")?.unwrap_or(0);
        if let Some(stated) = number("length")?
            && usize::try_from(stated) != Ok(len)
        {
            return Err(format!(
                "says that the weights '{}' are {stated} bytes of '{location}' where their shape asks for {len}; export \
                 the model again",
                tensor.name
            ));
        }
        let side_len = self.open(location)?;
        if offset
            .checked_add(len as u64)
            .is_none_or(|end| end > side_len)
        {
            return Err(format!(
                "keeps the weights '{}' in '{location}' at bytes {offset} and the next {len}, and that file has {side_len} \
                 bytes: it is cut short, or belongs to another model; copy or export both files again",
                tensor.name
            ));
        }
        self.left = self.left.checked_sub(len as u64).ok_or_else(|| {
            format!(
                "has weights of more than {} MiB, the limit; quantise it, or take a smaller network",
                MAX_WEIGHTS_BYTES >> 20
            )
        })?;
        Ok(Some(Span {
            location: location.to_owned(),
            offset,
            len,
        }))
    }

    /// Opens a side file unless it is open; returns its length.
    fn open(&mut self, location: &str) -> Result<u64, String> {
        if let Some(side) = self.open.get(location) {
            return Ok(side.len);
        }
        let inside = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
        if location.contains('\0') || !Path::new(location).components().all(inside) {
            return Err(format!(
                "keeps weights in '{}', which is not below its own folder; {AS_ONE_FILE}",
                location.escape_debug()
            ));
        }
        let path = self.folder.join(location);
        let unreadable = |e: std::io::Error| match e.kind() {
            std::io::ErrorKind::NotFound => format!(
                "keeps its weights in '{location}', which is not beside it: copy that file along, under this name, or \
                 {AS_ONE_FILE}"
            ),
            _ => format!("keeps weights in '{location}', which cannot be read: {e}"),
        };
        // A link may lead anywhere.
        let real = path.canonicalize().map_err(unreadable)?;
        if !real.starts_with(self.folder.canonicalize().map_err(unreadable)?) {
            return Err(format!(
                "keeps weights in '{location}', which is a link to {}, outside of its folder; copy that file to the place \
                 of the link, or {AS_ONE_FILE}",
                real.display()
            ));
        }
        // Not a pipe, for example, which would block when opened.
        if !real.metadata().map_err(unreadable)?.is_file() {
            return Err(format!(
                "keeps weights in '{location}', which is not a file; {AS_ONE_FILE}"
            ));
        }
        let file = File::open(&real).map_err(unreadable)?;
        let len = file.metadata().map_err(unreadable)?.len();
        let side = Side { path, file, len };
        self.open.insert(location.to_owned(), side);
        Ok(len)
    }
}

/// Bytes of a tensor, from its type and shape.
fn byte_len(tensor: &TensorProto) -> Result<usize, String> {
    let bits = match DataType::try_from(tensor.data_type) {
        Ok(DataType::Uint4 | DataType::Int4 | DataType::Float4e2m1) => 4,
        Ok(DataType::Uint8 | DataType::Int8 | DataType::Bool) => 8,
        Ok(
            DataType::Float8e4m3fn
            | DataType::Float8e4m3fnuz
            | DataType::Float8e5m2
            | DataType::Float8e5m2fnuz,
        ) => 8,
        Ok(DataType::Uint16 | DataType::Int16 | DataType::Float16 | DataType::Bfloat16) => 16,
        Ok(DataType::Float | DataType::Int32 | DataType::Uint32) => 32,
        Ok(DataType::Double | DataType::Int64 | DataType::Uint64 | DataType::Complex64) => 64,
        Ok(DataType::Complex128) => 128,
        Ok(DataType::Undefined | DataType::String) | Err(_) => {
            return Err(format!(
                "keeps the weights '{}' in another file, and they are of a type that cannot be there; export the model again",
                tensor.name
            ));
        }
    };
    let count = tensor
        .dims
        .iter()
        .try_fold(bits, |n: usize, &d| n.checked_mul(usize::try_from(d).ok()?));
    // Half a byte counts as one.
    count.map(|bits| bits.div_ceil(8)).ok_or_else(|| {
        format!(
            "has weights '{}' of shape {:?}, which is nonsense; export the model again",
            tensor.name, tensor.dims
        )
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use tract_onnx::pb::StringStringEntryProto;

    fn tensor(dims: &[i64], entries: &[(&str, &str)]) -> TensorProto {
        let entry = |&(key, value): &(&str, &str)| StringStringEntryProto {
            key: key.to_owned(),
            value: value.to_owned(),
        };
        TensorProto {
            name: "w".to_owned(),
            dims: dims.to_vec(),
            data_type: DataType::Int8 as i32,
            data_location: Some(DataLocation::External as i32),
            external_data: entries.iter().map(entry).collect(),
            ..TensorProto::default()
        }
    }

    /// A folder with a model's path, `w.bin` of ten bytes, a link that stays inside and links that do not.
    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("inner");
        std::fs::create_dir_all(inner.join("below")).unwrap();
        let bytes: Vec<u8> = (0..10).collect();
        std::fs::write(inner.join("w.bin"), &bytes).unwrap();
        std::fs::write(inner.join("below/w.bin"), &bytes).unwrap();
        std::fs::write(folder.path().join("secret"), &bytes).unwrap();
        std::os::unix::fs::symlink("below/w.bin", inner.join("near")).unwrap();
        std::os::unix::fs::symlink("../secret", inner.join("far")).unwrap();
        std::os::unix::fs::symlink("..", inner.join("up")).unwrap();
        folder
    }

    fn read(folder: &tempfile::TempDir, mut tensor: TensorProto) -> Result<Vec<u8>, String> {
        let mut sides = SideFiles::of(&folder.path().join("inner/net.onnx"));
        sides.read(&mut tensor)?;
        assert!(tensor.data_location.is_none() && tensor.external_data.is_empty());
        Ok(tensor.raw_data)
    }

    #[test]
    fn bytes_come_from_their_place() {
        let folder = folder();
        let all = |entries| read(&folder, tensor(&[5, 2], entries)).unwrap();
        assert_eq!(all(&[("location", "w.bin")]), Vec::from_iter(0..10));
        for location in ["./w.bin", "below/w.bin", "near"] {
            let part = tensor(
                &[3],
                &[("location", location), ("offset", "7"), ("length", "3")],
            );
            assert_eq!(read(&folder, part).unwrap(), [7, 8, 9], "{location}");
        }
        let nothing = tensor(&[0], &[("location", "w.bin"), ("offset", "10")]);
        assert_eq!(read(&folder, nothing).unwrap(), [0u8; 0]);
    }

    #[test]
    fn nothing_outside_of_the_folder_is_opened() {
        let folder = folder();
        let secret = folder.path().join("secret").display().to_string();
        for location in ["../secret", &secret, "below/../../secret", "w.bin\0"] {
            let why = read(&folder, tensor(&[10], &[("location", location)])).unwrap_err();
            assert!(
                why.contains("not below its own folder"),
                "{location}: {why}"
            );
        }
        for location in ["far", "up/secret"] {
            let why = read(&folder, tensor(&[10], &[("location", location)])).unwrap_err();
            assert!(why.contains("outside of its folder"), "{location}: {why}");
        }
    }

    #[test]
    fn nonsense_is_refused_by_name() {
        let folder = folder();
        let here = ("location", "w.bin");
        for (dims, entries, says) in [
            (&[10][..], &[][..], "in which file"),
            (&[10], &[("location", "")], "in which file"),
            (&[10], &[("location", "below")], "is not a file"),
            (
                &[10],
                &[("location", "v.bin")],
                "'v.bin', which is not beside it",
            ),
            (&[11], &[here], "that file has 10 bytes"),
            (&[1], &[here, ("offset", "10")], "that file has 10 bytes"),
            (
                &[1],
                &[here, ("offset", "18446744073709551615")],
                "that file has 10 bytes",
            ),
            (&[1], &[here, ("offset", "-1")], "offset is '-1'"),
            (
                &[2],
                &[here, ("length", "3")],
                "3 bytes of 'w.bin' where their shape asks for 2",
            ),
            (&[-2], &[here], "nonsense"),
            (&[1 << 40, 1 << 40], &[here], "nonsense"),
            (&[1 << 31], &[here], "that file has 10 bytes"),
        ] {
            let why = read(&folder, tensor(dims, entries)).unwrap_err();
            assert!(why.contains(says), "{dims:?} {entries:?}: {why}");
        }
        let mut text = tensor(&[1], &[here]);
        text.data_type = DataType::String as i32;
        assert!(
            read(&folder, text)
                .unwrap_err()
                .contains("a type that cannot be")
        );
    }
}
