//! No module imports from one above it, so that none stands in a circle: the order of `src`, and of the rooms of `src/network`.
//!
//! It goes by the text: every path from `crate` or `super` on, outside of comments and of what is compiled for tests only.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of the program, the lowest first: each may import from those before it.
const MODULES: &[&str] = &[
    "built_in",
    "clock",
    "poll",
    "escaped",
    "failure",
    "output",
    "limits",
    "memory",
    "panics",
    "guard",
    "named",
    "data_roots",
    "toml_file",
    "stats",
    "mbr",
    "fat_volume",
    "slot",
    "jpeg",
    "frame",
    "spec",
    "network",
    "model",
    "camera",
    "preprocess",
    "decide",
    "show",
    "board",
    "care",
    "device",
    "update",
    "firmware",
    "image",
    "flash",
    "commands",
];

/// The rooms of `src/network`, the lowest first. `mod.rs`, which stands for the whole, is above them.
const ROOMS: &[&str] = &[
    "error", "deadline", "graph", "onnx", "rewrite", "lower", "kernels", "run", "plan", "fused",
    "tract", "load",
];

/// What is not a module's name at the root of the crate, and the module that it is from.
const AT_ROOT: &[(&str, &str)] = &[("Cause", "failure"), ("Failure", "failure")];

/// A file of the crate and the path of its module, `network::run`.
struct Source {
    file: PathBuf,
    module: Vec<String>,
    text: String,
}

/// A line of a file, its number, and the module that it is in.
struct Line<'a> {
    number: usize,
    module: Vec<String>,
    text: &'a str,
}

/// One import: where it stands, and the absolute path.
struct Import {
    file: PathBuf,
    line: usize,
    from: Vec<String>,
    to: Vec<String>,
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut sources = Vec::new();
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let inside = path.strip_prefix(root.join("src")).unwrap();
            if inside.extension().is_none_or(|e| e != "rs") {
                continue;
            }
            let inside = inside.with_extension("");
            let mut module: Vec<String> = inside
                .components()
                .map(|part| part.as_os_str().to_str().unwrap().to_owned())
                .collect();
            if ["mod", "lib"].contains(&module.last().unwrap().as_str()) {
                module.pop();
            }
            sources.push(Source {
                text: fs::read_to_string(&path).unwrap(),
                file: path.strip_prefix(root).unwrap().to_owned(),
                module,
            });
        }
    }
    // `x_tests.rs` is a module `tests` inside of `x`, by `#[path]`.
    let for_tests = |s: &Source| s.module.iter().any(|name| name.ends_with("_tests"));
    let is_root = |s: &Source| s.module == ["main"] || s.module == ["compute"];
    sources.retain(|s| !is_root(s) && !for_tests(s));
    sources
}

/// The lines of a file that are compiled outside of tests, and the modules in files of their own that are for tests.
fn lines_outside_of_tests(source: &Source) -> (Vec<Line<'_>>, Vec<Vec<String>>) {
    let (mut lines, mut test_modules) = (Vec::new(), Vec::new());
    let mut module = source.module.clone();
    // Inline modules that are open: how far each is indented.
    let mut open: Vec<usize> = Vec::new();
    let mut skip_to: Option<String> = None;
    let mut for_tests = false;
    for (i, line) in source.text.lines().enumerate() {
        let bare = line.trim_start();
        let indent = line.len() - bare.len();
        if let Some(end) = &skip_to {
            if line == end {
                skip_to = None;
            }
            continue;
        }
        if bare.starts_with("//") {
            continue;
        }
        if bare.starts_with("#[cfg(test)]") {
            for_tests = true;
            continue;
        }
        if for_tests {
            if bare.starts_with("#[") {
                continue;
            }
            for_tests = false;
            if let Some(name) = bare.split("mod ").nth(1).and_then(|n| n.strip_suffix(';')) {
                test_modules.push([&module[..], &[name.to_owned()]].concat());
            }
            if bare.ends_with('{') {
                skip_to = Some(format!("{}}}", " ".repeat(indent)));
            }
            continue;
        }
        if let Some(inline) = bare.strip_suffix(" {").and_then(|b| b.split("mod ").nth(1))
            && inline.chars().all(|c| c.is_alphanumeric() || c == '_')
        {
            module.push(inline.to_owned());
            open.push(indent);
        }
        if bare == "}" && open.last() == Some(&indent) {
            open.pop();
            module.pop();
        }
        lines.push(Line {
            number: i + 1,
            module: module.clone(),
            text: line,
        });
    }
    (lines, test_modules)
}

/// The paths of a tree, `a::{b, c::d}`, up to where it ends.
fn paths(tree: &str) -> Vec<Vec<String>> {
    let tree = tree.trim_start();
    if let Some(list) = tree.strip_prefix('{') {
        let (mut all, mut depth, mut start) = (Vec::new(), 0, 0);
        for (i, c) in list.char_indices() {
            match c {
                '{' => depth += 1,
                '}' if depth > 0 => depth -= 1,
                ',' | '}' if depth == 0 => {
                    all.extend(paths(&list[start..i]).into_iter().filter(|p| !p.is_empty()));
                    start = i + 1;
                    if c == '}' {
                        break;
                    }
                }
                _ => {}
            }
        }
        return all;
    }
    let end = tree.find(|c: char| !c.is_alphanumeric() && c != '_');
    let (name, rest) = tree.split_at(end.unwrap_or(tree.len()));
    if name.is_empty() {
        return vec![Vec::new()];
    }
    let rest = rest.strip_prefix("::").map_or(vec![Vec::new()], paths);
    rest.into_iter()
        .map(|path| [&[name.to_owned()], &path[..]].concat())
        .collect()
}

/// Where `path`, which begins with `crate`, `self` or `super`, leads from a module.
fn absolute(module: &[String], path: &[String]) -> Vec<String> {
    let ups = path.iter().take_while(|p| *p == "super").count();
    let base = match path[0].as_str() {
        "crate" => &[],
        _ => &module[..module.len().saturating_sub(ups)],
    };
    let mut path = [base, &path[ups.max(1)..]].concat();
    if let Some(first) = path.first_mut()
        && let Some((_, module)) = AT_ROOT.iter().find(|(item, _)| item == first)
    {
        (*module).clone_into(first);
    }
    path
}

fn imports() -> Vec<Import> {
    let sources = sources();
    assert!(sources.len() > 200, "only {} files", sources.len());
    let mut read = Vec::new();
    let mut test_modules = BTreeSet::new();
    for source in &sources {
        let (lines, tests) = lines_outside_of_tests(source);
        test_modules.extend(tests);
        read.push((source, lines));
    }
    let mut imports = Vec::new();
    for (source, lines) in read {
        if (1..=source.module.len()).any(|n| test_modules.contains(&source.module[..n])) {
            continue;
        }
        for (at, line) in lines.iter().enumerate() {
            let text = line.text;
            for (start, _) in text
                .match_indices("crate::")
                .chain(text.match_indices("super::"))
            {
                let before = text[..start].chars().next_back();
                if before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == ':') {
                    continue;
                }
                // A list may go over many lines.
                let rest = lines[at + 1..].iter().take(40).map(|l| l.text);
                let tree: Vec<&str> = std::iter::once(&text[start..]).chain(rest).collect();
                for path in paths(&tree.join("\n")) {
                    imports.push(Import {
                        file: source.file.clone(),
                        line: line.number,
                        from: line.module.clone(),
                        to: absolute(&line.module, &path),
                    });
                }
            }
        }
    }
    imports
}

/// How high a path of modules stands in an order, by the name at `depth`; what has none stands for the whole, above all.
fn height(order: &[&str], path: &[String], depth: usize) -> usize {
    let name = path.get(depth).map(String::as_str);
    let at = order.iter().position(|module| Some(*module) == name);
    at.unwrap_or(order.len())
}

#[test]
fn nothing_is_imported_from_above() {
    let imports = imports();
    assert!(imports.len() > 1000, "only {} imports", imports.len());
    let mut wrong = Vec::new();
    for import in &imports {
        let Import {
            file,
            line,
            from,
            to,
        } = import;
        let mut up = height(MODULES, from, 0) < height(MODULES, to, 0);
        if from.first() == to.first() && from[..1] == ["network"] {
            up = height(ROOMS, from, 1) < height(ROOMS, to, 1);
        }
        if up {
            wrong.push(format!(
                "{}:{line}: {} imports {}, which stands above it",
                file.display(),
                from.join("::"),
                to.join("::")
            ));
        }
    }
    wrong.dedup();
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Modules of one folder that import each other, over however many others.
#[test]
fn no_circle_in_any_folder() {
    let modules: BTreeSet<Vec<String>> = sources().into_iter().map(|s| s.module).collect();
    // In each folder, which module imports which.
    let mut edges: BTreeMap<Vec<String>, BTreeSet<(String, String)>> = BTreeMap::new();
    for Import { from, to, .. } in imports() {
        let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
        let (Some(user), Some(used)) = (from.get(common), to.get(common)) else {
            continue;
        };
        if modules.contains(&to[..=common]) && modules.contains(&from[..=common]) {
            let folder = edges.entry(from[..common].to_vec()).or_default();
            folder.insert((user.clone(), used.clone()));
        }
    }
    let mut wrong = Vec::new();
    for (folder, mut edges) in edges {
        // Modules without an import, or that nobody imports, are in no circle.
        loop {
            let users: BTreeSet<_> = edges.iter().map(|(user, _)| user.clone()).collect();
            let used: BTreeSet<_> = edges.iter().map(|(_, used)| used.clone()).collect();
            let before = edges.len();
            edges.retain(|(a, b)| used.contains(a) && users.contains(b));
            if edges.len() == before {
                break;
            }
        }
        let edges = edges.iter().map(|(a, b)| format!("{a} -> {b}"));
        let edges = edges.collect::<Vec<_>>().join(", ");
        if !edges.is_empty() {
            wrong.push(format!("{}: {edges}", folder.join("::")));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A module that is in no list is in no order.
#[test]
fn every_module_is_in_the_lists() {
    for (folder, order) in [("src", MODULES), ("src/network", ROOMS)] {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        let names = fs::read_dir(root).unwrap().map(|e| e.unwrap().path());
        let names: BTreeSet<String> = names
            .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
            .filter(|name| !["lib", "main", "compute", "mod", "README"].contains(&name.as_str()))
            .collect();
        let listed: BTreeSet<String> = order.iter().map(|&m| m.to_owned()).collect();
        assert_eq!(names, listed, "{folder}");
    }
    // Each is described at the head of the crate.
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs");
    let head = fs::read_to_string(root).unwrap();
    let described = |name: &&str| head.contains(&format!("\n//! {name:10} "));
    let missing: Vec<_> = MODULES.iter().filter(|name| !described(name)).collect();
    assert!(
        missing.is_empty(),
        "src/lib.rs does not describe {missing:?}"
    );
}

/// The files that may hold unsafe code outside of their tests: folders, or the beginning of a file's name.
const UNSAFE: &[&str] = &[
    // Kernels, and the only place that turns an offset into a pointer; the mapped results of an island.
    "src/network/kernels/",
    "src/network/run/",
    "src/network/tract/island.rs",
    "src/preprocess/lanes/",
    // The pool, and limits of the process.
    "src/memory",
    // System calls.
    "src/camera/v4l2/media/",
    "src/camera/v4l2/node.rs",
    "src/camera/v4l2/stream.rs",
    "src/care/mailbox_sys.rs",
    "src/clock.rs",
    "src/firmware/",
    "src/poll.rs",
    "src/show/drm/buffer.rs",
    "src/show/fb_sys.rs",
    "src/update/mod.rs",
];

#[test]
fn unsafe_code_is_in_few_files() {
    let mut found = BTreeSet::new();
    for source in sources() {
        let (lines, _) = lines_outside_of_tests(&source);
        let is_unsafe = |line: &&Line<'_>| {
            let code = line.text.split("//").next().unwrap_or_default();
            code.split(|c: char| !c.is_alphanumeric() && c != '_')
                .any(|word| word == "unsafe")
        };
        let file = source.file.to_str().unwrap();
        let is_for_tests = file.contains("/tests/") || file.ends_with("tests.rs");
        if is_for_tests || file.starts_with("src/camera/v4l2-sys/") {
            continue;
        }
        if let Some(line) = lines.iter().find(is_unsafe) {
            let listed = UNSAFE.iter().find(|listed| file.starts_with(**listed));
            let listed = listed.unwrap_or_else(|| {
                panic!(
                    "{file}:{}: unsafe code in a file that is not listed for it",
                    line.number
                )
            });
            found.insert(*listed);
        }
    }
    let all: BTreeSet<_> = UNSAFE.iter().copied().collect();
    assert_eq!(found, all, "listed without need");
}
