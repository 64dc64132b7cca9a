//! The folders of the code: each uses only those below it, by imports and by calls, and no crate has a circle of modules.
//!
//! The sources are read as text: `use` trees, paths that begin with `crate` or `super`, and calls of methods of `Handoff`, `Inbox` and `Vendors`.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The modules of `shared`, lowest first; those of one line do not use one another.
const SHARED: [&[&str]; 14] = [
    &["ids", "redacted", "text", "clock", "telemetry", "cause", "fail_point"],
    &["metrics", "aws", "background"],
    &["model"],
    &["odd"],
    &["http"],
    &["media"],
    &["secrets", "livechat", "botpress", "botcopy"],
    &["store"],
    &["bridge"],
    &["config"],
    &["api"],
    &["operator"],
    &["handoff"],
    &["lib"],
];

/// The types to which the folders of `handoff` add methods. The compiler keeps each from the methods of those after it.
const OBJECTS: [&str; 3] = ["Vendors", "Inbox", "Handoff"];

/// The folders of `handoff`, lowest first.
const HANDOFF: [&[&str]; 8] =
    [&["error"], &["vendors"], &["auth"], &["inbox"], &["delivery"], &["session"], &["upkeep"], &["verbs"]];

/// A module and its code, without comments and unit tests.
struct Source {
    module: String,
    code: String,
}

impl Source {
    fn new(module: &str, text: &str) -> Self {
        let product = text.split("#[cfg(test)]\nmod tests").next().unwrap();
        let lines = product.lines().map(|line| line.split("//").next().unwrap());
        Self { module: module.to_owned(), code: lines.collect::<Vec<_>>().join("\n") }
    }

    /// Returns the folder below `parent` that the module is in.
    fn folder<'a>(&'a self, parent: &str) -> Option<&'a str> {
        first(below(&self.module, parent)?)
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Returns the modules of a crate, without separate programs (`src/bin`) and files of tests.
fn sources(name: &str) -> Vec<Source> {
    let directory = root().join(name).join("src");
    let mut sources = Vec::new();
    let mut left = vec![directory.clone()];
    while let Some(path) = left.pop() {
        if path.is_dir() {
            left.extend(fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path()));
            continue;
        }
        let name = path.strip_prefix(&directory).unwrap().with_extension("").display().to_string().replace('/', "::");
        let is_product = !name.starts_with("bin::") && !name.split("::").any(|part| part == "tests");
        if is_product && path.extension().is_some_and(|extension| extension == "rs") {
            let module = name.strip_suffix("::mod").unwrap_or(&name);
            sources.push(Source::new(module, &fs::read_to_string(path).unwrap()));
        }
    }
    sources
}

/// Returns the part of a path below `parent`, if the path leads there.
fn below<'a>(path: &'a str, parent: &str) -> Option<&'a str> {
    match parent {
        "" => Some(path),
        parent => path.strip_prefix(parent)?.strip_prefix("::"),
    }
}

fn first(path: &str) -> Option<&str> {
    path.split("::").next().filter(|part| !part.is_empty())
}

/// Returns all paths of a `use` tree.
fn leaves(tree: &str) -> Vec<String> {
    let Some((stem, rest)) = tree.split_once('{') else {
        return vec![tree.split(" as ").next().unwrap().trim().to_owned()];
    };
    let inner = rest.rsplit_once('}').map_or(rest, |(inner, _)| inner);
    let (mut branches, mut depth) = (vec![String::new()], 0_u32);
    for char in inner.chars() {
        match char {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                branches.push(String::new());
                continue;
            }
            _ => {}
        }
        branches.last_mut().unwrap().push(char);
    }
    let branches = branches.iter().map(|branch| branch.trim()).filter(|branch| !branch.is_empty());
    branches.flat_map(leaves).map(|leaf| format!("{}{leaf}", stem.trim())).collect()
}

/// Returns the paths of a module's imports and of everything else that it names from the top of its crate or from the module above.
fn paths(source: &Source) -> BTreeSet<String> {
    let mut paths = BTreeSet::new();
    let mut rest = String::new();
    for statement in source.code.split_inclusive(';') {
        let tree = statement.rsplit_once("use ").filter(|(before, _)| before.trim().is_empty() || ends_a_line(before));
        match tree {
            Some((before, tree)) => {
                rest.push_str(before);
                paths.extend(leaves(tree.trim_end_matches(';')));
            }
            None => rest.push_str(statement),
        }
    }
    let of_path = |char: char| char.is_alphanumeric() || char == '_' || char == ':';
    let named =
        rest.split(|char| !of_path(char)).filter(|path| path.starts_with("crate::") || path.starts_with("super::"));
    paths.extend(named.map(str::to_owned));
    paths.iter().filter_map(|path| absolute(&source.module, path)).collect()
}

/// Returns whether the text before a `use` is the end of something else, or a visibility.
fn ends_a_line(before: &str) -> bool {
    before.ends_with('\n') || before.ends_with("    ") || before.ends_with("pub ") || before.ends_with(") ")
}

/// Returns a path from the top of the crate; none for a path into another crate.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let (mut above, mut path) = (module, path.strip_prefix("self::").map_or(path, |path| path));
    if !path.starts_with("super::") {
        return None;
    }
    while let Some(rest) = path.strip_prefix("super::") {
        (above, path) = (above.rsplit_once("::").map_or("", |(above, _)| above), rest);
    }
    Some(if above.is_empty() { path.to_owned() } else { format!("{above}::{path}") })
}

/// Returns the height of a folder: the position of its group.
fn height(folders: &[&[&str]], folder: &str) -> Option<usize> {
    folders.iter().position(|group| group.contains(&folder))
}

/// Returns every use of a folder that is not below its user, and every folder that has no place in the order.
fn upward(sources: &[Source], parent: &str, folders: &[&[&str]]) -> Vec<String> {
    let mut found = Vec::new();
    for source in sources {
        let Some(folder) = source.folder(parent) else { continue };
        let Some(own) = height(folders, folder) else {
            found.push(format!("{} has no place in the order", source.module));
            continue;
        };
        for path in paths(source) {
            let Some(used) = below(&path, parent).and_then(first).filter(|used| *used != folder) else { continue };
            if height(folders, used).is_some_and(|used| used >= own) {
                found.push(format!("{} imports {path}", source.module));
            }
        }
    }
    found
}

/// Returns the module of each method of the [`OBJECTS`].
fn methods(sources: &[Source]) -> BTreeMap<String, String> {
    let mut methods = BTreeMap::new();
    for source in sources {
        let blocks = |object: &&str| {
            let header = format!("\nimpl {object} {{");
            let blocks = source.code.split(&header).skip(1).filter_map(|rest| rest.split("\n}").next());
            blocks.map(str::to_owned).collect::<Vec<_>>()
        };
        for block in OBJECTS.iter().flat_map(blocks) {
            for line in block.lines().filter(|line| line.starts_with("    ") && !line.starts_with("     ")) {
                let Some((before, after)) = line.split_once("fn ") else { continue };
                let is_method = before
                    .trim()
                    .split(' ')
                    .all(|word| word.is_empty() || word.starts_with("pub") || ["const", "async"].contains(&word));
                if is_method {
                    let name = after.split(['(', '<']).next().unwrap();
                    methods.insert(name.to_owned(), source.module.clone());
                }
            }
        }
    }
    methods
}

/// Returns the names of the methods that a module calls on one of the [`OBJECTS`].
fn calls(source: &Source) -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    let own = OBJECTS.iter().any(|object| source.code.contains(&format!("impl {object} {{"))).then_some("self");
    for object in own.into_iter().chain(["handoff", "inbox", "vendors"]) {
        for after in source.code.split(object).skip(1) {
            let Some(after) = after.trim_start().strip_prefix('.') else { continue };
            let name: String = after.chars().take_while(|char| char.is_alphanumeric() || *char == '_').collect();
            let after = &after[name.len()..];
            let after =
                after.strip_prefix("::<").and_then(|types| types.split_once('>')).map_or(after, |(_, after)| after);
            if after.starts_with('(') {
                calls.insert(name);
            }
        }
    }
    calls
}

/// Returns which module calls which by a method of one of the [`OBJECTS`], and the method.
fn called(sources: &[Source]) -> BTreeMap<(String, String), String> {
    let methods = methods(sources);
    let mut called = BTreeMap::new();
    for source in sources.iter().filter(|source| source.module.starts_with("handoff::")) {
        for name in calls(source) {
            let home = methods.get(&name).filter(|home| **home != source.module && *home != "handoff");
            if let Some(home) = home {
                called.insert((source.module.clone(), home.clone()), name);
            }
        }
    }
    called
}

/// Returns which module imports which; imports between a module and one inside it do not count.
fn imported(sources: &[Source]) -> BTreeMap<(String, String), String> {
    let modules: BTreeSet<_> = sources.iter().map(|source| source.module.as_str()).collect();
    let is_inside = |one: &str, other: &str| below(one, other).is_some() || below(other, one).is_some();
    let mut imported = BTreeMap::new();
    for source in sources.iter().filter(|source| !["lib", "main"].contains(&source.module.as_str())) {
        for path in paths(source) {
            let mut used = path.as_str();
            while !modules.contains(used)
                && let Some((above, _)) = used.rsplit_once("::")
            {
                used = above;
            }
            if modules.contains(used) && used != source.module && !is_inside(used, &source.module) {
                imported.insert((source.module.clone(), used.to_owned()), path.clone());
            }
        }
    }
    imported
}

/// Removes edges that cannot be part of a circle until none is found. Returns the rest.
fn circles(mut edges: BTreeMap<(String, String), String>) -> BTreeMap<(String, String), String> {
    loop {
        let from: BTreeSet<_> = edges.keys().map(|(from, _)| from.clone()).collect();
        let to: BTreeSet<_> = edges.keys().map(|(_, to)| to.clone()).collect();
        let before = edges.len();
        edges.retain(|(one, other), _| to.contains(one) && from.contains(other));
        if edges.len() == before {
            return edges;
        }
    }
}

#[test]
fn the_modules_of_the_shared_crate_import_only_what_is_below_them() {
    let sources = sources("shared");
    assert!(sources.len() > 100, "{}", sources.len());
    assert_eq!(upward(&sources, "", &SHARED), Vec::<String>::new());
}

#[test]
fn each_folder_of_the_handoff_uses_only_those_below_it() {
    let sources = sources("shared");
    assert_eq!(upward(&sources, "handoff", &HANDOFF), Vec::<String>::new());
    let called = called(&sources);
    assert!(called.len() > 60, "{called:?}");
    let folder = |module: &str| height(&HANDOFF, below(module, "handoff").and_then(first).unwrap()).unwrap();
    let upwards: Vec<_> = called.iter().filter(|((from, to), _)| folder(from) < folder(to)).collect();
    assert!(upwards.is_empty(), "{upwards:#?}");
    let circles = circles(called);
    assert!(circles.is_empty(), "{circles:#?}");
}

#[test]
fn no_crate_has_a_circle_of_modules() {
    for name in ["cli", "sandbox", "shared", "tests"] {
        let imported = imported(&sources(name));
        assert!(imported.len() > 10, "{name}: {imported:?}");
        let circles = circles(imported);
        assert!(circles.is_empty(), "{name}: {circles:#?}");
    }
}

#[test]
fn an_import_upwards_a_call_upwards_and_a_circle_are_found() {
    let object =
        "\nimpl Handoff {\n    pub(crate) async fn tell<C: Content>(\n        &self) {}\n    fn own(&self) {}\n}\n";
    let upper = Source::new("handoff::verbs::stop", &format!("use super::send::{{self, One}};\n{object}"));
    let caller = "\nimpl Handoff {\n    fn say(&self) {\n        self\n            .tell::<ToBot>(1);\n    }\n}\n";
    let lower = Source::new(
        "handoff::vendors::limits",
        &format!("use std::fmt;\n\nuse crate::handoff::verbs::stop::X;\n{caller}"),
    );
    let beside =
        Source::new("handoff::verbs::send", "fn f() {\n    super::stop::g();\n}\n// crate::handoff::verbs::stop\n");
    let sources = [upper, lower, beside];
    assert_eq!(upward(&sources, "handoff", &HANDOFF), ["handoff::vendors::limits imports handoff::verbs::stop::X"]);
    let called = called(&sources);
    let edge = ("handoff::vendors::limits".to_owned(), "handoff::verbs::stop".to_owned());
    assert_eq!(called, BTreeMap::from([(edge, "tell".to_owned())]));
    let circles = circles(imported(&sources));
    assert_eq!(circles.len(), 2, "{circles:?}");
}
