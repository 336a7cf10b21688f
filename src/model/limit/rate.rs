//! How much may be sent a minute: token buckets for requests and for tokens, from the config, from what the provider
//! says beside its responses, or from both.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{ChatRequest, Usage};

/// What a provider says of its rate limits beside a response.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::model) struct Told {
    /// Of requests.
    pub(in crate::model) requests: Option<Rate>,
    /// Of tokens.
    pub(in crate::model) tokens: Option<Rate>,
}

/// One rate limit as a provider tells it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::model) struct Rate {
    /// What the provider's bucket holds, at least 1.
    pub(in crate::model) limit: f64,
    /// What is left in it.
    pub(in crate::model) remaining: f64,
    /// When it will be full again.
    pub(in crate::model) reset: Option<Duration>,
}

/// Share of a minute that a configured bucket holds: what may be sent at once after a rest. A provider that counts by
/// the minute sees at most this much above its limit.
const BURST: f64 = 1.0 / 20.0;

/// Tokens of an answer before any was seen.
const FIRST_OUTPUT: f64 = 256.0;

/// Share of the latest answer in the mean length of answers.
const LATEST: f64 = 0.05;

/// A bucket that fills at a steady rate.
#[derive(Debug)]
struct Bucket {
    /// What it holds when it is full.
    capacity: f64,
    /// What flows in a second.
    per_second: f64,
    /// What is in it; below zero after one call that takes more than it holds.
    level: f64,
    /// When `level` was right.
    at: Instant,
    /// Whether the config set its rate, which no header then raises or lowers.
    configured: bool,
}

impl Bucket {
    /// The bucket of a configured limit.
    fn configured(per_minute: f64, now: Instant) -> Self {
        let capacity = (per_minute * BURST).max(1.0);
        Self { capacity, per_second: per_minute / 60.0, level: capacity, at: now, configured: true }
    }

    fn refill(&mut self, now: Instant) {
        let flowed = now.saturating_duration_since(self.at).as_secs_f64() * self.per_second;
        self.level = (self.level + flowed).min(self.capacity);
        self.at = now;
    }

    /// When it can give `amount`; `None` is now. What it can never hold it gives when it is full, and is in debt then.
    fn ready_at(&mut self, amount: f64, now: Instant) -> Option<Instant> {
        self.refill(now);
        let missing = amount.min(self.capacity) - self.level;
        // A timer wakes within a millisecond, in which what flows may be less than a rounding error.
        (missing > 1e-6).then(|| now + Duration::from_secs_f64((missing / self.per_second).clamp(0.001, 86_400.0)))
    }

    /// What the provider says, of which `under_way` may or may not be taken off already.
    fn told(&mut self, rate: Rate, under_way: f64, now: Instant) {
        self.refill(now);
        let left = rate.remaining - under_way;
        if self.configured {
            self.level = self.level.min(left);
        } else {
            self.capacity = rate.limit;
            self.per_second = flow(rate);
            self.level = left.min(rate.limit);
        }
    }
}

/// What flows into a provider's bucket in a second: what is missing flows in until it is reset. Without a reset to go
/// by, the limit is one of a minute.
fn flow(rate: Rate) -> f64 {
    let missing = rate.limit - rate.remaining;
    match rate.reset.map(|reset| reset.as_secs_f64()).filter(|seconds| *seconds > 0.0 && missing > 0.0) {
        Some(seconds) => missing / seconds,
        None => rate.limit / 60.0,
    }
}

/// Both buckets of an endpoint; none where nothing is known of its limits.
#[derive(Debug)]
pub(super) struct Buckets {
    requests: Option<Bucket>,
    tokens: Option<Bucket>,
    /// Estimated tokens of the attempts under way.
    under_way: f64,
    /// Mean length of the answers so far, in tokens.
    output: f64,
}

impl Buckets {
    /// The buckets of the configured limits.
    pub(super) fn new(requests_per_minute: Option<f64>, tokens_per_minute: Option<f64>) -> Self {
        let bucket = |per_minute: Option<f64>| per_minute.map(|limit| Bucket::configured(limit, Instant::now()));
        Self {
            requests: bucket(requests_per_minute),
            tokens: bucket(tokens_per_minute),
            under_way: 0.0,
            output: FIRST_OUTPUT,
        }
    }

    /// Whether nothing is limited.
    pub(super) fn are_none(&self) -> bool {
        self.requests.is_none() && self.tokens.is_none()
    }

    /// About how many tokens `request` will take, zero where nobody counts them: four bytes a token read, and as many
    /// written as it may or as answers have had so far.
    pub(super) fn estimate(&self, request: &ChatRequest) -> f64 {
        if self.tokens.is_none() {
            return 0.0;
        }
        let read: usize = request.messages.iter().map(|message| message.content.len() / 4 + 4).sum();
        let most = ["max_completion_tokens", "max_tokens"].into_iter().find_map(|key| request.extra.get(key)?.as_f64());
        read as f64 + most.or(request.max_tokens.map(f64::from)).unwrap_or(self.output)
    }

    /// When a request of `tokens` may go; `None` is now.
    pub(super) fn ready_at(&mut self, tokens: f64, now: Instant) -> Option<Instant> {
        let requests = self.requests.as_mut().and_then(|bucket| bucket.ready_at(1.0, now));
        let tokens = self.tokens.as_mut().and_then(|bucket| bucket.ready_at(tokens, now));
        requests.max(tokens)
    }

    /// Takes out what a request of `tokens` needs.
    pub(super) fn take(&mut self, tokens: f64) {
        if let Some(bucket) = &mut self.requests {
            bucket.level -= 1.0;
        }
        if let Some(bucket) = &mut self.tokens {
            bucket.level -= tokens;
        }
        self.under_way += tokens;
    }

    /// Puts right what was taken for an answered request: `estimated` tokens, `used` ones where they are known.
    pub(super) fn settle(&mut self, estimated: f64, used: &Usage) {
        self.under_way = (self.under_way - estimated).max(0.0);
        let total = (used.input + used.output) as f64;
        if total > 0.0 {
            self.output += (used.output as f64 - self.output) * LATEST;
            if let Some(bucket) = self.tokens.as_mut().filter(|_| estimated > 0.0) {
                bucket.level += estimated - total;
            }
        }
    }

    /// An attempt of `estimated` tokens ended without an answer. `unused` where the provider did nothing for it.
    pub(super) fn release(&mut self, estimated: f64, unused: bool) {
        self.under_way = (self.under_way - estimated).max(0.0);
        if let Some(bucket) = self.tokens.as_mut().filter(|_| unused) {
            bucket.level += estimated;
        }
    }

    /// Takes over what the provider says beside one of `in_flight` responses.
    pub(super) fn told(&mut self, told: &Told, in_flight: usize, now: Instant) {
        let others = in_flight.saturating_sub(1) as f64;
        if let Some(rate) = told.requests {
            let bucket = self.requests.get_or_insert_with(|| of_headers(now));
            bucket.told(rate, others, now);
        }
        if let Some(rate) = told.tokens {
            let theirs = self.under_way * others / in_flight.max(1) as f64;
            let bucket = self.tokens.get_or_insert_with(|| of_headers(now));
            bucket.told(rate, theirs, now);
        }
    }
}

/// A bucket that is about to be told everything.
fn of_headers(now: Instant) -> Bucket {
    Bucket { capacity: 1.0, per_second: 1.0, level: 1.0, at: now, configured: false }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    fn seconds(from: Instant, to: Option<Instant>) -> f64 {
        to.map_or(0.0, |to| (to - from).as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn a_configured_rate_gives_a_small_burst_and_then_one_at_a_time() {
        let mut buckets = Buckets::new(Some(120.0), None);
        let start = Instant::now();
        for _ in 0..6 {
            assert_eq!(buckets.ready_at(0.0, start), None);
            buckets.take(0.0);
        }
        let ready = buckets.ready_at(0.0, start);
        assert!((seconds(start, ready) - 0.5).abs() < 0.01, "{ready:?}");
        assert_eq!(buckets.ready_at(0.0, ready.unwrap() + Duration::from_millis(1)), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_call_larger_than_the_bucket_goes_when_it_is_full_and_leaves_a_debt() {
        let mut buckets = Buckets::new(None, Some(6_000.0));
        let start = Instant::now();
        assert_eq!(buckets.ready_at(1_000.0, start), None, "a full bucket of 300");
        buckets.take(1_000.0);
        assert!((seconds(start, buckets.ready_at(100.0, start)) - 8.0).abs() < 0.01);
        buckets.settle(1_000.0, &Usage { input: 100, output: 0, ..Usage::default() });
        assert_eq!(buckets.ready_at(100.0, start), None, "it took less than was thought");
    }

    #[tokio::test(start_paused = true)]
    async fn an_estimate_goes_by_the_longest_answer_allowed_or_the_answers_so_far() {
        let mut buckets = Buckets::new(None, Some(6_000.0));
        let mut request = call("0").request;
        let read = request.messages[0].content.len() / 4 + 4;
        assert_eq!(buckets.estimate(&request), read as f64 + FIRST_OUTPUT);
        (0..200).for_each(|_| buckets.settle(0.0, &Usage { input: 9, output: 3, ..Usage::default() }));
        assert!((buckets.estimate(&request) - read as f64 - 3.0).abs() < 0.1);
        request.max_tokens = Some(50);
        assert_eq!(buckets.estimate(&request), read as f64 + 50.0);
        request.extra.insert("max_completion_tokens".into(), 70.into());
        assert_eq!(buckets.estimate(&request), read as f64 + 70.0);
        assert_eq!(Buckets::new(None, None).estimate(&request), 0.0, "nobody counts");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_says_makes_a_bucket_and_corrects_it() {
        let mut buckets = Buckets::new(None, None);
        assert!(buckets.are_none());
        let start = Instant::now();
        let rate =
            |remaining, millis| Some(Rate { limit: 600.0, remaining, reset: Some(Duration::from_millis(millis)) });
        buckets.told(&Told { requests: rate(599.0, 100), tokens: None }, 1, start);
        assert_eq!(buckets.ready_at(0.0, start), None);
        buckets.told(&Told { requests: rate(3.0, 59_700), tokens: None }, 4, start);
        let ready = buckets.ready_at(0.0, start);
        assert!((seconds(start, ready) - 0.1).abs() < 0.01, "three others are under way: {ready:?}");
        // A day's limit: what is missing flows in over hours.
        buckets.told(&Told { requests: rate(0.0, 86_400_000), tokens: None }, 1, start);
        assert!((seconds(start, buckets.ready_at(0.0, start)) - 144.0).abs() < 0.1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_provider_says_never_raises_a_configured_limit() {
        let mut buckets = Buckets::new(Some(60.0), None);
        let start = Instant::now();
        let generous = Rate { limit: 10_000.0, remaining: 9_999.0, reset: None };
        (0..3).for_each(|_| buckets.take(0.0));
        buckets.told(&Told { requests: Some(generous), tokens: None }, 1, start);
        assert!(buckets.ready_at(0.0, start).is_some());
    }
}
