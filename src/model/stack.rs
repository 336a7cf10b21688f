//! The stack around one model, at one address or several: store (single flight) -> retry -> limit -> budget -> provider.

use std::sync::Arc;

use super::address::{Address, Named, home};
use super::amount::{took, worst_case};
use super::budget::{ANSWER, Budgeted, Charged};
use super::interrupt::{Interruptible, Unkept};
use super::limit::Limited;
use super::log::{LoggedAttempt, LoggedCall};
use super::places::Placed;
use super::retry::Retry;
use super::store::Stored;
use super::{
    BoxFuture, Budget, Call, CallError, CallKey, Chat, Completion, Fault, Interrupt, Ledger, Limit, Price, ProviderId,
    RetryPolicy, Store,
};

/// A provider and how it may be asked.
#[derive(Clone)]
pub struct Provider {
    /// Which one it is.
    pub id: ProviderId,
    /// What answers.
    pub chat: Arc<dyn Chat>,
    /// How many attempts at a time and in a minute, and how long an outage is waited out.
    pub limit: Limit,
    /// How often it is asked again.
    pub retry: RetryPolicy,
    /// What it costs, where that is known.
    pub price: Option<Price>,
}

impl From<Provider> for Vec<Provider> {
    fn from(provider: Provider) -> Self {
        vec![provider]
    }
}

/// What all stacks of one run share.
#[derive(Clone)]
pub struct Session {
    /// The response store.
    pub store: Arc<Store>,
    /// Who pays: the run's id. Answers stored under it are live ones, also after a resume.
    pub run: Arc<str>,
    /// The run's limits.
    pub budget: Arc<Budget>,
    /// What the run has used.
    pub ledger: Arc<Ledger>,
    /// Set when the run is to stop.
    pub interrupt: Interrupt,
}

/// All layers around one model, at whichever addresses it has. Calls of any role can be made through it.
pub struct Stack {
    /// At least one.
    addresses: Vec<Address>,
    price: Option<Price>,
    budget: Arc<Budget>,
    ledger: Arc<Ledger>,
    interrupt: Interrupt,
    /// Whether a program answers, which makes calls of its own.
    is_target: bool,
}

impl Stack {
    /// Puts the layers around a model at one address or several. A row is always asked at the same one.
    pub fn new(providers: impl Into<Vec<Provider>>, session: &Session) -> Self {
        let providers = providers.into();
        let (price, several) = (providers.first().and_then(|provider| provider.price), providers.len() > 1);
        let address = |mut provider: Provider| {
            if several {
                let inner = Arc::clone(&provider.chat);
                provider.chat = Arc::new(Named { inner, address: provider.id.base_url.clone() });
            }
            address(provider, session)
        };
        Self {
            addresses: providers.into_iter().map(address).collect(),
            price,
            budget: Arc::clone(&session.budget),
            ledger: Arc::clone(&session.ledger),
            interrupt: session.interrupt.clone(),
            is_target: false,
        }
    }

    /// The layers around a target's program, `chat`, known as `id`, of which so many `workers` answer at a time:
    /// store -> place -> interrupt -> one call of the budget. What it asks of a model goes through that model's stack.
    pub fn of_target(id: ProviderId, chat: Arc<dyn Chat>, workers: usize, session: &Session) -> Self {
        let (budget, ledger) = (Arc::clone(&session.budget), Arc::clone(&session.ledger));
        let charged =
            Arc::new(Charged { inner: Arc::clone(&chat), budget: Arc::clone(&budget), ledger: Arc::clone(&ledger) });
        let begun = Arc::new(Interruptible { inner: charged, interrupt: session.interrupt.clone() });
        let logged = Arc::new(LoggedCall { inner: Arc::new(Placed::new(begun, workers)) });
        let stored = Stored::new(
            logged,
            workers,
            Arc::clone(&session.store),
            Arc::clone(&session.run),
            session.interrupt.clone(),
        );
        Self {
            addresses: vec![Address { id, chat, stored, limit: Limit::new(workers) }],
            price: None,
            budget,
            ledger,
            interrupt: session.interrupt.clone(),
            is_target: true,
        }
    }

    /// The same stack for calls that a target's program makes: they count when the row does that they were made for, so
    /// that the count doesn't depend on which rows were answered from the store.
    pub fn for_parts(self) -> Self {
        Self { ledger: Arc::default(), ..self }
    }

    /// The key of `call` here: what the store and the journal know it by.
    pub fn key(&self, call: &Call) -> CallKey {
        call.key(&self.address(call).id)
    }

    /// At how many addresses it is asked.
    pub fn addresses(&self) -> usize {
        self.addresses.len()
    }

    /// What each of its addresses is to blame for, where that is something.
    pub fn faults(&self) -> impl Iterator<Item = (usize, Fault)> + '_ {
        self.addresses.iter().enumerate().filter_map(|(at, address)| Some((at, address.limit.fault()?)))
    }

    /// What the latest of its calls that failed have ended with, address by address.
    pub fn met(&self) -> impl Iterator<Item = Fault> + '_ {
        self.addresses.iter().filter_map(|address| address.limit.met())
    }

    /// The one that answers `call`.
    fn address(&self, call: &Call) -> &Address {
        &self.addresses[home(self.addresses.iter().map(|address| &address.id), call)]
    }

    async fn answer(&self, call: &Call) -> Result<Completion, CallError> {
        let address = self.address(call);
        let key = call.key(&address.id);
        if self.interrupt.is_set() {
            self.interrupt.over().await;
            return Err(CallError::Interrupted);
        }
        let answer = tokio::select! {
            // An answer that is there is taken also when time is up.
            biased;
            answer = self.in_time(address, key, call) => answer,
            () = self.interrupt.over() => return Err(CallError::Interrupted),
        };
        let completion = answer.inspect_err(|error| address.limit.ended_with(error))?;
        address.limit.note_answerable(call);
        let most = if self.is_target { ANSWER } else { worst_case(&call.request, self.price.as_ref()) };
        self.ledger.note(call.role, key, &completion, took(&completion, self.price.as_ref(), most), most);
        for key in completion.trace.iter().flatten().filter_map(|step| step.call) {
            if let Some(part) = address.stored.read(key)? {
                self.ledger.note_part(call.role, key, &part, took(&part, None, ANSWER));
            }
        }
        Ok(completion)
    }

    /// The answer, unless it is still being waited for some time after the time is up: a pause or a wait between
    /// attempts must not outlast the run.
    async fn in_time(&self, address: &Address, key: CallKey, call: &Call) -> Result<Completion, CallError> {
        let answer = address.stored.answer(key, call);
        match self.budget.patience() {
            Some(patience) => tokio::time::timeout(patience, answer).await.unwrap_or(Err(CallError::TimeUp)),
            None => answer.await,
        }
    }
}

impl Chat for Stack {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.answer(call))
    }

    /// Whether all its addresses can be reached.
    fn reach(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async {
            for address in &self.addresses {
                let reached = tokio::select! {
                    biased;
                    reached = address.chat.reach() => reached,
                    () = self.interrupt.over() => return Err(CallError::Interrupted),
                };
                reached.inspect_err(|error| address.limit.ended_with(error))?;
            }
            Ok(())
        })
    }
}

/// The layers around one address.
fn address(provider: Provider, session: &Session) -> Address {
    let Provider { id, chat, limit, retry, price } = provider;
    let budgeted = |is_kept| {
        let inner = Arc::new(LoggedAttempt { inner: Arc::clone(&chat) });
        let (budget, ledger) = (Arc::clone(&session.budget), Arc::clone(&session.ledger));
        let budgeted = Arc::new(Budgeted { inner, budget, price, ledger, is_kept });
        // Between the wait for a place and the reservation: what is stopped here was neither sent nor counted.
        Interruptible { inner: budgeted, interrupt: session.interrupt.clone() }
    };
    let probe = Arc::new(Unkept(budgeted(false)));
    let limited = Arc::new(Limited { inner: Arc::new(budgeted(true)), probe, limit: limit.clone() });
    let retry = Arc::new(Retry::new(limited, retry, limit.clone()));
    let logged = Arc::new(LoggedCall { inner: retry });
    let at_once = limit.max_concurrency();
    let stored =
        Stored::new(logged, at_once, Arc::clone(&session.store), Arc::clone(&session.run), session.interrupt.clone());
    Address { id, chat, stored, limit }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::future::join_all;
    use tokio_util::sync::CancellationToken;

    use super::*;
    use crate::model::testing::{Script, answer, call};
    use crate::model::{Ceiling, Limits, ModelRole, Origin, TraceStep, Usage};

    fn session(store: &Arc<Store>, run: &str) -> Session {
        Session {
            store: Arc::clone(store),
            run: run.into(),
            budget: Budget::new(Limits::default()),
            ledger: Arc::default(),
            interrupt: CancellationToken::new().into(),
        }
    }

    fn stack(replies: Vec<Result<Completion, CallError>>, session: &Session) -> (Arc<Script>, Stack) {
        let script = Arc::new(Script::new(replies));
        let provider = Provider {
            id: ProviderId { kind: "script".into(), base_url: String::new() },
            chat: script.clone(),
            limit: Limit::new(8),
            retry: RetryPolicy::default(),
            price: Some(Price { input: 1.0, output: 1.0, ..Price::default() }),
        };
        (script, Stack::new(provider, session))
    }

    #[tokio::test(start_paused = true)]
    async fn identical_calls_share_one_request_and_count_once() {
        let session = session(&Store::in_memory(), "r1");
        let (script, stack) = stack(vec![Err(CallError::Transient("500".into())), Ok(answer("billing"))], &session);
        let same = call("0");
        let answers = join_all((0..50).map(|_| stack.complete(&same))).await;
        assert!(answers.into_iter().all(|answer| answer.unwrap().text == "billing"));
        assert_eq!(script.asked(), 2, "the failed attempt and the answer");
        let spend = session.ledger.spend().roles[&ModelRole::Task];
        assert_eq!((spend.live, spend.stored, spend.failed, spend.cost.picos()), (1, 0, 1, 12_000_000));
    }

    #[tokio::test(start_paused = true)]
    async fn an_answer_is_live_for_the_run_that_paid_and_stored_for_others() {
        let store = Store::in_memory();
        let (_, first) = stack(vec![Ok(answer("billing"))], &session(&store, "r1"));
        assert_eq!(first.complete(&call("0")).await.unwrap().origin, Origin::Live);
        let (resumed_script, resumed) = stack(vec![], &session(&store, "r1"));
        assert_eq!(resumed.complete(&call("0")).await.unwrap().origin, Origin::Live);
        let (other_script, other) = stack(vec![], &session(&store, "r2"));
        assert_eq!(other.complete(&call("0")).await.unwrap().origin, Origin::Stored);
        assert_eq!(resumed_script.asked() + other_script.asked(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn another_draw_is_another_call_and_errors_are_not_stored() {
        let session = session(&Store::in_memory(), "r1");
        let rejected = CallError::Rejected("too long".into());
        let (script, stack) = stack(vec![Err(rejected.clone()), Ok(answer("a")), Ok(answer("b"))], &session);
        assert_eq!(stack.complete(&call("0")).await.unwrap_err(), rejected);
        assert_eq!(stack.complete(&call("0")).await.unwrap().text, "a");
        assert_eq!(stack.complete(&call("1")).await.unwrap().text, "b");
        assert_eq!(script.asked(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn an_interrupt_drops_calls_that_wait_and_makes_no_new_ones() {
        let token = CancellationToken::new();
        let session = Session { interrupt: token.clone().into(), ..session(&Store::in_memory(), "r1") };
        let wait = CallError::Busy { message: "slow".into(), retry_after_ms: Some(50_000) };
        let (script, stack) = stack(vec![Err(wait), Ok(answer("a"))], &session);
        let waiting = call("0");
        let (result, ()) = tokio::join!(stack.complete(&waiting), async {
            tokio::task::yield_now().await;
            token.cancel();
        });
        assert_eq!(result.unwrap_err(), CallError::Interrupted);
        assert_eq!(stack.complete(&call("1")).await.unwrap_err(), CallError::Interrupted);
        assert_eq!(script.asked(), 1);
    }

    /// Answers after as many seconds as the draw says.
    struct Slow;

    impl Chat for Slow {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                tokio::time::sleep(Duration::from_secs(call.draw.parse().unwrap())).await;
                Ok(answer(&call.draw))
            })
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_under_way_at_an_interrupt_has_some_time_to_end_and_is_kept() {
        let (token, store) = (CancellationToken::new(), Store::in_memory());
        let interrupt = Interrupt::new(token.clone(), Duration::from_secs(10));
        let session = Session { interrupt, ..session(&store, "r1") };
        let provider = Provider {
            id: ProviderId { kind: "slow".into(), base_url: String::new() },
            chat: Arc::new(Slow),
            limit: Limit::new(2),
            retry: RetryPolicy::default(),
            price: None,
        };
        let stack = Stack::new(provider, &session);
        let calls: Vec<Call> = ["5", "60", "1"].iter().map(|draw| call(draw)).collect();
        let began = tokio::time::Instant::now();
        let (results, ()) = tokio::join!(join_all(calls.iter().map(|call| stack.complete(call))), async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            token.cancel();
        });
        let texts: Vec<_> = results.into_iter().map(|result| result.map(|answer| answer.text)).collect();
        // The third waited for its turn, and was never sent; the second took too long.
        let interrupted = || Err(CallError::Interrupted);
        assert_eq!(texts, [Ok("5".to_owned()), interrupted(), interrupted()]);
        assert_eq!(began.elapsed().as_secs(), 12);
        assert_eq!(store.paid("r1").unwrap()[&ModelRole::Task].calls, 1);
    }

    /// A program that asks a model twice for each answer.
    struct Agent(Arc<Stack>);

    impl Chat for Agent {
        fn complete<'a>(&'a self, row: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                let mut trace = Vec::new();
                for part in ["a", "b"] {
                    let asked = call(&format!("{}{part}", row.draw));
                    self.0.complete(&asked).await?;
                    trace.push(TraceStep { call: Some(self.0.key(&asked)), ..TraceStep::default() });
                }
                Ok(Completion { trace: Some(trace), usage: Usage::default(), ..answer("done") })
            })
        }
    }

    fn agent(session: &Session) -> (Arc<Script>, Stack) {
        let replies = (0..9).map(|_| Ok(answer("x"))).collect();
        let (script, model) = stack(replies, session);
        let id = ProviderId { kind: "target".into(), base_url: String::new() };
        (script, Stack::of_target(id, Arc::new(Agent(Arc::new(model.for_parts()))), 2, session))
    }

    #[tokio::test(start_paused = true)]
    async fn a_programs_answer_and_its_calls_count_the_same_when_they_are_read_back() {
        let store = Store::in_memory();
        let first = session(&store, "r1");
        let (script, target) = agent(&first);
        for draw in ["0", "1"] {
            target.complete(&call(draw)).await.unwrap();
        }
        let spend = first.ledger.spend().roles[&ModelRole::Task];
        assert_eq!((script.asked(), spend.live, spend.tokens_in, spend.cost.picos()), (4, 6, 40, 48_000_000));
        assert_eq!(first.ledger.outlook(ModelRole::Task).units, 2);
        assert_eq!(store.paid("r1").unwrap()[&ModelRole::Task].calls, 6);
        let again = session(&store, "r1");
        let (script, target) = agent(&again);
        for draw in ["0", "1"] {
            target.complete(&call(draw)).await.unwrap();
        }
        assert_eq!((script.asked(), again.ledger.spend()), (0, first.ledger.spend()));
        assert_eq!(again.ledger.outlook(ModelRole::Task), first.ledger.outlook(ModelRole::Task));
    }

    #[tokio::test(start_paused = true)]
    async fn a_programs_calls_never_wait_for_the_row_that_makes_them() {
        let limits = Limits { together: Ceiling { calls: Some(5), ..Ceiling::default() }, ..Limits::default() };
        let session = Session { budget: Budget::new(limits), ..session(&Store::in_memory(), "r1") };
        let (script, target) = agent(&session);
        let calls: Vec<Call> = ["0", "1", "2"].iter().map(|draw| call(draw)).collect();
        let results = join_all(calls.iter().map(|call| target.complete(call))).await;
        assert!(results.iter().filter_map(|result| result.as_ref().err()).all(CallError::is_limit), "{results:?}");
        assert!(results.iter().any(Result::is_err) && script.asked() <= 4);
    }
}
