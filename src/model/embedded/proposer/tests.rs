//! The embedded model as a proposer, on a bike shop's messages.

use super::super::{Embedded, NAME};
use super::*;
use crate::dataset::Example;
use crate::prompt::{Message, Role};

const PROMPT: &str = "---\nname: shop\n---\nsystem:\nYou sort a bike shop's messages.\n\nuser:\n\
                      Choose one of: repair, rental, order.\nRespond with only the label.\n\nMessage: {{ input }}\n";

const ROWS: &[(&str, &str)] = &[
    ("my chain slips, can you mend it", "repair"),
    ("the brake squeals and the chain is worn", "repair"),
    ("flat tyre, do you fix it while I wait?", "repair"),
    ("Could someone mend my brake today", "repair"),
    ("two bikes for the weekend please", "rental"),
    ("do you hire out tandems by the day", "rental"),
    ("What does a tandem cost for the weekend?", "rental"),
    ("can we hire helmets too {{ input }}", "rental"),
    ("has my parcel with the saddle been sent", "order"),
    ("The parcel came without the bell I paid for", "order"),
    ("when will the saddle be in stock", "order"),
    ("\"express\" shipping for a helmet?", "order"),
];

const STRATEGIES: [&str; 8] = [
    "define-boundary",
    "define-labels",
    "boundary-examples",
    "add-rule",
    "output-format",
    "clarify-task",
    "restructure",
    "prune",
];

/// One of the rows that fail, which guards the task.
const PINNED: usize = 4;

fn json(value: &str) -> String {
    serde_json::to_string(value).unwrap()
}

fn request(strategy: &str, variant: usize, prompt: &str, tried: &str) -> ChatRequest {
    let row = |at: usize, answered: &str| {
        let (text, label) = ROWS[at];
        format!("- id: r{at}\n  input: {}\n  expected: {}\n  answered: {}\n", json(text), json(label), json(answered))
    };
    let failing: String = (4..8).map(|at| row(at, "repair")).chain((8..10).map(|at| row(at, "repair"))).collect();
    let passing: String = [0, 1, 2, 3, 10, 11].map(|at| row(at, ROWS[at].1)).concat();
    // As the search has it: only where examples are asked for, and without a row that is pinned.
    let train = ROWS.iter().enumerate().filter(|(at, _)| strategy == "boundary-examples" && *at != PINNED);
    let train: String = train
        .map(|(at, (text, label))| format!("- id: r{at}\n  input: {}\n  expected: {}\n", json(text), json(label)))
        .collect();
    let train = if train.is_empty() { train } else { format!("\n## Train rows\n{train}") };
    let content = format!(
        "## Task\nSort messages.\n\n## Strategy\nname: {strategy}\nDo it.\n\n## Prompt\n### file: shop.prompty\n````\n{}\n````\n\n\
         ## Failing rows\n{failing}\n## Passing rows that must stay passing\n{passing}\n\
         ## Labels\n- repair: 40 train rows\n- rental: 38 train rows\n- order: 30 train rows\n{train}\n\
         ## Tried before\n{tried}\n\n## Reply\nvariant: {variant}\nOne JSON object.\n",
        prompt.trim_end()
    );
    let message = |role, content: &str| Message { role, content: content.to_owned() };
    ChatRequest {
        model: NAME.into(),
        messages: vec![message(Role::System, "You improve prompts. Reply in JSON."), message(Role::User, &content)],
        format: crate::model::AnswerFormat::Json,
        ..ChatRequest::default()
    }
}

fn edits_of(reply: &str) -> Vec<Edit> {
    let reply: serde_json::Value = serde_json::from_str(reply).unwrap();
    serde_json::from_value(reply["edits"].clone()).unwrap()
}

fn improved(strategy: &str, variant: usize, prompt: &str) -> String {
    let reply = Embedded::new().answer(&request(strategy, variant, prompt, "(nothing)"));
    let set = PromptSet::one(Prompt::parse("shop.prompty", prompt.trim_end()).unwrap()).unwrap();
    let edits = edits_of(&reply);
    assert!(!edits.is_empty(), "{strategy} {variant}: {reply}");
    set.apply(&edits).unwrap().first().text().to_owned()
}

fn right(prompt: &str) -> usize {
    let prompt = Prompt::parse("shop.prompty", prompt).unwrap();
    let model = Embedded::new();
    let answers = ROWS.iter().map(|(text, label)| {
        let example: Example = serde_json::from_value(serde_json::json!({"id": "r", "input": text})).unwrap();
        let mut request = request("", 0, PROMPT, "");
        request.messages = prompt.render(&example).unwrap();
        request.format = crate::model::AnswerFormat::Text;
        model.answer(&request) == *label
    });
    answers.filter(|right| *right).count()
}

#[test]
fn every_strategy_and_variant_gives_edits_that_apply_exactly_once() {
    let longer = improved("boundary-examples", 1, &improved("define-boundary", 0, PROMPT));
    let prompts = [PROMPT, &longer, "Sort into repair, rental or order: {{ input }}", "{{ input }}"];
    for prompt in prompts {
        for strategy in STRATEGIES {
            for variant in 0..8 {
                let text = improved(strategy, variant, prompt);
                assert_ne!(text, prompt.trim_end());
            }
        }
    }
}

#[test]
fn definitions_examples_and_rules_fix_rows() {
    let before = right(PROMPT);
    for strategy in ["define-boundary", "define-labels", "boundary-examples", "add-rule", "clarify-task"] {
        let text = improved(strategy, 1, PROMPT);
        assert!(right(&text) > before, "{strategy}: {} of {}, {before} before\n{text}", right(&text), ROWS.len());
    }
}

#[test]
fn restructured_labels_and_repaired_formats_are_still_understood() {
    for strategy in ["restructure", "output-format"] {
        let text = improved(strategy, 2, PROMPT);
        assert!(right(&text) >= right(PROMPT), "{strategy}\n{text}");
    }
    let chatty = PROMPT.replace("Respond with only the label.\n", "");
    assert_eq!(right(&chatty), 0);
    assert!(right(&improved("output-format", 0, &chatty)) > 0);
}

#[test]
fn a_label_within_a_word_is_not_taken_for_the_label() {
    let prompt = "Classify the message as b, a or c.\n\nMessage: {{ input }}";
    let mut request = request("restructure", 0, prompt, "(nothing)");
    for (known, label) in ["repair", "rental", "order"].into_iter().zip(["a", "b", "c"]) {
        request.messages[1].content = request.messages[1].content.replace(known, label);
    }
    let reply = Embedded::new().answer(&request);
    let set = PromptSet::one(Prompt::parse("shop.prompty", prompt).unwrap()).unwrap();
    let text = set.apply(&edits_of(&reply)).unwrap().first().text().to_owned();
    assert!(text.contains("Classify the message as:\n\n- b\n- a\n- c"), "{text}");
}

#[test]
fn a_definition_says_which_label_is_no_longer_taken_for_which() {
    let reply = Embedded::new().answer(&request("define-boundary", 0, PROMPT, "(nothing)"));
    let reply: serde_json::Value = serde_json::from_str(&reply).unwrap();
    assert_eq!(reply["expected_effect"], "Rows of rental are no longer answered repair.");
}

#[test]
fn a_definition_extends_the_line_that_is_there() {
    let prompt =
        PROMPT.replace("one of: repair, rental, order.", "a label:\n- repair: broken bikes\n- rental\n- order");
    let text = improved("define-boundary", 0, &prompt);
    assert!(text.contains("- repair: broken bikes, ") && text.contains("- rental: "), "{text}");
    assert!(text.lines().any(|line| line == "- order"), "{text}");
}

#[test]
fn row_text_never_becomes_a_template_of_its_own() {
    let text = improved("boundary-examples", 3, PROMPT);
    assert!(text.contains("helmets too"), "{text}");
    let example: Example = serde_json::from_value(serde_json::json!({"id": "r", "input": "SECRET"})).unwrap();
    let rendered = Prompt::parse("p", &text).unwrap().render(&example).unwrap();
    let whole: String = rendered.into_iter().map(|message| message.content).collect();
    assert_eq!(whole.matches("SECRET").count(), 1);
}

#[test]
fn only_train_rows_are_quoted() {
    for variant in 0..24 {
        let text = improved("boundary-examples", variant, PROMPT);
        assert!(text.contains(" -> rental") && !text.contains(ROWS[PINNED].0), "{text}");
    }
}

#[test]
fn what_was_tried_before_is_not_proposed_again() {
    let first = Embedded::new().answer(&request("add-rule", 0, PROMPT, ""));
    let value: serde_json::Value = serde_json::from_str(&first).unwrap();
    let tried = format!("- rejected: {}", value["rationale"].as_str().unwrap());
    let second = Embedded::new().answer(&request("add-rule", 0, PROMPT, &tried));
    assert_ne!(edits_of(&first), edits_of(&second));
}

#[test]
fn a_mending_turn_gets_another_variant() {
    let mut request = request("define-boundary", 0, PROMPT, "");
    let first = Embedded::new().answer(&request);
    request.messages.push(Message { role: Role::Assistant, content: first.clone() });
    request.messages.push(Message { role: Role::User, content: "The edit grows the prompt too much.".into() });
    assert_ne!(edits_of(&first), edits_of(&Embedded::new().answer(&request)));
}

#[test]
fn a_protected_region_and_the_front_matter_stay() {
    let prompt = PROMPT.replace(
        "Respond with only the label.\n",
        "{# ratchet:protect #}\nRespond with only the label.\n{# ratchet:end #}\n",
    );
    for strategy in STRATEGIES {
        let text = improved(strategy, 1, &prompt);
        assert!(text.contains("{# ratchet:protect #}\nRespond with only the label.\n{# ratchet:end #}"), "{text}");
        assert!(text.starts_with("---\nname: shop\n---\nsystem:\n"), "{text}");
    }
}

#[test]
fn headings_inside_the_prompt_block_are_prompt_text() {
    let prompt = PROMPT.replace("Choose", "## Failing rows\nChoose");
    let ask = request::read(&request("prune", 0, &prompt, "")).unwrap();
    assert_eq!((ask.files[0].1.as_str(), ask.failing.len()), (prompt.trim_end(), 6));
}

const FORM: &str = "user:\nFill in this JSON object:\n{\"queue\": \"repair|rental|order\", \"tone\": \"asks|tells\"}\n\n\
                    Message: {{ input }}\n";

/// A request about answers in JSON: the queue is wrong in all failing rows, the tone in none.
fn request_of_fields(strategy: &str, variant: usize, prompt: &str) -> ChatRequest {
    let whole = |label: &str, text: &str| {
        serde_json::json!({"queue": label, "tone": if text.contains('?') { "asks" } else { "tells" }}).to_string()
    };
    let mut request = request(strategy, variant, prompt, "(nothing)");
    let content = &mut request.messages[1].content;
    for (text, label) in ROWS {
        let row = |label: &str| format!("  input: {}\n  expected: {}\n", json(text), json(label));
        *content = content.replace(&row(label), &row(&whole(label, text)));
        let answer = format!("{}  answered: ", row(&whole(label, text)));
        for answered in ["repair", "rental", "order"] {
            let fenced = format!("```json\n{}\n```", whole(answered, text));
            *content = content.replace(&format!("{answer}{}", json(answered)), &format!("{answer}{}", json(&fenced)));
        }
    }
    let fields = "## Fields\n- queue, train rows by value: {\"order\":30,\"rental\":38,\"repair\":40}\n\
                  - tone, train rows by value: {\"asks\":50,\"tells\":58}\n";
    let end = content.find("\n## Train").or(content.find("\n## Tried")).unwrap();
    let labels = content.find("## Labels").unwrap()..end;
    content.replace_range(labels, fields);
    *content = content.replace("## Failing rows\n", "## Failing rows\nkind: criterion\ncluster: queue (6 rows)\n");
    request
}

#[test]
fn prompts_for_json_are_edited_field_by_field() {
    let edited = |strategy: &str, variant: usize| {
        let reply = Embedded::new().answer(&request_of_fields(strategy, variant, FORM));
        let set = PromptSet::one(Prompt::parse("shop.prompty", FORM.trim_end()).unwrap()).unwrap();
        set.apply(&edits_of(&reply)).unwrap().first().text().to_owned()
    };
    for strategy in STRATEGIES {
        for variant in 0..6 {
            let text = edited(strategy, variant);
            assert_ne!(text, FORM.trim_end(), "{strategy} {variant}");
            assert!(text.contains("\"queue\": \"repair|rental|order\""), "the shape stays: {text}");
        }
    }
    assert!(
        edited("define-boundary", 0).contains("\n\nValues of queue:\n- rental: "),
        "{}",
        edited("define-boundary", 0)
    );
    assert!(edited("add-rule", 0).contains("\", queue is rental, not repair."), "{}", edited("add-rule", 0));
    let example = "\" -> {\"queue\":\"rental\",\"tone\":\"tells\"}\n";
    assert!(edited("boundary-examples", 0).contains(example), "{}", edited("boundary-examples", 0));
    assert!(edited("output-format", 0).contains("only the JSON object"), "{}", edited("output-format", 0));
}
