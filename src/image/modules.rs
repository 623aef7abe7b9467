//! A kernel's modules: which exist, what each needs, and their load order.

use super::deb::{Deb, DebError};
use super::limits::{self, AtMost};
use crate::toml_file::did_you_mean;
use lzma_rust2::XzReader;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};

/// Drivers that `modules.builtin` does not list where they are built in, because they declare no licence (Raspberry Pi OS's, up to Linux
/// 6.12 at least), by the options that build them.
const UNLISTED: [(&str, &str); 2] = [
    ("CONFIG_BCM2712_MIP=y", "irq_bcm2712_mip"),
    ("CONFIG_PINCTRL_BCM2712=y", "pinctrl_bcm2712"),
];

/// Whether releases and modules may have this byte in their names.
pub(super) fn is_of_a_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.+~".contains(&byte)
}

/// A kernel's modules by name; `-` and `_` in names are equivalent, and stored as `_`.
#[derive(Default)]
pub struct Modules {
    /// Compressed as in the package: most are never read.
    loadable: BTreeMap<String, Packed>,
    built_in: BTreeSet<String>,
}

struct Packed {
    is_xz: bool,
    bytes: Vec<u8>,
}

/// One module, ready to load.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Module {
    /// Its name.
    pub name: String,
    /// The ELF file, unpacked.
    pub contents: Vec<u8>,
}

/// Why a module is not available.
#[derive(Debug, thiserror::Error)]
pub enum ModuleError {
    /// The kernel has no module of this name, loadable or built in.
    #[error("the kernel has no module `{name}`{hint}")]
    Unknown {
        /// The requested name.
        name: String,
        /// `, did you mean ...?` or nothing.
        hint: String,
    },
    /// The file is not a readable module.
    #[error("the kernel's module `{name}` is damaged: {reason}")]
    Damaged {
        /// Which one.
        name: String,
        /// The fault.
        reason: String,
    },
}

impl Modules {
    /// The modules in a package, below `lib/modules/`.
    pub fn of(package: &Deb) -> Result<Self, DebError> {
        let mut modules = Self::default();
        package.each_file(&mut |path, file| modules.add_file(path, file))?;
        Ok(modules)
    }

    /// Adds a file of a kernel's package, if it belongs to the modules.
    pub(super) fn add_file(&mut self, path: &str, file: &mut dyn Read) -> io::Result<()> {
        let Some((_, below)) = path.split_once("lib/modules/") else {
            return Ok(());
        };
        let file_name = below.rsplit('/').next().unwrap_or_default();
        if file_name == "modules.builtin" {
            let mut text = String::new();
            file.read_to_string(&mut text)?;
            let names = text.lines().filter_map(|line| line.rsplit('/').next());
            self.built_in
                .extend(names.filter_map(|name| Some(canonical(name.split_once(".ko")?.0))));
        } else if let Some((name, packing)) = file_name.split_once(".ko") {
            let is_xz = match packing {
                "" => false,
                ".xz" => true,
                // `.ko.zst` and the like count as missing, so the message names the module.
                _ => return Ok(()),
            };
            if !name.bytes().all(is_of_a_name) {
                return Ok(());
            }
            let mut bytes = Vec::new();
            file.read_to_end(&mut bytes)?;
            self.loadable
                .insert(canonical(name), Packed { is_xz, bytes });
        }
        Ok(())
    }

    /// Adds the drivers that a kernel's configuration alone tells of.
    pub(super) fn add_config(&mut self, file: &mut dyn Read) -> io::Result<()> {
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text);
        for line in text.lines() {
            let unlisted = UNLISTED.iter().filter(|(option, _)| *option == line.trim());
            self.built_in
                .extend(unlisted.map(|(_, name)| (*name).to_owned()));
        }
        Ok(())
    }

    /// The `compatible` texts of the devices that a loadable module binds: none if it is built in, damaged, or for another bus.
    pub fn compatibles(&self, name: &str) -> Vec<String> {
        let packed = self.loadable.get(&canonical(name));
        let contents = packed.and_then(|packed| packed.unpack(limits::MODULES_BYTES).ok());
        let contents = contents.unwrap_or_default();
        let aliases = module_info(&contents, b"\0alias=");
        let compatibles = aliases.filter_map(|alias| {
            // Each has two: of a device with this one only, and with more behind it.
            let one = alias.strip_prefix("of:N*T*C")?;
            Some(one.strip_suffix("C*").unwrap_or(one).to_owned())
        });
        compatibles.collect()
    }

    /// Whether there are no loadable modules at all.
    pub fn is_empty(&self) -> bool {
        self.loadable.is_empty()
    }

    /// Whether the kernel has this module, loadable or built in.
    pub fn has(&self, name: &str) -> bool {
        let name = canonical(name);
        self.built_in.contains(&name) || self.loadable.contains_key(&name)
    }

    /// `wanted` and everything they need, each once, in load order. Built-in modules are left out.
    pub fn in_load_order<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a str>,
    ) -> Result<Vec<Module>, ModuleError> {
        self.in_load_order_within(wanted, limits::MODULES_BYTES)
    }

    /// The same with a limit for what all of them unpack to.
    fn in_load_order_within<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a str>,
        most_bytes: u64,
    ) -> Result<Vec<Module>, ModuleError> {
        let mut order = Vec::new();
        for name in wanted {
            self.add(&canonical(name), &mut order, &mut Vec::new(), most_bytes)?;
        }
        Ok(order)
    }

    /// `above` are the modules that wait for this one, with their lengths: they are in memory too.
    fn add(
        &self,
        name: &str,
        order: &mut Vec<Module>,
        above: &mut Vec<(String, u64)>,
        most_bytes: u64,
    ) -> Result<(), ModuleError> {
        if order.iter().any(|module| module.name == name)
            || self.built_in.contains(name)
            || above.iter().any(|(waiting, _)| waiting == name)
        {
            return Ok(());
        }
        let packed = self
            .loadable
            .get(name)
            .ok_or_else(|| ModuleError::Unknown {
                name: name.to_owned(),
                hint: did_you_mean(name, self.loadable.keys().map(String::as_str)),
            })?;
        let damaged = |reason: String| ModuleError::Damaged {
            name: name.to_owned(),
            reason,
        };
        if above.len() == limits::MODULE_CHAIN {
            let reason = format!("it is the end of a chain of {} dependencies", above.len());
            return Err(damaged(reason));
        }
        let ordered = order.iter().map(|module| module.contents.len() as u64);
        let waiting = above.iter().map(|(_, bytes)| *bytes);
        let unpacked: u64 = ordered.chain(waiting).sum();
        let contents = packed
            .unpack(most_bytes.saturating_sub(unpacked))
            .map_err(|error| damaged(error.to_string()))?;
        above.push((name.to_owned(), contents.len() as u64));
        // A soft dependency is optional: without it the kernel still loads the module.
        let optional = soft_dependencies(&contents);
        for module in optional.iter().filter(|module| self.has(module)) {
            self.add(module, order, above, most_bytes)?;
        }
        for needed in dependencies(&contents) {
            self.add(&needed, order, above, most_bytes)?;
        }
        above.pop();
        order.push(Module {
            name: name.to_owned(),
            contents,
        });
        Ok(())
    }
}

impl Packed {
    fn unpack(&self, most_bytes: u64) -> io::Result<Vec<u8>> {
        let packed = &self.bytes[..];
        let mut contents = Vec::new();
        if self.is_xz {
            let unpacked = XzReader::new_mem_limit(packed, true, limits::XZ_MEMORY_KIB);
            AtMost::new(unpacked, most_bytes).read_to_end(&mut contents)?;
        } else {
            AtMost::new(packed, most_bytes).read_to_end(&mut contents)?;
        }
        Ok(contents)
    }
}

/// A module's name as the kernel writes it.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The modules that a module needs: `depends=a,b` in its `.modinfo` section.
fn dependencies(module: &[u8]) -> Vec<String> {
    let value = module_info(module, b"\0depends=").next();
    let names = value.iter().flat_map(|value| value.split(','));
    names
        .filter(|name| !name.is_empty())
        .map(canonical)
        .collect()
}

/// Modules to load before a module, if they exist: `softdep=pre: a b post: c`.
fn soft_dependencies(module: &[u8]) -> Vec<String> {
    let mut names = Vec::new();
    for value in module_info(module, b"\0softdep=") {
        let mut before = false;
        for word in value.split_whitespace() {
            match word {
                "pre:" => before = true,
                "post:" => before = false,
                name if before => names.push(canonical(name)),
                _ => {}
            }
        }
    }
    names
}

/// The texts after `key`, each terminated by NUL.
fn module_info<'a>(module: &'a [u8], key: &'a [u8]) -> impl Iterator<Item = String> + 'a {
    let mut rest = module;
    std::iter::from_fn(move || {
        let at = rest.windows(key.len()).position(|window| window == key)?;
        let value = &rest[at + key.len()..];
        let end = value.iter().position(|&byte| byte == 0)?;
        // The NUL that ends this text may start the next key.
        rest = &value[end..];
        Some(String::from_utf8_lossy(&value[..end]).into_owned())
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn modules(files: &[(&str, &str)]) -> Modules {
        let mut modules = Modules::default();
        for (path, contents) in files {
            modules
                .add_file(
                    &format!("usr/lib/modules/6.1/{path}"),
                    &mut contents.as_bytes(),
                )
                .unwrap();
        }
        modules
    }

    fn order(modules: &Modules, wanted: &[&str]) -> Result<Vec<String>, String> {
        let order = modules.in_load_order(wanted.iter().copied());
        order
            .map(|order| order.into_iter().map(|module| module.name).collect())
            .map_err(|error| error.to_string())
    }

    #[test]
    fn dependencies_are_loaded_first() {
        let modules = modules(&[
            ("kernel/uvc-video.ko", "ELF\0license=x\0depends=core,usb\0"),
            ("kernel/core.ko", "ELF\0depends=\0"),
            (
                "kernel/usb.ko",
                "ELF\0softdep=pre: hub gone post: late\0depends=core\0",
            ),
            ("kernel/hub.ko", "ELF\0depends=usb\0"),
            ("kernel/late.ko", "ELF\0depends=\0"),
            ("modules.builtin", "kernel/fb/fb-simple.ko\n"),
            ("modules.order", "nothing of interest"),
        ]);
        let expected: Vec<String> = ["core", "hub", "usb", "uvc_video"]
            .map(str::to_owned)
            .into();
        let wanted = ["uvc-video", "usb", "fb_simple"];
        assert_eq!(order(&modules, &wanted).unwrap(), expected);
        assert_eq!(
            order(&modules, &["uvc_vidio"]).unwrap_err(),
            "the kernel has no module `uvc_vidio`, did you mean `uvc_video`?"
        );
        assert!(modules.has("fb-simple") && !modules.has("gone"));
    }

    #[test]
    fn modules_that_wait_for_others_count_against_the_limit_too() {
        let chain = ["ELF\0depends=b\0", "ELF\0depends=c\0", "ELF\0depends=\0"];
        let bytes: usize = chain.map(str::len).iter().sum();
        let [a, b, c] = chain;
        let modules = modules(&[("a.ko", a), ("b.ko", b), ("c.ko", c)]);
        let within = |bytes: usize| modules.in_load_order_within(["a"], bytes as u64);
        assert_eq!(within(bytes).unwrap().len(), 3);
        let error = within(bytes - 1).err().unwrap().to_string();
        assert!(
            error.starts_with("the kernel's module `c` is damaged: it unpacks to more than"),
            "{error}"
        );
    }

    #[test]
    fn a_damaged_module_is_reported() {
        let modules = modules(&[("kernel/a.ko.xz", "no xz"), ("kernel/b.ko.zst", "?")]);
        let error = order(&modules, &["a"]).unwrap_err();
        assert!(
            error.starts_with("the kernel's module `a` is damaged"),
            "{error}"
        );
        assert!(order(&modules, &["b"]).is_err());
    }
}
