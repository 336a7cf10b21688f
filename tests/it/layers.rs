//! A module imports from lower layers only. This test holds the list.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Modules by layer, lowest first; modules of one layer don't import each other, but for those that `WITHIN` names.
const LAYERS: [&[&str]; 11] = [
    &["stats", "text", "durable", "digest", "money", "clock", "seed"],
    &["dataset", "prompt", "config", "worker"],
    &["model"],
    &["score"],
    &["eval"],
    &["diagnose"],
    &["propose"],
    &["run"],
    &["search"],
    &["report", "review"],
    &["project"],
];

/// Imports within a layer: (importer, imported). No cycle among them.
const WITHIN: [(&str, &str); 6] = [
    ("seed", "digest"),
    ("stats", "seed"),
    ("text", "seed"),
    ("prompt", "dataset"),
    ("config", "dataset"),
    ("review", "report"),
];

#[test]
fn every_module_imports_from_lower_layers_only() {
    let layer_of: BTreeMap<&str, usize> = LAYERS
        .iter()
        .enumerate()
        .flat_map(|(layer, modules)| modules.iter().map(move |module| (*module, layer)))
        .collect();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in rust_files(&source) {
        let within = file.strip_prefix(&source).unwrap();
        let first = within.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
        let module = first.trim_end_matches(".rs");
        if ["lib", "main", "cli"].contains(&module) {
            continue;
        }
        let layer = *layer_of.get(module).unwrap_or_else(|| panic!("src/{module} is in no layer: add it to the list"));
        for imported in imports(&std::fs::read_to_string(&file).unwrap()) {
            let Some(below) = layer_of.get(imported.as_str()) else { continue };
            seen += 1;
            let allowed = imported == module || *below < layer || WITHIN.contains(&(module, imported.as_str()));
            if !allowed {
                wrong.push(format!("{} imports {imported}", within.display()));
            }
        }
    }
    assert!(seen > 100, "only {seen} imports were seen: is the test still looking at the right place?");
    assert!(wrong.is_empty(), "upward imports:\n{}", wrong.join("\n"));
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// Top-level modules named after `crate::`, also in braces, outside comments.
fn imports(text: &str) -> Vec<String> {
    let code: String = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut found = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            Some(list) => list.split('}').next().unwrap_or("").split(',').collect(),
            None => vec![rest],
        };
        for name in names {
            let name: String = name.trim().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
            found.push(name);
        }
    }
    found
}

#[test]
fn imports_are_found_in_plain_and_braced_form() {
    assert_eq!(imports("use crate::model::Call;\nuse crate::{eval::Outcome, run};"), ["model", "eval", "run"]);
    assert!(imports("//! see [`crate::search`]").is_empty());
}
