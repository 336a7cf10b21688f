//! One model at several addresses: each attempt goes to the one that has the fewest under way, and one that fails is left
//! alone for a while. What it refuses without charge is asked of another one at once; what may have been billed is left to
//! the retry, which reserves it anew.
//!
//! The addresses count as one provider, so a call's key doesn't tell which one answered; the answer says it, and the store
//! keeps it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::{BoxFuture, Call, CallError, Chat, Completion};

/// First and longest time for which an address is left alone; doubled with each failure in a row.
const ALONE: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The addresses of one model.
pub struct Balanced {
    places: Vec<Place>,
}

struct Place {
    /// Its address.
    name: String,
    chat: Arc<dyn Chat>,
    under_way: AtomicUsize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Failures in a row.
    failures: u32,
    /// Not to be asked before then, unless there is no other.
    alone_until: Option<Instant>,
}

impl Balanced {
    /// Balances calls over `places`: addresses, with what answers there.
    pub fn new(places: Vec<(String, Arc<dyn Chat>)>) -> Self {
        let place = |(name, chat)| Place { name, chat, under_way: AtomicUsize::new(0), state: Mutex::default() };
        Self { places: places.into_iter().map(place).collect() }
    }

    /// The places to ask, in order: those that are well, least busy first; where none is, all of them, the one that was
    /// left alone for longest first.
    fn order(&self) -> Vec<&Place> {
        let now = Instant::now();
        let alone = |place: &Place| place.state().alone_until.filter(|until| *until > now);
        let mut well: Vec<&Place> = self.places.iter().filter(|place| alone(place).is_none()).collect();
        if well.is_empty() {
            let mut all: Vec<&Place> = self.places.iter().collect();
            all.sort_by_key(|place| alone(place));
            return all;
        }
        well.sort_by_key(|place| place.under_way.load(Ordering::Relaxed));
        well
    }

    async fn ask(&self, call: &Call) -> Result<Completion, CallError> {
        let mut refused = None;
        for place in self.order() {
            match place.ask(call).await {
                Err(error @ (CallError::Unreachable(_) | CallError::Transient(_) | CallError::Busy { .. })) => {
                    refused = Some(error)
                }
                settled => return settled,
            }
        }
        Err(refused.unwrap_or_else(|| CallError::Local("the model has no address".into())))
    }
}

impl Place {
    async fn ask(&self, call: &Call) -> Result<Completion, CallError> {
        let _under_way = UnderWay::begin(&self.under_way);
        let result = self.chat.complete(call).await;
        let mut state = self.state();
        match &result {
            Err(error) if error.is_transient() => {
                let (first, longest) = ALONE;
                let asked = match error {
                    CallError::Busy { retry_after_ms: Some(wait), .. } => Duration::from_millis(*wait),
                    _ => first.saturating_mul(1 << state.failures.min(6)),
                };
                state.failures = state.failures.saturating_add(1);
                state.alone_until = Some(Instant::now() + asked.min(longest));
            }
            // A refusal is an answer too.
            _ => *state = State::default(),
        }
        result.map(|completion| Completion { endpoint: Some(self.name.clone()), ..completion })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Numbers that correct themselves: a panic elsewhere can do no harm.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Chat for Balanced {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(self.ask(call))
    }

    fn reach(&self) -> BoxFuture<'_, Result<(), CallError>> {
        Box::pin(async {
            let mut result = Ok(());
            for place in &self.places {
                result = place.chat.reach().await;
                if result.is_ok() {
                    break;
                }
            }
            result
        })
    }
}

/// Counts as long as it lives: also an attempt that is given up comes to its end.
struct UnderWay<'a>(&'a AtomicUsize);

impl<'a> UnderWay<'a> {
    fn begin(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use futures_util::future::join_all;
    use tokio::time::sleep;

    use super::*;
    use crate::model::testing::{Script, answer, call};

    /// Takes a second for an answer.
    struct Slow;

    impl Chat for Slow {
        fn complete<'a>(&'a self, _call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async {
                sleep(Duration::from_secs(1)).await;
                Ok(answer("slow"))
            })
        }
    }

    fn balanced(places: Vec<Arc<dyn Chat>>) -> Balanced {
        let names = ["http://a", "http://b", "http://c"].map(str::to_owned);
        Balanced::new(names.into_iter().zip(places).collect())
    }

    fn script(replies: Vec<Result<Completion, CallError>>) -> Arc<Script> {
        Arc::new(Script::new(replies))
    }

    #[tokio::test(start_paused = true)]
    async fn calls_are_spread_over_the_addresses_and_each_answer_says_whose_it_is() {
        let balanced = balanced(vec![Arc::new(Slow), Arc::new(Slow), Arc::new(Slow)]);
        let one = call("0");
        let answers = join_all((0..9).map(|_| balanced.complete(&one))).await;
        let from = |name: &str| {
            let places = answers.iter().map(|answer| answer.as_ref().unwrap().endpoint.as_deref());
            places.filter(|place| *place == Some(name)).count()
        };
        assert_eq!([from("http://a"), from("http://b"), from("http://c")], [3, 3, 3]);
    }

    #[tokio::test(start_paused = true)]
    async fn what_one_refuses_another_is_asked_at_once_and_the_one_is_left_alone_for_longer_and_longer() {
        let down = || Err(CallError::Unreachable("refused".into()));
        let first = script(vec![down(), down(), Ok(answer("a"))]);
        let second = script((0..9).map(|_| Ok(answer("b"))).collect());
        let balanced = balanced(vec![first.clone(), second.clone()]);
        let ask = async |after: u64| {
            sleep(Duration::from_millis(after)).await;
            balanced.complete(&call("0")).await.unwrap().text
        };
        // Asked, left alone for a second, asked again, left alone for two.
        for (after, text, asked) in [(0, "b", 1), (500, "b", 1), (600, "b", 2), (1_500, "b", 2), (600, "a", 3)] {
            assert_eq!((ask(after).await.as_str(), first.asked()), (text, asked), "{after}");
        }
        assert_eq!(second.asked(), 4);
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_have_been_billed_is_not_sent_again_within_one_attempt() {
        let unanswered = CallError::Unanswered("cut".into());
        let (first, second) = (script(vec![Err(unanswered.clone())]), script(vec![Ok(answer("b"))]));
        let balanced = balanced(vec![first, second.clone()]);
        assert_eq!(balanced.complete(&call("0")).await.unwrap_err(), unanswered);
        assert_eq!(second.asked(), 0);
        assert_eq!(balanced.complete(&call("0")).await.unwrap().text, "b");
    }

    #[tokio::test(start_paused = true)]
    async fn where_all_fail_the_error_is_the_last_ones_and_all_are_tried_again() {
        let down = |name: &str| Err(CallError::Transient(name.into()));
        let first = script(vec![down("a"), Ok(answer("a"))]);
        let balanced = balanced(vec![first, script(vec![down("b"), down("b")])]);
        assert_eq!(balanced.complete(&call("0")).await.unwrap_err(), CallError::Transient("b".into()));
        assert_eq!(balanced.complete(&call("0")).await.unwrap().text, "a");
    }
}
