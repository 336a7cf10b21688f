//! `report.html`: the report as a page for a browser. It is made of the Markdown, so that the two can't say different
//! things, and is whole by itself: no script, and nothing that is loaded from elsewhere.

use minijinja::{Environment, HtmlEscape, context};
use pulldown_cmark::{CodeBlockKind, Event, Options, Parser, Tag, TagEnd};

use super::terminal::headline;
use super::{RunView, markdown};

/// The page around the report.
const PAGE: &str = include_str!("page.html");

/// The report of a run, as a page.
pub fn html(view: &RunView) -> String {
    let (title, body) = (format!("{}: {}", view.manifest.name, headline(view)), body(&markdown(view)));
    // The name has the template escape what it writes.
    let page = Environment::new().render_named_str("page.html", PAGE, context! { title, body });
    page.unwrap_or_else(|error| format!("<!doctype html><pre>{}</pre>", HtmlEscape(&error.to_string()))) + "\n"
}

/// `markdown` as HTML, with coloured diffs. What would be markup of its own in there is text.
fn body(markdown: &str) -> String {
    let mut events = Vec::new();
    let mut diff: Option<String> = None;
    for event in Parser::new_ext(markdown, Options::ENABLE_TABLES) {
        match (event, &mut diff) {
            (Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))), _) if &*language == "diff" => {
                diff = Some(String::new());
            }
            (Event::End(TagEnd::CodeBlock), Some(lines)) => {
                events.push(Event::Html(coloured(lines).into()));
                diff = None;
            }
            (Event::Text(text), Some(lines)) => lines.push_str(&text),
            (Event::Html(text) | Event::InlineHtml(text), _) => events.push(Event::Text(text)),
            // The report links to nothing: whatever looks like it came from elsewhere.
            (Event::Start(Tag::Link { .. } | Tag::Image { .. }) | Event::End(TagEnd::Link | TagEnd::Image), _) => {}
            (event, _) => events.push(event),
        }
    }
    let mut html = String::new();
    pulldown_cmark::html::push_html(&mut html, events.into_iter());
    html
}

/// A diff with a class for each line that is added, removed or says where it is.
fn coloured(diff: &str) -> String {
    let lines: Vec<&str> = diff.lines().collect();
    let begins =
        |at: Option<usize>, with: &str| at.and_then(|at| lines.get(at)).is_some_and(|line| line.starts_with(with));
    let class = |at: usize, line: &str| {
        // Two lines name the files; a line that was removed may look like the first of them.
        let old = begins(Some(at), "--- ") && begins(Some(at + 1), "+++ ");
        let new = begins(Some(at), "+++ ") && begins(at.checked_sub(1), "--- ");
        match line.as_bytes().first() {
            _ if old || new => Some("place"),
            Some(b'@') => Some("place"),
            Some(b'+') => Some("added"),
            Some(b'-') => Some("removed"),
            _ => None,
        }
    };
    let lines = lines.iter().enumerate().map(|(at, line)| match class(at, line) {
        Some(class) => format!("<span class=\"{class}\">{}</span>\n", HtmlEscape(line)),
        None => format!("{}\n", HtmlEscape(line)),
    });
    format!("<pre><code>{}</code></pre>\n", lines.collect::<String>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::testing;

    #[test]
    fn the_page_holds_the_report_and_its_diffs() {
        let view = testing::finished().view();
        let page = html(&view);
        assert!(page.starts_with("<!doctype html>") && page.ends_with("</html>\n"), "{page}");
        for part in ["<h2>Scores</h2>", "<table>", "<span class=\"added\">+", "<h2>Spent</h2>"] {
            assert!(page.contains(part), "{part}: {page}");
        }
        assert!(!page.contains("<script") && !page.contains("http://") && !page.contains("https://"), "{page}");
    }

    #[test]
    fn whatever_looks_like_markup_is_text() {
        let written = "a <b onclick=x>b</b>\n\n<script>alert(1)</script>\n\n[here](javascript:x) ![i](//e.example/i)\n\n\
                       ```diff\n+<script>\n-&amp;\n```\n";
        let html = body(written);
        for unwanted in ["<b", "<script", "href", "src", "<img"] {
            assert!(!html.contains(unwanted), "{unwanted}: {html}");
        }
        assert!(html.contains("&lt;script&gt;alert(1)&lt;/script&gt;") && html.contains("here"), "{html}");
        assert!(
            html.contains("<span class=\"added\">+&lt;script&gt;</span>\n<span class=\"removed\">-&amp;amp;</span>")
        );
    }

    #[test]
    fn a_name_that_holds_markup_stands_in_the_title_as_text() {
        let mut view = testing::finished().view();
        view.manifest.name = "</title><script>".into();
        let page = html(&view);
        assert!(page.contains("<title>&lt;&#x2f;title&gt;&lt;script&gt;: "), "{page}");
        assert_eq!(page.matches("</title>").count(), 1);
    }

    #[test]
    fn lines_of_a_diff_are_told_apart_also_where_they_look_like_its_head() {
        let html = coloured("--- a/p\n+++ b/p\n@@ -1,2 +1,2 @@\n same\n--- a rule\n-gone\n+new\n");
        let class = |line: &str| ["place", "removed", "added"].into_iter().find(|class| line.contains(class));
        let classes: Vec<Option<&str>> = html.lines().map(class).collect();
        let [place, removed, added] = [Some("place"), Some("removed"), Some("added")];
        assert_eq!(classes, [place, place, place, None, removed, removed, added, None]);
    }
}
