//! A judge asks a scripted model.

use std::collections::VecDeque;
use std::sync::Mutex;

use super::super::samples::{row, says};
use super::*;
use crate::model::Chat;
use crate::model::testing::answer;

/// Replies in order, and keeps the calls.
struct Scripted {
    replies: Mutex<VecDeque<Result<Completion, CallError>>>,
    calls: Mutex<Vec<Call>>,
}

fn scripted(replies: &[&str]) -> Scripted {
    Scripted { replies: Mutex::new(replies.iter().map(|text| Ok(answer(text))).collect()), calls: Mutex::default() }
}

impl Chat for Scripted {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            self.calls.lock().unwrap().push(call.clone());
            self.replies.lock().unwrap().pop_front().unwrap()
        })
    }
}

impl Scripted {
    fn draws(&self) -> Vec<String> {
        self.calls.lock().unwrap().iter().map(|call| call.draw.clone()).collect()
    }
}

fn options(votes: u32) -> JudgeOptions {
    let model = JudgeModel { model: "judge".into(), ..JudgeModel::default() };
    JudgeOptions { model, prompt: None, votes, combine: Combine::Majority }
}

fn judge(question: Question, votes: u32) -> Judge {
    Judge::new("judge", question, options(votes)).unwrap()
}

async fn score(judge: &Judge, chat: &Scripted, sample: u32) -> Result<Score, ScoreError> {
    judge.score(&row("Paris"), &says("It is Paris."), Scoring { sample, judge: Some(chat), embedder: None }).await
}

const SAME: &str = r#"{"reason": "It names the same town.", "verdict": "same"}"#;
const DISAGREES: &str = r#"{"reason": "It names another town.", "verdict": "disagrees"}"#;

#[tokio::test]
async fn a_verdict_is_a_score_with_its_reason_and_costs_one_call_of_the_judge() {
    let chat = scripted(&[DISAGREES]);
    let score = score(&judge(Question::factuality(), 1), &chat, 3).await.unwrap();
    assert_eq!((score.value, score.criterion.as_deref()), (0.0, Some("disagrees")));
    assert_eq!(score.reason.as_deref(), Some("It names another town. (disagrees)"));
    let calls = chat.calls.lock().unwrap();
    let [call] = &calls[..] else { panic!("{}", calls.len()) };
    assert_eq!((call.role, call.draw.as_str(), call.request.model.as_str()), (ModelRole::Judge, "3", "judge"));
}

#[tokio::test]
async fn a_reply_that_cannot_be_read_is_asked_for_once_more_as_a_fresh_draw() {
    let factuality = judge(Question::factuality(), 1);
    let chat = scripted(&["no idea", SAME]);
    assert_eq!(score(&factuality, &chat, 0).await.unwrap().value, 1.0);
    assert_eq!(chat.draws(), ["0", "0.0.again"]);

    let chat = scripted(&[r#"{"reason": "", "verdict": "C"}"#, r#"{"reason": "", "verdict": "excellent"}"#]);
    let error = score(&factuality, &chat, 0).await.unwrap_err();
    assert!(error.message.contains("it chose \"excellent\"") && !error.systemic, "{error}");
    assert_eq!(error.call, None, "a missing row, and no fault of the provider");
}

#[tokio::test]
async fn a_judge_that_never_says_anything_usable_stops_the_work_with_one_message() {
    let judge = judge(Question::relevance(), 1);
    for answer in 1..=HOPELESS {
        let error = score(&judge, &scripted(&["no", "idea"]), 0).await.unwrap_err();
        assert_eq!(error.systemic, answer == HOPELESS, "{error}");
    }
    let one = r#"{"reason": "It is.", "verdict": "fully"}"#;
    score(&judge, &scripted(&[one]), 0).await.unwrap();
    assert!(!score(&judge, &scripted(&["no", "idea"]), 0).await.unwrap_err().systemic);
}

#[tokio::test]
async fn a_server_that_takes_no_format_is_asked_without() {
    let rejected = Err(CallError::Rejected("response_format".into()));
    let chat = Scripted { replies: Mutex::new([rejected, Ok(answer(SAME))].into()), calls: Mutex::default() };
    assert_eq!(score(&judge(Question::factuality(), 1), &chat, 0).await.unwrap().value, 1.0);
    assert!(chat.calls.lock().unwrap()[1].request.format.is_text());
}

#[tokio::test]
async fn a_cut_or_refused_reply_is_no_verdict() {
    let cut = Completion { finish: FinishReason::Length, ..answer(SAME) };
    let refused = Completion { finish: FinishReason::Refusal, ..answer("") };
    let chat = Scripted { replies: Mutex::new([Ok(refused), Ok(cut)].into()), calls: Mutex::default() };
    let error = score(&judge(Question::factuality(), 1), &chat, 0).await.unwrap_err();
    assert!(error.message.contains("models.judge.max_tokens"), "{error}");
}

#[tokio::test]
async fn votes_are_draws_of_their_own_in_every_sample() {
    let chat = scripted(&[SAME, DISAGREES, DISAGREES]);
    let three = judge(Question::factuality(), 3);
    assert_eq!(three.calls(), 3);
    assert_eq!(score(&three, &chat, 2).await.unwrap().value, 0.0);
    assert_eq!(chat.draws(), ["2", "2.1", "2.2"]);
}

#[tokio::test]
async fn a_battle_is_asked_in_both_orders() {
    let first = r#"{"reason": "It is clearer.", "verdict": "first"}"#;
    let chat = scripted(&[first, first]);
    let battle = judge(Question::battle(None), 1);
    let score = score(&battle, &chat, 0).await.unwrap();
    assert_eq!((battle.calls(), score.value), (2, 0.5), "only the place decided");
}

#[tokio::test]
async fn faults_that_every_call_would_meet_are_handed_on_as_what_they_are() {
    for (error, handed_on) in [
        (CallError::Budget("used up".into()), true),
        (CallError::Interrupted, true),
        (CallError::Transient("503".into()), true),
        (CallError::Rejected("too long".into()), false),
    ] {
        let replies = Mutex::new([Err(error.clone()), Err(error.clone())].into());
        let chat = Scripted { replies, calls: Mutex::default() };
        let failed = score(&judge(Question::relevance(), 1), &chat, 0).await.unwrap_err();
        assert_eq!(failed.call, handed_on.then(|| Box::new(error)));
    }
}

fn refusal(question: Question, options: JudgeOptions) -> String {
    Judge::new("judge", question, options).unwrap_err().to_string()
}

#[test]
fn a_prompt_of_the_projects_own_must_show_the_answer_and_ask_for_the_reply() {
    let with = |text: &str| JudgeOptions { prompt: Some(("mine.prompty".into(), text.into())), ..options(1) };
    assert!(refusal(Question::relevance(), with("{{ input.row }} {{ input.reply }}")).contains("{{ input.answer }}"));
    assert!(refusal(Question::relevance(), with("{{ input.answer }}")).contains("{{ input.reply }}"));
    assert!(refusal(Question::battle(None), with("{{ input.answer }} {{ input.reply }}")).contains("input.first"));
    assert!(refusal(Question::relevance(), with("{{ input.answer")).contains("mine.prompty:1:"));
    Judge::new("judge", Question::relevance(), with("{{ input.answer }} {{ input.reply }}")).unwrap();
}

#[test]
fn votes_of_a_deterministic_model_are_refused() {
    let mut options = options(3);
    options.model.deterministic = true;
    assert!(refusal(Question::relevance(), options).contains("all votes would be the same"));
}

#[test]
fn a_row_that_lacks_what_a_prompt_shows_is_found_before_any_call() {
    let judge = judge(Question::faithfulness("document"), 1);
    assert!(judge.check(&row("x")).unwrap_err().contains("`document`"));
    let text = "{{ input.expected }} {{ input.answer }} {{ input.reply }}";
    let own = JudgeOptions { prompt: Some(("mine.prompty".into(), text.into())), ..options(1) };
    let own = Judge::new("judge", Question::relevance(), own).unwrap();
    assert!(own.check(&row("x")).is_ok());
    assert!(own.check(&row(Value::Null)).unwrap_err().contains("mine.prompty"));
}
