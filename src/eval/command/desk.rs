//! Where a worker's model calls are attributed to the row that it is at, and become steps of it, with the tools that they
//! asked for.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use crate::digest::Digest;
use crate::model::{Call, CallError, ChatRequest, TraceStep};
use crate::prompt::Message;

/// Where a tool call holds what its provider wants to see again with it.
pub(super) const KEPT: &str = "extra_content";

/// The desk of one worker.
#[derive(Default)]
pub(super) struct Desk {
    row: Mutex<Option<Arc<Mutex<RowCalls>>>>,
}

/// The calls of one row.
#[derive(Default)]
pub(super) struct RowCalls {
    /// Of the row.
    id: String,
    draw: String,
    /// What each prompt says for this row, by name.
    prompts: Vec<(String, Vec<Message>)>,
    /// How often each request was made so far: a repeat is a fresh draw.
    asked: BTreeMap<Digest, u32>,
    /// In the order in which they were asked.
    steps: Vec<CallSteps>,
    /// The first failure that is nobody's fault here: the row can't be scored.
    fault: Option<CallError>,
}

/// The steps of one call: none while it isn't answered.
#[derive(Default)]
struct CallSteps {
    call: Option<TraceStep>,
    tools: Vec<ToolStep>,
    /// Why the request was refused, where it was.
    refused: Option<CallError>,
}

/// A tool that an answer asked for; its output is what a later request says that it gave.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ToolStep {
    /// What the answer calls it, and the request that brings its result.
    pub(super) id: String,
    /// What the provider wants to see again with it; null where that is nothing.
    pub(super) kept: Value,
    pub(super) step: TraceStep,
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Plain records: a panic elsewhere can't leave them half changed.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Desk {
    /// From now on calls belong to the row that `call` is for and to its draw; the prompts of these names say these messages
    /// there.
    pub(super) fn begin(&self, call: &Call, prompts: Vec<(String, Vec<Message>)>) {
        let row = RowCalls { id: call.row.clone(), draw: call.draw.clone(), prompts, ..RowCalls::default() };
        *lock(&self.row) = Some(Arc::new(Mutex::new(row)));
    }

    /// The row that the worker is at.
    pub(super) fn row(&self) -> Option<Arc<Mutex<RowCalls>>> {
        lock(&self.row).clone()
    }

    /// The row's calls as steps, each with the tools that it asked for after it, or the failure that took its answer: one
    /// that is nobody's fault here, or a refusal after which no request was answered any more. Later calls belong to no row.
    pub(super) fn end(&self) -> Result<Vec<TraceStep>, CallError> {
        let Some(row) = lock(&self.row).take() else { return Ok(Vec::new()) };
        let mut row = lock(&row);
        match row.fault.take().or_else(|| row.last_refusal()) {
            Some(fault) => Err(fault),
            None => {
                let steps = std::mem::take(&mut row.steps).into_iter();
                Ok(steps.flat_map(|of| of.call.into_iter().chain(of.tools.into_iter().map(|tool| tool.step))).collect())
            }
        }
    }
}

impl RowCalls {
    /// Id of the row.
    pub(super) fn id(&self) -> &str {
        &self.id
    }

    /// Puts what the provider wants to see again with a call back to it, where the program left it out of the conversation:
    /// few client libraries know of it.
    pub(super) fn complete(&self, request: &mut ChatRequest) {
        let known: Vec<&ToolStep> =
            self.steps.iter().flat_map(|of| &of.tools).filter(|of| !of.kept.is_null()).collect();
        let messages = request.tools.iter_mut().flat_map(|tools| &mut tools.messages);
        for call in messages.filter_map(|message| message.get_mut("tool_calls")?.as_array_mut()).flatten() {
            let kept = known.iter().find(|tool| call["id"] == tool.id.as_str()).map(|tool| &tool.kept);
            if let (Some(kept), Some(call)) = (kept, call.as_object_mut()) {
                call.entry(KEPT).or_insert_with(|| kept.clone());
            }
        }
    }

    /// The place of the next call, which brings the `results` of tools by their ids, and its draw.
    pub(super) fn open(&mut self, request: &ChatRequest, results: Vec<(String, Value)>) -> (usize, String) {
        for (id, result) in results {
            let mut tools = self.steps.iter_mut().flat_map(|of| &mut of.tools);
            // What was told before stands again in every later request.
            if let Some(tool) = tools.find(|tool| tool.id == id && tool.step.output.is_null()) {
                tool.step.output = result;
            }
        }
        // A request always serialises; should that ever change, its debug form tells requests apart as well.
        let bytes = serde_json::to_vec(request).unwrap_or_else(|_| format!("{request:?}").into_bytes());
        let times = self.asked.entry(Digest::of(&bytes)).or_default();
        let draw = if *times == 0 { self.draw.clone() } else { format!("{}/{times}", self.draw) };
        *times += 1;
        (self.reserve(), draw)
    }

    /// The place of the next request.
    pub(super) fn reserve(&mut self) -> usize {
        self.steps.push(CallSteps::default());
        self.steps.len() - 1
    }

    /// The call at `place` came back, with these `tools` asked for.
    pub(super) fn close(&mut self, place: usize, step: TraceStep, tools: Vec<ToolStep>) {
        self.steps[place] = CallSteps { call: Some(step), tools, refused: None };
    }

    /// The request at `place` was refused: the program may ask for something else in its place.
    pub(super) fn refuse(&mut self, place: usize, error: CallError) {
        self.steps[place].refused = Some(error);
    }

    /// Why the last request that came back was refused, where it was: whatever the program answers then rests on no model's
    /// answer to it.
    fn last_refusal(&self) -> Option<CallError> {
        let came_back = |of: &&CallSteps| of.call.is_some() || of.refused.is_some();
        self.steps.iter().rfind(came_back)?.refused.clone()
    }

    /// The row can't be scored.
    pub(super) fn fail(&mut self, fault: CallError) {
        self.fault.get_or_insert(fault);
    }

    /// The prompt whose messages `messages` begin with; of several the one that says the most.
    pub(super) fn prompt(&self, messages: &[Message]) -> Option<&str> {
        let said = self.prompts.iter().filter(|(_, said)| !said.is_empty() && messages.starts_with(said));
        said.max_by_key(|(_, said)| said.len()).map(|(name, _)| name.as_str())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::testing::call;

    fn tool(id: &str, name: &str) -> ToolStep {
        ToolStep { id: id.into(), kept: Value::Null, step: TraceStep { name: name.into(), ..TraceStep::default() } }
    }

    #[test]
    fn tools_stand_behind_the_call_that_asked_for_them_with_what_a_later_request_says_they_gave() {
        let desk = Desk::default();
        desk.begin(&call("0"), Vec::new());
        let row = desk.row().unwrap();
        let step = |name: &str| TraceStep { name: name.into(), ..TraceStep::default() };
        {
            let mut row = lock(&row);
            let asked = ChatRequest::default();
            let (first, _) = row.open(&asked, Vec::new());
            // Asked meanwhile, and answered before.
            let (second, _) = row.open(&asked, Vec::new());
            row.close(second, step("second"), vec![tool("c1", "b")]);
            row.close(first, step("first"), vec![tool("c1", "a"), tool("c2", "c")]);
            let result = |text: &str| vec![("c1".to_owned(), json!(text))];
            row.open(&asked, result("one"));
            row.open(&asked, result("two"));
            row.open(&asked, vec![("c9".to_owned(), json!("nobody asked"))]);
        }
        let steps = desk.end().unwrap();
        let seen: Vec<_> = steps.iter().map(|step| (step.name.as_str(), step.output.clone())).collect();
        let one = |name, output| (name, output);
        assert_eq!(
            seen,
            [
                one("first", Value::Null),
                one("a", json!("one")),
                one("c", Value::Null),
                one("second", Value::Null),
                one("b", json!("two")),
            ]
        );
    }
}
