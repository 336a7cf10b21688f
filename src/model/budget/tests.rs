//! The budget under every order of reservations: never exceeded, and nothing lost count of.

use std::sync::atomic::{AtomicU64, Ordering};

use proptest::prelude::*;

use super::*;
use crate::clock::ManualClock;
use crate::model::Ceiling;
use crate::model::testing::{answer, call};
use crate::money::Money;

const PRICE: Price =
    Price { input: 3.0, output: 15.0, cached: Some(0.3), cache_write: Some(3.75), max_output: Some(64) };

/// What becomes of an attempt.
#[derive(Debug, Clone, Copy)]
enum Fate {
    Answered,
    /// Not billed.
    Refused,
    /// Billed, without an answer.
    Cut,
    /// Billed, and given up on by whoever asked.
    Dropped,
}

/// One attempt: its fate, and how much of what it may use it does use, in per cent.
type Attempt = (Fate, u64);

/// A provider with its own books.
#[derive(Default)]
struct Billing {
    attempts: Vec<Attempt>,
    next: AtomicU64,
    price: Price,
    billed: Mutex<[Amount; ModelRole::ALL.len()]>,
}

impl Billing {
    fn usage(&self, call: &Call, percent: u64) -> Usage {
        let most = worst_case(&call.request, Some(&self.price));
        let output = u64::from(call.request.max_tokens.unwrap_or(64));
        let (input, output) = ((most.tokens - output) * percent / 100, output * percent / 100);
        Usage { input: input.max(1), output, cached: input / 3, reasoning: 0, cache_write: input / 4 }
    }
}

impl Chat for Billing {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let number = self.next.fetch_add(1, Ordering::SeqCst) as usize;
            let (fate, percent) = self.attempts[number % self.attempts.len()];
            let usage = self.usage(call, percent);
            if !matches!(fate, Fate::Refused) {
                let money = self.price.cost(&usage);
                let used = Amount { calls: 1, tokens: usage.input + usage.output, money };
                self.billed.lock().unwrap()[call.role as usize] += used;
            }
            for _ in 0..number % 5 {
                tokio::task::yield_now().await;
            }
            match fate {
                Fate::Answered => Ok(Completion { usage, ..answer(&call.draw) }),
                Fate::Refused => Err(CallError::Transient("503".into())),
                Fate::Cut => Err(CallError::Unanswered("reset".into())),
                Fate::Dropped => std::future::pending().await,
            }
        })
    }
}

fn layer(provider: &Arc<Billing>, limits: Limits) -> (Arc<Budgeted>, Arc<Budget>) {
    let budget = Budget::new(limits);
    let price = Some(provider.price);
    let inner = Arc::clone(provider) as Arc<dyn Chat>;
    (Arc::new(Budgeted { inner, budget: Arc::clone(&budget), price, ledger: Arc::default(), is_kept: true }), budget)
}

/// Makes `calls` calls of all roles at once and gives up on those that hang; how many were answered.
async fn ask(layer: &Arc<Budgeted>, calls: usize, size: usize, max_tokens: u32) -> u64 {
    let tasks: Vec<_> = (0..calls)
        .map(|number| {
            let layer = Arc::clone(layer);
            let mut call = Call { role: ModelRole::ALL[number % 3], ..call(&number.to_string()) };
            call.request.messages[0].content = "x".repeat(size * (1 + number % 4));
            call.request.max_tokens = Some(max_tokens);
            tokio::spawn(async move {
                tokio::time::timeout(Duration::from_millis(5), layer.complete(&call))
                    .await
                    .is_ok_and(|done| done.is_ok())
            })
        })
        .collect();
    let mut answered = 0;
    for task in tasks {
        answered += u64::from(task.await.unwrap());
    }
    answered
}

fn fate() -> impl Strategy<Value = Fate> {
    prop_oneof![6 => Just(Fate::Answered), 1 => Just(Fate::Refused), 1 => Just(Fate::Cut), 1 => Just(Fate::Dropped)]
}

fn ceiling() -> impl Strategy<Value = Ceiling> {
    let money = proptest::option::of(0_u64..60_000_000_000);
    (proptest::option::of(0_u64..40), proptest::option::of(0_u64..20_000), money)
        .prop_map(|(calls, tokens, money)| Ceiling { calls, tokens, money: money.map(Money::from_picos) })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn no_limit_is_ever_exceeded_whatever_the_prices_sizes_failures_and_concurrency(
        together in ceiling(),
        task in ceiling(),
        attempts in proptest::collection::vec((fate(), 0_u64..=100), 1..40),
        input in 0.0_f64..20.0,
        output in 0.0_f64..80.0,
        cached in proptest::option::of(0.0_f64..5.0),
        cache_write in proptest::option::of(0.0_f64..30.0),
        (calls, size, max_tokens, threads) in (0_usize..60, 1_usize..300, 1_u32..200, 1_usize..4),
    ) {
        let price = Price { input, output, cached, cache_write, max_output: None };
        let provider = Arc::new(Billing { attempts, price, ..Billing::default() });
        let limits = Limits { together, by_role: [(ModelRole::Task, task)].into() };
        let (layer, budget) = layer(&provider, limits);
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(threads).enable_time().build().unwrap();
        let answered = runtime.block_on(ask(&layer, calls, size, max_tokens));
        let billed = *provider.billed.lock().unwrap();
        prop_assert!(together.exceeded_by(sum(&billed)).is_none(), "{billed:?} is above {together:?}");
        prop_assert!(task.exceeded_by(billed[0]).is_none(), "{billed:?} is above {task:?}");
        let state = budget.lock();
        prop_assert_eq!(sum(&state.reserved), Amount::default(), "nothing stays set aside");
        prop_assert_eq!(sum(&state.taken).calls, answered + sum(&state.lost).calls);
        prop_assert!(sum(&state.taken).money >= sum(&billed).money, "what was billed is counted");
    }
}

fn money(dollars: f64) -> Limits {
    let together = Ceiling { money: Some(Money::from_dollars(dollars)), ..Ceiling::default() };
    Limits { together, ..Limits::default() }
}

#[tokio::test]
async fn what_fits_once_others_have_settled_is_waited_for_and_not_refused() {
    let attempts = vec![(Fate::Answered, 1)];
    let provider = Arc::new(Billing { attempts, price: PRICE, ..Billing::default() });
    let most = worst_case(&call("0").request, Some(&PRICE)).money;
    // Room for two at a time at the most they may cost; in truth a hundred of them cost less.
    let (layer, _) = layer(&provider, money(2.5 * most.dollars()));
    let calls: Vec<Call> = (0..100).map(|number| call(&number.to_string())).collect();
    let answers = futures_util::future::join_all(calls.iter().map(|call| layer.complete(call))).await;
    assert!(answers.iter().all(Result::is_ok), "{answers:?}");
}

#[tokio::test]
async fn an_attempt_that_may_have_been_billed_counts_at_its_most_and_one_that_was_refused_as_nothing() {
    for (fate, counted) in [(Fate::Cut, true), (Fate::Dropped, true), (Fate::Refused, false)] {
        let provider = Arc::new(Billing { attempts: vec![(fate, 10)], price: PRICE, ..Billing::default() });
        let most = worst_case(&call("0").request, Some(&PRICE));
        let (layer, budget) = layer(&provider, money(1.0));
        let asked = call("0");
        let _ = tokio::time::timeout(Duration::from_millis(1), layer.complete(&asked)).await;
        let lost = budget.lost().get(&ModelRole::Task).copied();
        assert_eq!(lost, counted.then_some(most), "{fate:?}");
    }
}

#[tokio::test]
async fn a_provider_that_counts_no_tokens_is_taken_to_have_used_the_most() {
    struct Silent;
    impl Chat for Silent {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async { Ok(Completion { usage: Usage::default(), ..answer(&call.draw) }) })
        }
    }
    let budget = Budget::new(money(1.0));
    let layer = Budgeted {
        inner: Arc::new(Silent),
        budget: Arc::clone(&budget),
        price: Some(PRICE),
        ledger: Arc::default(),
        is_kept: true,
    };
    let completion = layer.complete(&call("0")).await.unwrap();
    assert_eq!(completion.cost, None, "what it cost is not known");
    assert_eq!(budget.lock().taken[0], worst_case(&call("0").request, Some(&PRICE)));
}

#[tokio::test]
async fn an_answer_that_nobody_keeps_counts_as_lost_at_what_it_cost() {
    let (budget, ledger) = (Budget::new(money(1.0)), Arc::<Ledger>::default());
    let script = crate::model::testing::Script::new(vec![Ok(answer("a"))]);
    let (inner, price) = (Arc::new(script), Some(PRICE));
    let layer = Budgeted { inner, budget: Arc::clone(&budget), price, ledger: Arc::clone(&ledger), is_kept: false };
    let completion = layer.complete(&call("0")).await.unwrap();
    let lost = budget.lost()[&ModelRole::Task];
    assert_eq!((lost.calls, lost.tokens), (1, completion.usage.input + completion.usage.output));
    assert_eq!((budget.lock().taken[0], ledger.spend().total().failed), (lost, 1));
}

#[tokio::test]
async fn a_refusal_names_the_limit_as_the_config_does() {
    let one = Amount { calls: 1, tokens: 100, money: Money::from_dollars(0.5) };
    let by_role = [(ModelRole::Judge, Ceiling { calls: Some(1), ..Ceiling::default() })].into();
    let budget = Budget::new(Limits { by_role, ..money(1.2) });
    budget.carry_over(ModelRole::Judge, one);
    let refused = async |role| budget.reserve(role, one).await.unwrap_err().to_string();
    assert_eq!(
        refused(ModelRole::Judge).await,
        "budget used up: what is left of budget.judge.calls = 1 does not cover another call"
    );
    budget.reserve(ModelRole::Task, one).await.unwrap().settle(one);
    assert_eq!(
        refused(ModelRole::Task).await,
        "budget used up: what is left of budget.usd = $1.2000 does not cover another call"
    );
}

#[tokio::test]
async fn what_is_kept_back_is_there_at_the_end() {
    let limits = Limits { together: Ceiling { calls: Some(3), ..Ceiling::default() }, ..Limits::default() };
    let budget = Budget::new(limits);
    let one = Amount { calls: 1, ..Amount::default() };
    budget.keep_back(&[(ModelRole::Task, Amount { calls: 2, ..Amount::default() })].into());
    assert!(budget.shortage(&[(ModelRole::Task, one)].into()).is_none());
    budget.reserve(ModelRole::Task, one).await.unwrap().settle(one);
    assert!(budget.shortage(&[(ModelRole::Task, one)].into()).is_some());
    assert!(budget.reserve(ModelRole::Proposer, one).await.is_err());
    budget.keep_back(&BTreeMap::new());
    budget.close(Some(CallError::TimeUp));
    assert_eq!(budget.reserve(ModelRole::Task, one).await.unwrap_err(), CallError::TimeUp);
    budget.close(None);
    for _ in 0..2 {
        budget.reserve(ModelRole::Task, one).await.unwrap().settle(one);
    }
    assert!(budget.reserve(ModelRole::Task, one).await.is_err());
}

#[tokio::test]
async fn nothing_is_asked_once_the_time_is_up_less_what_the_end_takes() {
    let clock = ManualClock::at(Duration::from_secs(1_000));
    let budget = Budget::new(Limits::default());
    budget.end_at(Arc::new(clock.clone()), Duration::from_secs(1_100));
    let one = Amount { calls: 1, ..Amount::default() };
    for _ in 0..10 {
        budget.reserve(ModelRole::Task, one).await.unwrap().settle(one);
        clock.advance(Duration::from_secs(2));
    }
    // Two seconds a call: ten calls at the end take twenty of the eighty that are left.
    budget.keep_back(&[(ModelRole::Task, Amount { calls: 10, ..Amount::default() })].into());
    let need = |calls| BTreeMap::from([(ModelRole::Task, Amount { calls, ..Amount::default() })]);
    assert_eq!(budget.shortage(&need(29)), None);
    assert_eq!(budget.shortage(&need(31)), Some(CallError::TimeUp));
    clock.advance(Duration::from_secs(61));
    assert_eq!(budget.reserve(ModelRole::Task, one).await.unwrap_err(), CallError::TimeUp);
    budget.keep_back(&BTreeMap::new());
    budget.reserve(ModelRole::Task, one).await.unwrap().settle(one);
    clock.advance(Duration::from_secs(20));
    assert!(budget.reserve(ModelRole::Task, one).await.is_err());
}

#[test]
fn what_was_paid_and_lost_before_the_interruption_counts() {
    let budget = Budget::new(Limits {
        by_role: [(ModelRole::Judge, Ceiling { calls: Some(3), ..Ceiling::default() })].into(),
        ..Limits::default()
    });
    let one = Amount { calls: 1, ..Amount::default() };
    budget.carry_over(ModelRole::Judge, one);
    budget.carry_over_lost(ModelRole::Judge, one);
    assert_eq!(budget.lost(), [(ModelRole::Judge, one)].into());
    assert!(budget.shortage(&[(ModelRole::Judge, one)].into()).is_none());
    assert!(budget.shortage(&[(ModelRole::Judge, one + one)].into()).is_some());
}

#[test]
fn what_a_killed_process_may_have_taken_counts_as_taken_and_the_limits_hold() {
    let together = Ceiling { calls: Some(500), money: Some(Money::from_dollars(5.0)), ..Ceiling::default() };
    let limits = Limits { together, ..Limits::default() };
    let most = Amount { calls: 1, tokens: 900, money: Money::from_dollars(0.02) };
    let (mut written, mut paid, mut writes) = (BTreeMap::new(), Amount::default(), 0);
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    // Each process answers some calls, has others under way, and is killed.
    for process in 1..6_u64 {
        let budget = Budget::new(limits.clone());
        budget.carry_over(ModelRole::Task, paid);
        let told = Arc::new(Mutex::new((written.clone(), 0)));
        let telling = Arc::clone(&told);
        let under_way_before = budget.allot(&written, move |allotted| {
            let mut told = telling.lock().unwrap();
            *told = (allotted.clone(), told.1 + 1);
            Ok(())
        });
        let earlier = written.get(&ModelRole::Task).copied().unwrap_or_default();
        let limited = Amount { tokens: 0, ..earlier.saturating_sub(paid) };
        assert_eq!(under_way_before, limited, "{process}");
        let mut under_way = Vec::new();
        for number in 0..40 + process {
            let Ok(reservation) = runtime.block_on(budget.reserve(ModelRole::Task, most)) else { break };
            if number % 5 == 0 {
                under_way.push(reservation);
            } else {
                let used = Amount { money: Money::from_dollars(0.01), tokens: 450, ..most };
                reservation.settle(used);
                paid += used;
            }
        }
        (written, writes) = told.lock().unwrap().clone();
        let billed = under_way.iter().fold(paid, |sum, _| sum + most);
        let allotted = written[&ModelRole::Task];
        assert!(billed.calls <= allotted.calls && billed.money <= allotted.money, "{process}");
        assert!(allotted.calls <= 500 + 5, "{process}: {allotted:?}");
        under_way.into_iter().for_each(std::mem::forget);
    }
    assert!(writes > 0);
    let budget = Budget::new(limits);
    budget.carry_over(ModelRole::Task, paid);
    budget.allot(&written, |_| Err("disk full".into()));
    let refused = runtime.block_on(budget.reserve(ModelRole::Task, most)).unwrap_err();
    assert!(matches!(refused, CallError::Store(_)), "what can't be written down can't be taken: {refused}");
    assert!(budget.shortage(&[(ModelRole::Task, Amount { calls: 500, ..Amount::default() })].into()).is_some());
}
