//! Where the rows come from, as `ratchet.toml` says it: the file, its format, and which column is which field.

use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::value::MapAccessDeserializer;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A dataset file and how to read it. In the config a plain string (`dataset = "tickets.jsonl"`) or a table
/// (`[dataset] path = "tickets.csv", fields = { input = "text", expected = "label" }`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Source {
    /// The file as the user wrote it, relative to `root`; messages name it like this.
    pub path: PathBuf,
    /// Which columns hold which fields.
    #[serde(skip_serializing_if = "Fields::is_default")]
    pub fields: Fields,
    /// The lock file that keeps the splits, relative to `root`. Without it: beside the dataset, its name with
    /// `.lock.json` added. For data in a folder that can't or shouldn't be written to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lock: Option<PathBuf>,
    /// The folder that `path` and `lock` are relative to (the project's root); empty is the working directory.
    #[serde(skip)]
    pub root: PathBuf,
}

impl Source {
    /// A file with the default column names, relative to the working directory.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), fields: Fields::default(), lock: None, root: PathBuf::new() }
    }

    /// The same source with its paths relative to `root`.
    pub fn under(mut self, root: impl Into<PathBuf>) -> Self {
        self.root = root.into();
        self
    }

    /// The dataset file to open.
    pub fn file(&self) -> PathBuf {
        self.root.join(&self.path)
    }

    /// The lock file as messages name it.
    pub fn lock_path(&self) -> PathBuf {
        match &self.lock {
            Some(path) => path.clone(),
            None => {
                let mut name = OsString::from(self.path.as_os_str());
                name.push(".lock.json");
                PathBuf::from(name)
            }
        }
    }

    /// The lock file to open.
    pub fn lock_file(&self) -> PathBuf {
        self.root.join(self.lock_path())
    }
}

/// The table form of a [`Source`].
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct SourceTable {
    /// The dataset file: .jsonl, .json, .csv, .tsv or .yaml. A .csv is read with semicolons, tabs or bars between its cells
    /// where its header has those and no comma, or with what a line `sep=;` above the header names.
    path: PathBuf,
    /// Which columns hold which fields.
    #[serde(default)]
    fields: Fields,
    /// The lock file that keeps the splits; by default beside the dataset.
    #[serde(default)]
    lock: Option<PathBuf>,
}

impl<'de> Deserialize<'de> for Source {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PathOrTable;

        // Not an untagged enum, which would swallow what is wrong within the table.
        impl<'de> Visitor<'de> for PathOrTable {
            type Value = Source;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the path of a dataset, or a table with `path` and `fields`")
            }

            fn visit_str<E: serde::de::Error>(self, path: &str) -> Result<Source, E> {
                Ok(Source::new(path))
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Source, A::Error> {
                let table = SourceTable::deserialize(MapAccessDeserializer::new(map))?;
                Ok(Source { path: table.path, fields: table.fields, lock: table.lock, root: PathBuf::new() })
            }
        }

        deserializer.deserialize_any(PathOrTable)
    }
}

impl JsonSchema for Source {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Source".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let table = generator.subschema_for::<SourceTable>();
        schemars::json_schema!({
            "description": "A dataset file, or a table that also says which columns hold which fields.",
            "anyOf": [{ "type": "string" }, table]
        })
    }
}

/// Which column holds which field of an example. A field that isn't mapped is read from the column of its own name,
/// where there is one. Columns that hold no field become metadata.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Fields {
    /// One column, or several that together make a map input, each a field of it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub input: Option<Columns>,
    /// The reference answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// A name unique within the dataset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// A list of tags, or a text with tags between `;` or `,`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// An object whose fields become metadata.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// True for rows that must not break.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pinned: Option<String>,
    /// A number above zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weight: Option<String>,
    /// Rows of one group always share a split.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// `train`, `dev` or `test`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
}

impl Fields {
    /// True when nothing is mapped.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The column of an input, or the columns of a map input.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged, expecting = "expected a column name or a list of column names")]
pub enum Columns {
    /// The input is what the column holds.
    One(String),
    /// The input is a map from these columns' names to what they hold.
    Several(Vec<String>),
}

/// The formats that a dataset may have, told apart by the file's extension.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line: `.jsonl`, `.ndjson`.
    Jsonl,
    /// An array of objects, or an object with such an array as `examples` or `data`: `.json`.
    Json,
    /// Comma-separated with a header line: `.csv`.
    Csv,
    /// Tab-separated with a header line: `.tsv`.
    Tsv,
    /// A list of maps, or a map with such a list as `examples` or `data`: `.yaml`, `.yml`.
    Yaml,
}

impl Format {
    /// The format of a file by its extension, in any case; none for an unknown extension.
    pub fn of(path: &Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "jsonl" | "ndjson" => Some(Self::Jsonl),
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            "tsv" => Some(Self::Tsv),
            "yaml" | "yml" => Some(Self::Yaml),
            _ => None,
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Jsonl | Self::Json => "JSON",
            Self::Csv => "CSV",
            Self::Tsv => "TSV",
            Self::Yaml => "YAML",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    struct Config {
        dataset: Source,
    }

    #[test]
    fn a_source_is_a_path_or_a_table() {
        let plain: Config = toml::from_str("dataset = 'tickets.jsonl'").unwrap();
        assert_eq!(plain.dataset, Source::new("tickets.jsonl"));

        let table: Config = toml::from_str(
            "[dataset]\npath = 'tickets.csv'\nfields = { input = ['subject', 'body'], expected = 'label' }",
        )
        .unwrap();
        let fields = table.dataset.fields;
        assert_eq!(fields.input, Some(Columns::Several(vec!["subject".into(), "body".into()])));
        assert_eq!(fields.expected.as_deref(), Some("label"));
    }

    #[test]
    fn an_unknown_key_within_the_table_is_named() {
        let error = toml::from_str::<Config>("[dataset]\npath = 'a.csv'\nfields = { inptu = 'x' }").unwrap_err();
        assert!(error.to_string().contains("inptu"), "{error}");
        let error = toml::from_str::<Config>("dataset = 3").unwrap_err();
        assert!(error.to_string().contains("the path of a dataset"), "{error}");
    }

    #[test]
    fn the_lock_lies_beside_the_dataset_unless_it_is_said_otherwise() {
        let source = Source::new("data/a.csv").under("/project");
        assert_eq!(source.lock_file(), Path::new("/project/data/a.csv.lock.json"));
        let source = Source { lock: Some("a.lock.json".into()), ..source };
        assert_eq!(source.lock_file(), Path::new("/project/a.lock.json"));
    }
}
