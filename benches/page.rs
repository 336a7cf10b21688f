//! The page that the tables of the search go to.

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/search.md");
const ENDS: &str = "<!-- end -->\n";

/// Puts `table` where the page has that of the bench `name`.
pub fn write(name: &str, table: &str) {
    let begins = format!("<!-- written by `cargo bench --bench {name}` -->\n");
    let page = std::fs::read_to_string(PAGE).unwrap();
    let (before, rest) = page.split_once(&begins).unwrap();
    let (_, after) = rest.split_once(ENDS).unwrap();
    std::fs::write(PAGE, format!("{before}{begins}\n{table}\n{ENDS}{after}")).unwrap();
}
