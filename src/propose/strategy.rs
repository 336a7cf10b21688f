//! Strategies: files that say how to ask for one kind of edit, and when it applies. The built-in ones are compiled in;
//! a project adds its own and overrides these by files of the same name.

use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::FREE;
use crate::diagnose::FailureCluster;

/// The kinds of failure that a strategy can be for.
const KINDS: [&str; 6] = ["confusion", "format", "refusal", "empty", "truncated", "criterion"];

/// The built-in strategies: name and file.
const BUILT_IN: [(&str, &str); 8] = [
    ("add-rule", include_str!("../../strategies/add-rule.md")),
    ("boundary-examples", include_str!("../../strategies/boundary-examples.md")),
    ("clarify-task", include_str!("../../strategies/clarify-task.md")),
    ("define-boundary", include_str!("../../strategies/define-boundary.md")),
    ("define-labels", include_str!("../../strategies/define-labels.md")),
    ("output-format", include_str!("../../strategies/output-format.md")),
    ("prune", include_str!("../../strategies/prune.md")),
    ("restructure", include_str!("../../strategies/restructure.md")),
];

/// Where a strategy comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Origin {
    /// Compiled in.
    #[default]
    BuiltIn,
    /// A file of the project.
    Project,
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Origin::BuiltIn => "built-in",
            Origin::Project => "project",
        })
    }
}

/// A way to ask for one kind of edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Strategy {
    /// Its name: the file's stem.
    pub name: String,
    /// One line for people.
    pub summary: String,
    /// The kinds of failure it is for (`confusion`, `format`, `refusal`, `empty`, `truncated`, `criterion`); empty for
    /// strategies that look at the task as a whole.
    pub kinds: Vec<String>,
    /// Whether its job is to quote train rows as examples.
    pub quotes_rows: bool,
    /// Whether it is for tasks of labels alone: it is shown train rows of every label, and is the first of those for the
    /// task as a whole to be asked.
    #[serde(default)]
    pub of_labels: bool,
    /// The instruction to the proposer.
    pub instruction: String,
    /// Where it comes from.
    #[serde(default)]
    pub origin: Origin,
}

impl Strategy {
    /// Whether it can be asked to mend `cluster`; `None` stands for the task as a whole.
    pub fn applies_to(&self, cluster: Option<&FailureCluster>) -> bool {
        match cluster {
            None => self.kinds.is_empty(),
            Some(cluster) => self.kinds.iter().any(|kind| kind == cluster.kind.name()),
        }
    }
}

/// What is wrong with the strategies that a project asks for.
#[derive(Debug, thiserror::Error)]
pub enum StrategyError {
    /// A file or the folder could not be read.
    #[error("{}: can't read it: {error}", .path.display())]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file is not a strategy.
    #[error("{file}:{line}: {message}")]
    Malformed {
        /// The file as the user knows it.
        file: String,
        /// 1-based.
        line: usize,
        /// What was found and what to write.
        message: String,
    },
    /// A strategy that is to be left out doesn't exist.
    #[error("there is no strategy `{name}` to disable; {}", suggestion(.name, .known))]
    Unknown {
        /// The name given.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
}

/// The nearest known name, or all of them where none is near.
fn suggestion(name: &str, known: &[String]) -> String {
    let near = known
        .iter()
        .map(|other| (strsim::damerau_levenshtein(name, other), other))
        .filter(|(distance, other)| *distance <= other.len().div_ceil(3))
        .min();
    match near {
        Some((_, other)) => format!("did you mean `{other}`?"),
        None => format!("there are {}", known.join(", ")),
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FrontMatter {
    summary: String,
    kinds: Vec<String>,
    #[serde(default)]
    quotes_rows: bool,
    #[serde(default)]
    of_labels: bool,
}

/// The built-in strategies and those in `dir` (`*.md`; one named like a built-in strategy takes its place), without
/// the `disabled` ones, sorted by name. A folder that doesn't exist holds none, and neither does an empty file: a shell
/// makes one before it runs the command whose output is to go there. What needs no model ([`FREE`]) may be named in
/// `disabled` too.
///
/// # Errors
/// A file that can't be read or is no strategy (with its line), or a name in `disabled` that no strategy has.
pub fn load_strategies(dir: Option<&Path>, disabled: &[String]) -> Result<Vec<Arc<Strategy>>, StrategyError> {
    let mut strategies = Vec::new();
    for (name, text) in BUILT_IN {
        strategies.push(parse(name, &format!("strategies/{name}.md"), text, Origin::BuiltIn)?);
    }
    for path in dir.map_or(Ok(Vec::new()), files)? {
        let text = fs::read_to_string(&path).map_err(|error| StrategyError::Read { path: path.clone(), error })?;
        if text.is_empty() {
            continue;
        }
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let own = parse(&name, &path.display().to_string(), &text, Origin::Project)?;
        match strategies.iter_mut().find(|strategy| strategy.name == own.name) {
            // An unchanged copy of a built-in strategy is that strategy.
            Some(known) if (Strategy { origin: known.origin, ..own.clone() }) == *known => {}
            Some(known) => *known = own,
            None => strategies.push(own),
        }
    }
    strategies.sort_by(|left, right| left.name.cmp(&right.name));
    let is_known =
        |name: &String| FREE.contains(&name.as_str()) || strategies.iter().any(|strategy| strategy.name == *name);
    if let Some(name) = disabled.iter().find(|name| !is_known(name)) {
        let free = FREE.iter().map(ToString::to_string);
        let known = strategies.iter().map(|strategy| strategy.name.clone()).chain(free).collect();
        return Err(StrategyError::Unknown { name: name.clone(), known });
    }
    strategies.retain(|strategy| !disabled.contains(&strategy.name));
    Ok(strategies.into_iter().map(Arc::new).collect())
}

/// The strategy files in `dir`, sorted. `README.md` is for people.
fn files(dir: &Path) -> Result<Vec<PathBuf>, StrategyError> {
    let failed = |error| StrategyError::Read { path: dir.to_path_buf(), error };
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut files = Vec::new();
    for entry in entries {
        let path = entry.map_err(failed)?.path();
        let is_readme = path.file_stem().is_some_and(|stem| stem.eq_ignore_ascii_case("readme"));
        if path.extension().is_some_and(|extension| extension == "md") && !is_readme {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Reads one strategy. `file` is its name in errors.
fn parse(name: &str, file: &str, text: &str, origin: Origin) -> Result<Strategy, StrategyError> {
    let malformed =
        |line: usize, message: String| Err(StrategyError::Malformed { file: file.to_owned(), line, message });
    let text = text.trim_start_matches('\u{feff}').replace("\r\n", "\n");
    let Some(rest) = text.strip_prefix("---\n") else {
        let message = "a strategy opens with front matter: a line `---`, then `summary`, `kinds` and `quotes_rows`, \
                       then a line `---`";
        return malformed(1, message.to_owned());
    };
    let Some((yaml, body)) = rest.split_once("\n---\n").or_else(|| rest.strip_suffix("\n---").map(|yaml| (yaml, "")))
    else {
        return malformed(1, "front matter opens here and is never closed: end it with a line `---`".to_owned());
    };
    let front: FrontMatter = match serde_saphyr::from_str(yaml) {
        Ok(front) => front,
        Err(error) => {
            let line = error.location().map_or(1, |at| at.line() as usize);
            let reason = error.without_snippet().to_string();
            // The YAML begins on line 2 of the file.
            return malformed(line + 1, reason.lines().next().unwrap_or_default().to_owned());
        }
    };
    let line_of = |key: &str| yaml.lines().position(|line| line.starts_with(key)).map_or(2, |line| line + 2);
    if let Some(kind) = front.kinds.iter().find(|kind| !KINDS.contains(&kind.as_str())) {
        let message = format!("`{kind}` is no kind of failure; there are {}", KINDS.join(", "));
        return malformed(line_of("kinds"), message);
    }
    if body.trim().is_empty() {
        let message = "there is no instruction: below the front matter, write what the proposer is to do";
        return malformed(yaml.lines().count() + 2, message.to_owned());
    }
    Ok(Strategy {
        name: name.to_owned(),
        summary: front.summary,
        kinds: front.kinds,
        quotes_rows: front.quotes_rows,
        of_labels: front.of_labels,
        instruction: body.trim().to_owned(),
        origin,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(strategies: &[Arc<Strategy>]) -> Vec<&str> {
        strategies.iter().map(|strategy| strategy.name.as_str()).collect()
    }

    #[test]
    fn the_built_in_strategies_load_and_every_kind_of_failure_but_the_whole_task_has_one() {
        let strategies = load_strategies(None, &[]).unwrap();
        assert_eq!(strategies.len(), 8);
        for kind in KINDS {
            assert!(strategies.iter().any(|strategy| strategy.kinds.iter().any(|of| of == kind)), "{kind}");
        }
        assert!(strategies.iter().any(|strategy| strategy.applies_to(None)));
        let quoting = strategies.iter().filter(|strategy| strategy.quotes_rows).count();
        assert_eq!(quoting, 1);
        for strategy in strategies {
            assert!(!strategy.instruction.lines().any(|line| line.starts_with('#')), "{}", strategy.name);
        }
    }

    #[test]
    fn a_project_adds_overrides_and_disables_strategies() {
        let dir = tempfile::tempdir().unwrap();
        let own = "---\nsummary: Mine\nkinds: [format]\n---\nDo it my way.\n";
        fs::write(dir.path().join("prune.md"), own).unwrap();
        fs::write(dir.path().join("tone.md"), own).unwrap();
        fs::write(dir.path().join("README.md"), "About these files").unwrap();
        fs::write(dir.path().join("being-written.md"), "").unwrap();
        fs::write(dir.path().join("restructure.md"), include_str!("../../strategies/restructure.md")).unwrap();
        let strategies = load_strategies(Some(dir.path()), &["add-rule".to_owned()]).unwrap();
        let expected = [
            "boundary-examples",
            "clarify-task",
            "define-boundary",
            "define-labels",
            "output-format",
            "prune",
            "restructure",
            "tone",
        ];
        assert_eq!(names(&strategies), expected);
        let origins: Vec<Origin> = strategies[5..].iter().map(|strategy| strategy.origin).collect();
        assert_eq!(origins, [Origin::Project, Origin::BuiltIn, Origin::Project]);
        assert_eq!(strategies[5].instruction, "Do it my way.");
        assert_eq!(load_strategies(Some(&dir.path().join("none")), &[]).unwrap().len(), 8);
    }

    #[test]
    fn an_unknown_name_to_disable_is_an_error_with_the_nearest_name() {
        let error = |name: &str| load_strategies(None, &[name.to_owned()]).unwrap_err().to_string();
        assert_eq!(error("prun"), "there is no strategy `prun` to disable; did you mean `prune`?");
        assert!(error("xyz").ends_with(
            "there are add-rule, boundary-examples, clarify-task, define-boundary, define-labels, output-format, prune, \
             restructure, format-line, balanced-examples, leave-out"
        ));
        assert_eq!(load_strategies(None, &["format-line".to_owned()]).unwrap().len(), 8);
    }

    #[test]
    fn a_malformed_file_is_an_error_with_its_line() {
        let error = |text: &str| parse("s", "strategies/s.md", text, Origin::Project).unwrap_err().to_string();
        assert!(error("Do it.").starts_with("strategies/s.md:1: a strategy opens with front matter"));
        assert!(error("---\nsummary: x\n").starts_with("strategies/s.md:1: front matter opens here"));
        let kind = error("---\nsummary: x\nkinds: [fromat]\n---\nDo it.\n");
        assert!(kind.starts_with("strategies/s.md:3: `fromat` is no kind of failure"), "{kind}");
        let key = error("---\nsummary: x\nkinds: []\nquote_rows: true\n---\nDo it.\n");
        assert!(key.starts_with("strategies/s.md:4: ") && key.contains("quote_rows"), "{key}");
        assert!(error("---\nsummary: x\nkinds: []\n---\n\n").contains("there is no instruction"));
    }
}
