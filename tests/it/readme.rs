//! The README shows only commands that exist: each `ratchet` command in its shell blocks is held against the help texts.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use assert_cmd::cargo::CommandCargoExt;

/// Least number of commands that the README shows.
const LEAST: usize = 5;

/// The commands in the fenced `console` and `sh` blocks of `text`, without the program's name.
fn commands(text: &str) -> Vec<Vec<String>> {
    let mut commands = Vec::new();
    let mut language: Option<&str> = None;
    let mut carried = String::new();
    for line in text.lines() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            language = if language.is_some() { None } else { Some(fence.trim()) };
            continue;
        }
        if !matches!(language, Some("console" | "sh" | "bash" | "shell")) {
            continue;
        }
        let line = line.trim();
        if let Some(start) = line.strip_suffix('\\') {
            carried += start;
            continue;
        }
        let whole = std::mem::take(&mut carried) + line;
        let whole = whole.strip_prefix("$ ").unwrap_or(&whole);
        let plain = whole.strip_prefix("cargo run --release -- ").or_else(|| whole.strip_prefix("ratchet "));
        commands.extend(plain.map(words));
    }
    commands
}

/// The words of one command, up to a comment, a pipe or a redirection; quotes keep words together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    let (mut word, mut quote, mut begun) = (String::new(), None, false);
    for letter in command.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '\'' | '"') => (quote, begun) = (Some(letter), true),
            (None, ' ') => {
                if begun {
                    words.push(std::mem::take(&mut word));
                }
                begun = false;
            }
            (None, '#' | '|' | '>' | '&' | ';') if !begun => break,
            (None, _) => {
                word.push(letter);
                begun = true;
            }
        }
    }
    if begun {
        words.push(word);
    }
    words
}

/// What `ratchet help` says of a subcommand, empty for the program as a whole; `None` where it doesn't exist.
fn help(subcommand: &[&str]) -> Option<String> {
    let output = Command::cargo_bin("ratchet").unwrap().arg("help").args(subcommand).output().unwrap();
    output.status.success().then(|| String::from_utf8(output.stdout).unwrap())
}

/// Whether a help text lists `flag`, which is `--name` or `-n`.
fn lists(help: &str, flag: &str) -> bool {
    let ends = |rest: &str| !rest.starts_with(|next: char| next.is_ascii_alphanumeric() || next == '-');
    help.match_indices(flag).any(|(at, _)| {
        ends(&help[at + flag.len()..])
            && !help[..at].ends_with(|last: char| last.is_ascii_alphanumeric() || last == '-')
    })
}

#[test]
fn every_command_in_the_readme_exists_with_its_flags() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = std::fs::read_to_string(path).expect("there is a README.md");
    let commands = commands(&text);
    assert!(commands.len() >= LEAST, "only {} commands were found: {commands:?}", commands.len());
    let mut helps: BTreeMap<Vec<&str>, String> = BTreeMap::new();
    for command in &commands {
        let words: Vec<&str> = command.iter().map(String::as_str).take_while(|word| !word.starts_with('-')).collect();
        let nested = words.len() > 1 && help(&words[..1]).is_some_and(|told| told.contains("\nCommands:"));
        let name = words[..words.len().min(if nested { 2 } else { 1 })].to_vec();
        let told = helps.entry(name.clone()).or_insert_with(|| {
            help(&name).unwrap_or_else(|| panic!("`ratchet {}`: there is no such subcommand", command.join(" ")))
        });
        for flag in command.iter().filter(|word| word.starts_with('-') && *word != "-" && *word != "--") {
            let flag = flag.split('=').next().unwrap_or(flag);
            assert!(lists(told, flag), "`ratchet {}`: there is no {flag}", command.join(" "));
        }
    }
}

#[test]
fn commands_are_found_in_shell_blocks_alone() {
    let text = "ratchet prose\n```toml\nratchet = 1\n```\n```console\n$ ratchet eval --set a='b c' | jq .\nscore 0.5\n\
                $ cargo run --release -- optimize \\\n    --seed 7  # overnight\n```\n```sh\nratchet runs > out\ncd x\n```\n";
    let found: Vec<String> = commands(text).iter().map(|words| words.join("_")).collect();
    assert_eq!(found, ["eval_--set_a=b c", "optimize_--seed_7", "runs"]);
    assert!(lists("  --seed <N>  Seed", "--seed") && !lists("  --seeds", "--seed") && !lists("--no-seed", "--seed"));
}
