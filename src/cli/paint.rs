//! Colour: on a terminal only, and never with NO_COLOR.

use console::{Style, StyledObject};

/// Sees to it that NO_COLOR, where it is not empty, wins over CLICOLOR_FORCE as well.
pub fn respect_no_color() {
    if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        console::set_colors_enabled(false);
        console::set_colors_enabled_stderr(false);
    }
}

/// How text for one of the two output streams is coloured.
#[derive(Debug, Clone, Copy)]
pub struct Paint {
    colours: bool,
}

impl Paint {
    /// For stdout.
    pub fn stdout() -> Self {
        Self { colours: console::colors_enabled() }
    }

    /// For stderr.
    pub fn stderr() -> Self {
        Self { colours: console::colors_enabled_stderr() }
    }

    /// No colour, whatever the stream.
    #[cfg(test)]
    pub fn none() -> Self {
        Self { colours: false }
    }

    /// Colour, whatever the stream.
    #[cfg(test)]
    pub fn always() -> Self {
        Self { colours: true }
    }

    /// What matters most.
    pub fn bold<D>(self, text: D) -> StyledObject<D> {
        self.style(Style::new().bold(), text)
    }

    /// What can be passed over.
    pub fn dim<D>(self, text: D) -> StyledObject<D> {
        self.style(Style::new().dim(), text)
    }

    /// What went well.
    pub fn good<D>(self, text: D) -> StyledObject<D> {
        self.style(Style::new().green(), text)
    }

    /// What went badly.
    pub fn bad<D>(self, text: D) -> StyledObject<D> {
        self.style(Style::new().red(), text)
    }

    /// What is open.
    pub fn open<D>(self, text: D) -> StyledObject<D> {
        self.style(Style::new().yellow(), text)
    }

    /// A unified diff.
    pub fn diff(self, diff: &str) -> String {
        diff.split_inclusive('\n')
            .map(|whole| {
                // The line feed stays outside, so that each line ends its own colour.
                let line = whole.trim_end_matches('\n');
                let end = &whole[line.len()..];
                match line.as_bytes().first() {
                    _ if line.starts_with("--- ") || line.starts_with("+++ ") => format!("{}{end}", self.bold(line)),
                    Some(b'+') => format!("{}{end}", self.good(line)),
                    Some(b'-') => format!("{}{end}", self.bad(line)),
                    Some(b'@') => format!("{}{end}", self.style(Style::new().cyan(), line)),
                    _ => whole.to_owned(),
                }
            })
            .collect()
    }

    fn style<D>(self, style: Style, text: D) -> StyledObject<D> {
        style.force_styling(self.colours).apply_to(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_colours_a_diff_stays_as_it_is() {
        let diff = "--- a/p\n+++ b/p\n@@ -1 +1 @@\n-old\n+new\n";
        assert_eq!(Paint::none().diff(diff), diff);
        let coloured = Paint { colours: true }.diff(diff);
        assert_ne!(coloured, diff);
        assert_eq!(console::strip_ansi_codes(&coloured), diff);
        assert!(coloured.lines().all(|line| line.starts_with('\u{1b}') && line.ends_with("\u{1b}[0m")), "{coloured:?}");
    }
}
