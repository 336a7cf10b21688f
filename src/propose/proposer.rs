//! The proposer that asks a model: [`ModelProposer`].

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::guards::{GuardError, Guards};
use super::{Ask, Dropped, FreeAsk, Propose, Proposed, free, leave_out, reply, request};
use crate::digest::Digest;
use crate::model::{AnswerFormat, BoxFuture, Call, Chat, ChatRequest, Completion, ModelRole};
use crate::prompt::{Message, PromptSet, Role};

/// How the model is called.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct ProposerSettings {
    /// The model's name as its provider knows it.
    pub model: String,
    /// Sampling temperature; absent means the provider's default.
    pub temperature: Option<f64>,
    /// Most tokens of a reply; absent means the provider's default.
    pub max_tokens: Option<u32>,
    /// What the seed of each call is made of; absent means that the provider draws one.
    pub seed: Option<u32>,
    /// Further parameters, passed through as the user wrote them.
    pub extra: Map<String, Value>,
    /// Names of strategies not to use; those that need no model are left out here.
    pub disabled: Vec<String>,
}

/// Asks a model for proposals and lets none through that a static guard refuses. A reply that can't be taken goes back
/// once with the reason.
pub struct ModelProposer {
    chat: Arc<dyn Chat>,
    settings: ProposerSettings,
    guards: Guards,
}

impl ModelProposer {
    /// A proposer that asks `chat`.
    pub fn new(chat: Arc<dyn Chat>, settings: ProposerSettings, guards: Guards) -> Self {
        Self { chat, settings, guards }
    }

    async fn ask(&self, ask: &Ask) -> Result<Proposed, Dropped> {
        let mut messages = request::render(ask, self.guards.room(&ask.prompts));
        let first = self.call(ask, &messages, 0).await?;
        let refused = match self.taken(ask, &first) {
            Ok(proposed) => return Ok(proposed),
            Err(refused) => refused,
        };
        // Providers refuse a turn without text.
        let said = if first.text.trim().is_empty() { "(no answer)".to_owned() } else { first.text };
        messages.push(Message { role: Role::Assistant, content: said });
        messages.push(Message { role: Role::User, content: returned(&refused) });
        let second = self.call(ask, &messages, 1).await?;
        self.taken(ask, &second)
    }

    async fn call(&self, ask: &Ask, messages: &[Message], round: u32) -> Result<Completion, Dropped> {
        let mut call = Call {
            role: ModelRole::Proposer,
            request: ChatRequest {
                model: self.settings.model.clone(),
                messages: messages.to_vec(),
                temperature: self.settings.temperature,
                max_tokens: self.settings.max_tokens,
                seed: self.settings.seed,
                format: reply::format(&ask.prompts),
                extra: self.settings.extra.clone(),
                ..ChatRequest::default()
            },
            draw: format!("{}/{}/{}/{round}", ask.seed, ask.generation, ask.slot),
            row: String::new(),
        };
        match self.chat.complete(&call).await {
            // Some servers take no form; the request says in words what the reply must be.
            Err(error) if error.is_refusal() => {
                call.request.format = AnswerFormat::Text;
                Ok(self.chat.complete(&call).await?)
            }
            other => Ok(other?),
        }
    }

    /// The proposal in `completion`, if it can be read and passes the guards.
    fn taken(&self, ask: &Ask, completion: &Completion) -> Result<Proposed, Dropped> {
        let proposal = reply::parse(&completion.text, completion.finish, &ask.prompts)
            .map_err(|error| Dropped::Reply(error.to_string()))?;
        self.guards.check(&ask.prompts, proposal, ask.strategy.quotes_rows, &ask.seen).map_err(|error| match error {
            GuardError::Size { .. } => Dropped::TooLong(error.to_string()),
            _ => Dropped::Guard(error.to_string()),
        })
    }
}

/// What is said to a model whose reply was refused.
fn returned(refused: &Dropped) -> String {
    let reason = match refused {
        Dropped::Reply(reason) | Dropped::Guard(reason) | Dropped::TooLong(reason) => reason.clone(),
        Dropped::Call(error) => error.to_string(),
    };
    format!(
        "This can't be used: {reason}.\n\nReply with the whole JSON object once more, mended. All edits are still against \
         the prompt as it was shown."
    )
}

impl Propose for ModelProposer {
    fn propose<'a>(&'a self, ask: &'a Ask) -> BoxFuture<'a, Result<Proposed, Dropped>> {
        Box::pin(self.ask(ask))
    }

    fn free(&self, ask: &FreeAsk<'_>) -> Vec<(String, Proposed)> {
        let mut found = free::proposals(ask, &self.guards);
        found.retain(|(name, _)| !self.settings.disabled.contains(name));
        found
    }

    fn shorter(&self, prompts: &PromptSet, seen: &BTreeSet<Digest>) -> Vec<(String, Proposed)> {
        if self.settings.disabled.iter().any(|name| name == leave_out::LEAVE_OUT) {
            return Vec::new();
        }
        let proposals = leave_out::proposals(prompts).into_iter();
        // What is there already was let in once: leaving a line out copies nothing.
        proposals
            .filter_map(|proposal| self.guards.check(prompts, proposal, true, seen).ok())
            .map(|proposed| (leave_out::LEAVE_OUT.to_owned(), proposed))
            .collect()
    }

    fn is_sound(&self, before: &PromptSet, after: &PromptSet) -> bool {
        self.guards.sound(before, after).is_ok()
    }

    fn fits(&self, prompts: &PromptSet) -> bool {
        self.guards.fits(prompts)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::sync::Mutex;

    use super::*;
    use crate::model::CallError;
    use crate::model::embedded::Embedded;
    use crate::model::testing::answer;
    use crate::propose::testing::{self, dataset, example};
    use crate::propose::{GuardLimits, ShownRow, load_strategies};

    const GOOD: &str =
        r#"{"edits": [{"search": "- refunds", "replace": "- refunds: wants money back"}], "rationale": "Why."}"#;
    const LOST: &str = r#"{"edits": [{"search": "Ticket: {{ input }}", "replace": "Ticket"}], "rationale": "Why."}"#;

    /// Replies in order and remembers what it was asked.
    #[derive(Default)]
    struct Scripted {
        replies: Mutex<VecDeque<Result<Completion, CallError>>>,
        calls: Mutex<Vec<Call>>,
    }

    impl Scripted {
        fn new(replies: &[&str]) -> Arc<Self> {
            let replies = replies.iter().map(|text| Ok(answer(text))).collect();
            Arc::new(Self { replies: Mutex::new(replies), calls: Mutex::default() })
        }
    }

    impl Chat for Scripted {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            self.calls.lock().unwrap().push(call.clone());
            let reply = self.replies.lock().unwrap().pop_front();
            Box::pin(std::future::ready(reply.unwrap_or_else(|| Err(CallError::Transient("reset".into())))))
        }
    }

    fn proposer(chat: Arc<dyn Chat>) -> ModelProposer {
        let limits = GuardLimits { max_prompt_tokens: 4000, max_growth: 1500, copied_words: 8 };
        let train = dataset(vec![example("t-9", "where is my refund then", "refunds")]);
        let guards = Guards::new(limits, &testing::prompts(testing::PROMPT), &train);
        let settings = ProposerSettings { model: "m".into(), temperature: Some(1.0), ..Default::default() };
        ModelProposer::new(chat, settings, guards)
    }

    #[tokio::test]
    async fn a_good_reply_takes_one_call_whose_draw_is_its_place_in_the_run() {
        let chat = Scripted::new(&[GOOD]);
        let proposed = proposer(chat.clone()).propose(&testing::ask()).await.unwrap();
        assert!(proposed.prompts.first().text().contains("- refunds: wants money back"));
        let calls = chat.calls.lock().unwrap();
        assert_eq!(calls.len(), 1);
        assert_eq!((calls[0].role, calls[0].draw.as_str()), (ModelRole::Proposer, "1/2/3/0"));
        assert_eq!(calls[0].request.format, reply::format(&testing::ask().prompts));
    }

    #[tokio::test]
    async fn a_refused_reply_goes_back_once_with_the_reason() {
        let chat = Scripted::new(&[LOST, GOOD]);
        proposer(chat.clone()).propose(&testing::ask()).await.unwrap();
        let calls = chat.calls.lock().unwrap();
        assert_eq!(calls[1].draw, "1/2/3/1");
        let messages = &calls[1].request.messages;
        assert_eq!(messages[..2], calls[0].request.messages);
        assert_eq!((messages[2].role, messages[2].content.as_str()), (Role::Assistant, LOST));
        assert!(messages[3].content.starts_with("This can't be used: "), "{}", messages[3].content);
        assert!(messages[3].content.contains("{{ input }}"), "{}", messages[3].content);
    }

    #[tokio::test]
    async fn what_is_refused_twice_is_dropped_with_the_last_reason() {
        let dropped = proposer(Scripted::new(&["", LOST])).propose(&testing::ask()).await.unwrap_err();
        assert!(matches!(&dropped, Dropped::Guard(reason) if reason.contains("loses its input")), "{dropped}");
        let dropped = proposer(Scripted::new(&[LOST, "no"])).propose(&testing::ask()).await.unwrap_err();
        assert!(matches!(dropped, Dropped::Reply(_)));
    }

    #[tokio::test]
    async fn a_server_that_refuses_the_form_is_asked_without_it() {
        let refusal = Err(CallError::Rejected("response_format is not supported".into()));
        let replies = VecDeque::from([refusal, Ok(answer(GOOD))]);
        let chat = Arc::new(Scripted { replies: Mutex::new(replies), calls: Mutex::default() });
        proposer(chat.clone()).propose(&testing::ask()).await.unwrap();
        let formed: Vec<bool> = chat.calls.lock().unwrap().iter().map(|call| !call.request.format.is_text()).collect();
        assert_eq!(formed, [true, false]);
    }

    #[tokio::test]
    async fn a_call_that_fails_is_no_reply() {
        let dropped = proposer(Scripted::new(&[])).propose(&testing::ask()).await.unwrap_err();
        assert_eq!(dropped, Dropped::Call(CallError::Transient("reset".into())));
    }

    #[tokio::test]
    async fn the_embedded_model_answers_every_strategy_with_edits_that_pass_and_always_the_same_ones() {
        let rows: Vec<ShownRow> = [
            ("t-2", "I was billed twice, please send one payment back", "refunds"),
            ("t-4", "charged although I cancelled, want my money back", "refunds"),
            ("t-6", "please return the payment for last month, I want my money", "refunds"),
            ("t-8", "which card is on file for the invoice", "billing"),
            ("t-10", "the invoice shows the wrong address", "billing"),
        ]
        .map(|(id, input, expected)| ShownRow {
            id: id.into(),
            input: input.into(),
            expected: Some(expected.into()),
            answered: Some(if expected == "refunds" { "billing" } else { "refunds" }.into()),
            reason: None,
            steps: None,
        })
        .into();
        let proposer = proposer(Arc::new(Embedded::new()));
        let mut passed = Vec::new();
        for strategy in load_strategies(None, &[]).unwrap() {
            let name = strategy.name.clone();
            let mut ask = testing::ask();
            ask.train_rows = if strategy.quotes_rows { rows.clone() } else { Vec::new() };
            (ask.strategy, ask.failing) = (strategy, rows.clone());
            let reply = proposer.propose(&ask).await;
            assert_eq!(format!("{reply:?}"), format!("{:?}", proposer.propose(&ask).await), "{name}");
            if reply.is_ok() {
                passed.push(name);
            }
        }
        // The draft has little to prune or to restructure.
        for name in
            ["define-boundary", "define-labels", "boundary-examples", "add-rule", "output-format", "clarify-task"]
        {
            assert!(passed.iter().any(|passed| passed == name), "{name} is not among {passed:?}");
        }
    }
}
