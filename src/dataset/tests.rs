//! The dataset as a whole: loaded from files, in all formats, with its lock file.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn put(folder: &Path, name: &str, text: impl AsRef<[u8]>) -> Source {
    fs::write(folder.join(name), text).unwrap();
    Source::new(name).under(folder)
}

fn jsonl(rows: &[Value]) -> String {
    rows.iter().map(|row| format!("{row}\n")).collect()
}

fn table(rows: &[Value], separator: u8) -> Vec<u8> {
    let columns = ["id", "input", "expected", "tags", "pinned", "weight", "group", "channel"];
    let mut writer = csv::WriterBuilder::new().delimiter(separator).from_writer(Vec::new());
    writer.write_record(columns).unwrap();
    for row in rows {
        let cell = |column: &&str| match &row[*column] {
            Value::Null => String::new(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        writer.write_record(columns.iter().map(cell)).unwrap();
    }
    writer.into_inner().unwrap()
}

fn text() -> impl Strategy<Value = String> {
    // Whatever a cell may hold: separators, quotes, newlines, what YAML would take for another type.
    prop_oneof![
        "[a-zA-Z0-9é😀\",;:\t\n'#{}\\[\\]|>&*!%@`~ -]{1,30}",
        prop::sample::select(vec!["no", "true", "null", "1.5", "~", "- a", "a: b", "0x1F", "2026-01-01", "é\r\nü"])
            .prop_map(str::to_owned),
    ]
    .prop_filter("an empty input is refused", |text| !text.trim().is_empty())
}

fn row() -> impl Strategy<Value = Value> {
    let options = (
        prop::option::of(text()),
        prop::collection::vec("[a-z:]{1,5}", 0..3),
        any::<bool>(),
        prop::option::of(1_u32..9),
        prop::option::of("[a-z]"),
        prop::option::of(text()),
    );
    (text(), options).prop_map(|(input, (expected, tags, pinned, weight, group, channel))| {
        let mut row = json!({"input": input, "tags": tags, "pinned": pinned});
        for (name, value) in [
            ("expected", json!(expected)),
            ("weight", json!(weight)),
            ("group", json!(group)),
            ("channel", json!(channel)),
        ] {
            if !value.is_null() {
                row[name] = value;
            }
        }
        row
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn the_same_rows_in_any_format_and_order_are_the_same_dataset(rows in prop::collection::vec(row(), 1..8)) {
        let folder = folder();
        let mut turned = rows.clone();
        turned.reverse();
        let sources = [
            put(folder.path(), "a.jsonl", jsonl(&rows)),
            put(folder.path(), "turned.jsonl", jsonl(&turned)),
            put(folder.path(), "a.json", serde_json::to_string_pretty(&rows).unwrap()),
            put(folder.path(), "b.json", json!({"version": 3, "data": rows}).to_string()),
            put(folder.path(), "a.csv", table(&rows, b',')),
            put(folder.path(), "a.tsv", table(&rows, b'\t')),
            put(folder.path(), "a.yaml", serde_saphyr::to_string(&rows).unwrap()),
        ];
        let first = load(&sources[0], false).unwrap().dataset;
        for source in &sources[1..] {
            let other = load(source, false).unwrap().dataset;
            prop_assert_eq!(first.fingerprint, other.fingerprint, "{:?}", source.path);
            if source.path != Path::new("turned.jsonl") {
                prop_assert!(first.rows.iter().eq(other.rows.iter()));
                prop_assert_eq!(&first.splits, &other.splits);
            }
        }
    }
}

fn error(name: &str, text: &str, needs_expected: bool) -> String {
    let folder = folder();
    let source = put(folder.path(), name, text);
    let error = load(&source, needs_expected).unwrap_err().to_string();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "an error writes nothing");
    error
}

#[test]
fn problems_name_file_line_what_was_found_and_what_to_do() {
    let rows = concat!(
        "{\"id\": \"a\", \"input\": \"one\", \"expected\": \"x\"}\n",
        "{\"id\": \"a\", \"input\": \"two\"}\n",
        "{\"input\": 5, \"weight\": 0}\n",
        "not json\n",
        "{\"text\": \"three\"}\n",
    );
    insta::assert_snapshot!(error("rows.jsonl", rows, true), @r#"
rows.jsonl:2: id `a` is already used on line 1: ids must be unique
rows.jsonl:2: no expected answer, which a scorer needs: fill it in, remove the row, or use scorers that need none
rows.jsonl:3: `input` must be a text (in quotes) or an object, found the number 5
rows.jsonl:3: `weight` must be a number above zero, found the number 0
rows.jsonl:4: not valid JSON: expected ident at column 2, found "not json"; write each row as an object, {"input": ...}
rows.jsonl:5: no input: the row has `text`, but no `input`; fill it in, or map another column: fields = { input = "..." }
"#);
}

#[test]
fn one_wrong_mapping_is_one_problem() {
    let rows = "text,label\nhello,greeting\nbye,greeting\n";
    insta::assert_snapshot!(error("rows.csv", rows, true), @r#"
rows.csv: no row has a column `input`; there are: `label`, `text`. Say which one it is: fields = { input = "..." }
rows.csv: no row has a column `expected`, which a scorer needs; there are: `label`, `text`. Say which one it is: fields = { expected = "..." }
"#);
    let folder = folder();
    let mut source = put(folder.path(), "rows.csv", rows);
    source.fields.input = Some(Columns::One("txt".into()));
    insta::assert_snapshot!(load(&source, false).unwrap_err(), @r#"
rows.csv: the mapping reads `input` from column `txt`, which no row has; there are: `label`, `text`
"#);
}

#[test]
fn a_file_that_is_not_there_empty_or_of_another_kind_is_told() {
    insta::assert_snapshot!(load(&Source::new("absent.csv"), false).unwrap_err(), @r#"
absent.csv: no such file: check the path of the dataset
"#);
    insta::assert_snapshot!(error("rows.xlsx", "", false), @r#"
rows.xlsx: the extension `.xlsx` is not one of .jsonl, .json, .csv, .tsv, .yaml: rename or convert the file
"#);
    insta::assert_snapshot!(error("rows.jsonl", "\n\n", false), @r#"
rows.jsonl: no rows: add at least one
"#);
    insta::assert_snapshot!(error("rows.json", "[]", false), @r#"
rows.json: no rows: add at least one
"#);
    insta::assert_snapshot!(error("rows.json", "{\"rows\": []}", false), @r#"
rows.json:1: not valid JSON: there is no list `examples` or `data` at column 12
"#);
    insta::assert_snapshot!(error("rows.yaml", "just text", false), @r#"
rows.yaml: not valid YAML: invalid type: string "just text", expected a list of rows, or an object with the list as `examples` or `data`
"#);
}

#[test]
fn many_problems_are_counted_not_listed() {
    let message = error("rows.jsonl", &"[]\n".repeat(500), false);
    assert_eq!(message.lines().count(), 11);
    assert!(message.ends_with("(and 490 more like these)"), "{message}");
}

fn hundred() -> Vec<Value> {
    let words = ["apple", "river", "stone", "cloud", "lamp", "train", "garden", "violin", "paper", "winter"];
    (0..100)
        .map(|at| {
            json!({"id": format!("r{at:03}"), "input": format!("{} {} {at}", words[at % 10], words[at / 10]),
                         "expected": (if at % 2 == 0 { "x" } else { "y" })})
        })
        .collect()
}

#[test]
fn the_lock_file_keeps_every_row_where_it_was() {
    let folder = folder();
    let mut rows = hundred();
    let source = put(folder.path(), "rows.jsonl", jsonl(&rows[..60]));
    let mut first = load(&source, true).unwrap();
    assert!(first.lock.is_new() && !source.lock_file().exists());
    first.lock.save().unwrap();
    assert!(!first.lock.is_changed());
    let text = fs::read_to_string(source.lock_file()).unwrap();
    assert!(text.starts_with("{\n  \"version\": 1,\n  \"fingerprint\": \""), "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("    \"r0")).count(), 60);

    let again = load(&source, true).unwrap();
    assert!(!again.lock.is_new() && !again.lock.is_changed());
    assert_eq!(again.dataset.splits, first.dataset.splits);

    // Ten rows go, forty come; the ten come back later.
    rows.reverse();
    put(folder.path(), "rows.jsonl", jsonl(&rows[..90]));
    let mut second = load(&source, true).unwrap();
    assert!(!second.lock.is_new() && second.lock.is_changed());
    second.lock.save().unwrap();
    put(folder.path(), "rows.jsonl", jsonl(&hundred()));
    let third = load(&source, true).unwrap();
    assert_eq!(third.dataset.splits[..60], first.dataset.splits[..]);
}

#[test]
fn a_broken_or_newer_lock_file_is_not_overwritten() {
    let folder = folder();
    let source = put(folder.path(), "rows.jsonl", jsonl(&hundred()));
    put(folder.path(), "rows.jsonl.lock.json", "{\"version\": 1, \"splits\": 3}");
    insta::assert_snapshot!(load(&source, true).unwrap_err(), @r#"
rows.jsonl.lock.json:1: the lock file is not valid: invalid type: integer `3`, expected a map at line 1 column 26; restore it from version control, or delete it to split anew (scores from before are then not comparable)
"#);
    put(folder.path(), "rows.jsonl.lock.json", "{\"version\": 2}");
    insta::assert_snapshot!(load(&source, true).unwrap_err(), @r#"
rows.jsonl.lock.json: the lock file has version 2, this program knows up to 1: use a newer ratchet
"#);
}

#[test]
fn a_lock_that_cannot_be_written_says_how_to_put_it_elsewhere() {
    let folder = folder();
    let mut source = put(folder.path(), "rows.jsonl", jsonl(&hundred()));
    source.lock = Some("rows.jsonl/lock.json".into());
    let loaded = load(&source, true);
    let message = match loaded {
        Ok(mut loaded) => loaded.lock.save().unwrap_err().to_string(),
        Err(error) => error.to_string(),
    };
    assert!(message.contains("rows.jsonl/lock.json"), "{message}");
}

#[test]
fn warnings_name_rows_and_lines() {
    let folder = folder();
    let long = "my card was charged twice for the same order and nobody at support answers me";
    let mut rows = hundred();
    rows.push(json!({"id": "a", "input": "Same thing", "expected": "x"}));
    rows.push(json!({"id": "b", "input": "same  THING", "expected": "y"}));
    rows.push(json!({"id": "c", "input": "copy of it", "expected": "y"}));
    rows.push(json!({"id": "d", "input": "copy of it", "expected": "y"}));
    rows.push(json!({"id": "e", "input": long, "expected": "y", "split": "train"}));
    rows.push(json!({"id": "f", "input": format!("{long}!!"), "expected": "y", "split": "test"}));
    let source = put(folder.path(), "rows.jsonl", jsonl(&rows));
    let warnings = load(&source, true).unwrap().warnings;
    let kinds: Vec<Value> = warnings.iter().map(|warning| json!(warning)["kind"].clone()).collect();
    assert_eq!(json!(kinds), json!(["conflicting_labels", "duplicates", "near_duplicates"]), "{warnings:?}");
    assert!(warnings[0].to_string().contains("`a` (line 101"), "{}", warnings[0]);
    insta::assert_snapshot!(warnings[2], @r#"
1 near-duplicate pair across splits among 106 rows compared; give each pair one `group`: `e` (line 105, train) and `f` (line 106, test)
"#);
    put(folder.path(), "few.jsonl", jsonl(&hundred()[..20]));
    let few = load(&Source::new("few.jsonl").under(folder.path()), true).unwrap();
    insta::assert_snapshot!(few.warnings[0], @r#"
only 20 rows (10 train, 10 dev, 0 test): there is no test split, so that no gain can be confirmed on rows the search never saw; scores are on rows that it selected on. Add rows, 30 or more in all, for a test split
"#);
}

#[test]
fn a_pinned_test_row_and_a_torn_group_are_refused() {
    let rows = "input,pinned,split,group\na,true,test,\nb,,train,g\nc,,dev,g\n";
    insta::assert_snapshot!(error("rows.csv", rows, false), @r#"
rows.csv:2: a pinned row can't be a test row: remove `pinned`, or name train or dev as its split
"#);
    insta::assert_snapshot!(error("rows.csv", &rows.replace("a,true,test,\n", ""), false), @r#"
rows.csv:3: group `g` is said to be train on line 2, but dev here: a group shares one split
"#);
}
