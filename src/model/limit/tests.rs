//! The gate and the retries before a provider that is simulated on the paused clock.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::join_all;

use super::*;
use crate::model::retry::Retry;
use crate::model::testing::{answer, call};
use crate::model::{RetryPolicy, Usage};

/// What a provider does with a request, given its draw and the seconds since the start.
type Rule = Box<dyn Fn(&str, f64) -> Result<Completion, CallError> + Send + Sync>;

/// Takes 70 ms, then does as its rule says.
struct Simulated {
    started: Instant,
    rule: Rule,
    now: AtomicUsize,
    most: AtomicUsize,
    /// When each request came, in seconds since the start, and how many were under way then.
    came: Mutex<Vec<(f64, usize)>>,
}

impl Simulated {
    fn new(rule: impl Fn(&str, f64) -> Result<Completion, CallError> + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            rule: Box::new(rule),
            now: AtomicUsize::new(0),
            most: AtomicUsize::new(0),
            came: Mutex::default(),
        })
    }

    fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}

impl Chat for Simulated {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let under_way = 1 + self.now.fetch_add(1, Ordering::SeqCst);
            self.most.fetch_max(under_way, Ordering::SeqCst);
            self.came.lock().unwrap().push((self.seconds(), under_way));
            tokio::time::sleep(Duration::from_millis(70)).await;
            self.now.fetch_sub(1, Ordering::SeqCst);
            (self.rule)(&call.draw, self.seconds())
        })
    }
}

fn settings(max_concurrency: usize) -> LimitSettings {
    LimitSettings {
        max_concurrency,
        requests_per_minute: None,
        tokens_per_minute: None,
        max_outage: Duration::from_secs(1_800),
        begun: Arc::default(),
        seed: 1,
    }
}

/// Gate and retries before `provider`.
fn layers(provider: &Arc<Simulated>, settings: &LimitSettings) -> (Limit, Retry) {
    let limit = Limit::with(settings);
    let (inner, probe) = (Arc::clone(provider) as Arc<dyn Chat>, Arc::clone(provider) as Arc<dyn Chat>);
    let limited = Arc::new(Limited { inner, probe, limit: limit.clone() });
    let retry = Retry::new(limited, RetryPolicy::default(), limit.clone());
    (limit, retry)
}

async fn ask(retry: &Retry, draws: impl Iterator<Item = usize>) -> Vec<Result<Completion, CallError>> {
    let calls: Vec<_> = draws.map(|draw| call(&draw.to_string())).collect();
    join_all(calls.iter().map(|call| retry.complete(call))).await
}

fn echo(draw: &str) -> Result<Completion, CallError> {
    Ok(answer(draw))
}

fn failure() -> Result<Completion, CallError> {
    Err(CallError::Transient("status 500".into()))
}

fn busy(retry_after_ms: Option<u64>) -> Result<Completion, CallError> {
    Err(CallError::Busy { message: "slow down".into(), retry_after_ms })
}

fn assert_all_answered(answers: &[Result<Completion, CallError>]) {
    for (draw, answer) in answers.iter().enumerate() {
        assert_eq!(answer.as_ref().map(|answer| answer.text.clone()), Ok(draw.to_string()));
    }
}

/// Notes what a gate tells.
fn notices(limit: &Limit) -> Arc<Mutex<Vec<Notice>>> {
    let told = Arc::<Mutex<Vec<Notice>>>::default();
    let notes = Arc::clone(&told);
    limit.listen(move |notice| notes.lock().unwrap().push(notice.clone()));
    told
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_limit_are_in_flight_and_waiting_is_not_latency() {
    let provider = Simulated::new(|draw, _| echo(draw));
    let (_, retry) = layers(&provider, &settings(3));
    let answers = ask(&retry, 0..10).await;
    assert!(answers.iter().all(|answer| answer.as_ref().unwrap().latency_ms == 70));
    assert_all_answered(&answers);
    assert_eq!(provider.most.load(Ordering::SeqCst), 3);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_given_up_leaves_its_place_whether_it_waits_or_is_under_way() {
    let provider = Simulated::new(|draw, _| echo(draw));
    let (_, retry) = layers(&provider, &settings(1));
    let calls: Vec<_> = (0..3).map(|draw| call(&draw.to_string())).collect();
    for call in &calls[..2] {
        let given_up = tokio::time::timeout(Duration::from_millis(10), retry.complete(call)).await;
        assert!(given_up.is_err());
    }
    let soon = Duration::from_millis(71);
    assert!(tokio::time::timeout(soon, retry.complete(&calls[2])).await.unwrap().is_ok());
}

#[tokio::test(start_paused = true)]
async fn a_configured_rate_is_kept_and_used() {
    let provider = Simulated::new(|draw, _| echo(draw));
    let (_, retry) = layers(&provider, &LimitSettings { requests_per_minute: Some(600.0), ..settings(64) });
    assert_all_answered(&ask(&retry, 0..600).await);
    let took = provider.seconds();
    assert!((56.0..60.0).contains(&took), "600 requests at 600 a minute took {took} s");
    let came = provider.came.lock().unwrap();
    let first_second = came.iter().filter(|(when, _)| *when < 1.0).count();
    assert!(first_second <= 41, "{first_second} in the first second");
}

#[tokio::test(start_paused = true)]
async fn a_rate_of_tokens_is_kept_though_the_estimate_is_wrong() {
    let usage = Usage { input: 40, output: 60, ..Usage::default() };
    let provider = Simulated::new(move |draw, _| Ok(Completion { usage, ..answer(draw) }));
    let (_, retry) = layers(&provider, &LimitSettings { tokens_per_minute: Some(6_000.0), ..settings(8) });
    ask(&retry, 0..120).await;
    let took = provider.seconds();
    assert!((105.0..130.0).contains(&took), "12,000 tokens at 6,000 a minute took {took} s");
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_one_call_is_asked_for_stops_all_and_few_go_first_afterwards() {
    let provider = Simulated::new(|draw, now| if (1.0..1.1).contains(&now) { busy(Some(20_000)) } else { echo(draw) });
    let (_, retry) = layers(&provider, &settings(64));
    assert_all_answered(&ask(&retry, 0..4_000).await);
    let came = provider.came.lock().unwrap();
    let after_the_pause = came.iter().find(|(when, _)| *when > 1.2).unwrap().0;
    assert!((21.0..22.1).contains(&after_the_pause), "the first came at {after_the_pause}");
    let herd = came.iter().filter(|(when, _)| (after_the_pause..after_the_pause + 0.05).contains(when)).count();
    assert!(herd <= 4, "{herd} came at once");
    let last = came.last().unwrap().1;
    assert!(came.iter().any(|(when, under_way)| *when > 22.0 && *under_way > 24), "it grows again, to {last}");
}

#[tokio::test(start_paused = true)]
async fn the_number_at_once_follows_what_the_provider_takes() {
    // Whoever comes when ten are under way is refused, without being told how long to wait.
    struct Ten {
        now: AtomicUsize,
        refused: AtomicUsize,
    }
    impl Chat for Ten {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                if self.now.fetch_add(1, Ordering::SeqCst) >= 10 {
                    self.now.fetch_sub(1, Ordering::SeqCst);
                    self.refused.fetch_add(1, Ordering::SeqCst);
                    return busy(None);
                }
                tokio::time::sleep(Duration::from_millis(70)).await;
                self.now.fetch_sub(1, Ordering::SeqCst);
                echo(&call.draw)
            })
        }
    }
    let ten = Arc::new(Ten { now: 0.into(), refused: 0.into() });
    let limit = Limit::with(&settings(64));
    let limited = Arc::new(Limited { inner: ten.clone(), probe: ten.clone(), limit: limit.clone() });
    let retry = Retry::new(limited, RetryPolicy::default(), limit);
    let started = Instant::now();
    assert_all_answered(&ask(&retry, 0..3_000).await);
    let (refused, took) = (ten.refused.load(Ordering::SeqCst), started.elapsed().as_secs_f64());
    assert!(refused < 300, "{refused} of 3,000 were refused");
    assert!(took < 2.0 * 3_000.0 * 0.07 / 10.0, "{took} s, 21 at best");
}

#[tokio::test(start_paused = true)]
async fn a_flaky_provider_loses_no_row() {
    let turn = AtomicUsize::new(0);
    let provider = Simulated::new(move |draw, _| match turn.fetch_add(1, Ordering::SeqCst) % 10 {
        3 => failure(),
        7 => busy(Some(0)),
        _ => echo(draw),
    });
    let (_, retry) = layers(&provider, &settings(32));
    assert_all_answered(&ask(&retry, 0..2_000).await);
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_with_one_try_at_a_time_and_no_row_is_lost() {
    let provider = Simulated::new(|draw, now| if (2.0..122.0).contains(&now) { failure() } else { echo(draw) });
    let (limit, retry) = layers(&provider, &settings(16));
    let told = notices(&limit);
    assert_all_answered(&ask(&retry, 0..2_000).await);
    let came = provider.came.lock().unwrap();
    let tries: Vec<f64> = came.iter().map(|(when, _)| *when).filter(|when| (4.0..121.9).contains(when)).collect();
    assert!((4..12).contains(&tries.len()), "{tries:?}");
    assert!(came.iter().all(|(when, under_way)| !(4.0..121.9).contains(when) || *under_way == 1));
    let told = told.lock().unwrap();
    let Some(Notice::Down { error, .. }) = told.first() else { panic!("{told:?}") };
    assert!(error.contains("status 500"));
    let Some(Notice::Up { down_for }) = told.last() else { panic!("{told:?}") };
    assert!((100..200).contains(&down_for.as_secs()), "{down_for:?}");
    assert_eq!(told.iter().filter(|notice| matches!(notice, Notice::Up { .. })).count(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_meets_the_last_rows_alone_loses_none_of_them() {
    let provider = Simulated::new(|draw, now| if (0.5..120.0).contains(&now) { failure() } else { echo(draw) });
    let (_, retry) = layers(&provider, &settings(16));
    assert!(retry.complete(&call("first")).await.is_ok());
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_all_answered(&ask(&retry, 0..2).await);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_lasts_too_long_ends_every_call_and_says_so() {
    let provider = Simulated::new(|draw, now| if now > 1.0 { failure() } else { echo(draw) });
    let settings = LimitSettings { max_outage: Duration::from_secs(600), ..settings(16) };
    let (_, retry) = layers(&provider, &settings);
    let answers = ask(&retry, 0..1_000).await;
    let failed: Vec<&CallError> = answers.iter().filter_map(|answer| answer.as_ref().err()).collect();
    assert!(failed.len() > 500);
    for error in failed {
        assert!(matches!(error, CallError::Outage(_)) && error.is_systemic(), "{error}");
        assert!(error.to_string().contains("status 500"), "{error}");
    }
    let seconds = provider.seconds();
    assert!((600.0..640.0).contains(&seconds), "{seconds}");
}

#[tokio::test(start_paused = true)]
async fn a_bad_row_fails_alone_while_others_are_answered() {
    let provider = Simulated::new(|draw, _| if draw == "13" { failure() } else { echo(draw) });
    for max_concurrency in [1, 16] {
        let (limit, retry) = layers(&provider, &settings(max_concurrency));
        let told = notices(&limit);
        let answers = ask(&retry, 0..1_000).await;
        let failed: Vec<usize> = (0..1_000).filter(|draw| answers[*draw].is_err()).collect();
        assert_eq!(failed, [13]);
        assert_eq!(answers[13], Err(CallError::Transient("status 500".into())));
        assert_eq!(*told.lock().unwrap(), []);
    }
}

#[tokio::test(start_paused = true)]
async fn a_bad_row_that_is_the_only_one_left_is_given_up_in_some_minutes() {
    let provider = Simulated::new(|draw, _| if draw == "bad" { failure() } else { echo(draw) });
    let (_, retry) = layers(&provider, &settings(16));
    assert!(retry.complete(&call("good")).await.is_ok());
    tokio::time::sleep(Duration::from_secs(1)).await;
    let error = retry.complete(&call("bad")).await.unwrap_err();
    assert_eq!(error, CallError::Transient("status 500".into()));
    assert!((150.0..220.0).contains(&provider.seconds()), "{}", provider.seconds());
    let before = provider.seconds();
    assert!(retry.complete(&call("good")).await.is_ok());
    assert!(provider.seconds() - before < 0.1, "nobody waits for the bad one's next try");
}

#[tokio::test(start_paused = true)]
async fn rows_that_always_fail_are_given_up_once_one_that_was_answered_shows_that_the_provider_is_there() {
    for max_concurrency in [1, 4, 16] {
        let is_bad = |draw: usize| draw.is_multiple_of(12);
        let provider =
            Simulated::new(move |draw, _| if is_bad(draw.parse().unwrap()) { failure() } else { echo(draw) });
        let (limit, retry) = layers(&provider, &settings(max_concurrency));
        limit.note_answerable(&call("1"));
        let answers = ask(&retry, 0..60).await;
        let failed: Vec<usize> = (0..60).filter(|draw| answers[*draw].is_err()).collect();
        assert_eq!(failed, [0, 12, 24, 36, 48]);
        assert!(answers.iter().flat_map(|answer| answer.as_ref().err()).all(|error| *error == failure().unwrap_err()));
        assert!(provider.seconds() < 120.0, "{}", provider.seconds());
    }
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_only_an_earlier_process_heard_is_tried_once_before_rows_are_given_up() {
    let provider = Simulated::new(|draw, _| if draw == "good" { echo(draw) } else { failure() });
    let (limit, retry) = layers(&provider, &settings(4));
    limit.note_answerable(&call("good"));
    for answer in ask(&retry, 0..5).await {
        assert_eq!(answer, failure());
    }
    assert!(provider.seconds() < 60.0, "{}", provider.seconds());
    let gone = Simulated::new(|_, _| failure());
    let (limit, retry) = layers(&gone, &settings(4));
    limit.note_answerable(&call("good"));
    for answer in ask(&retry, 0..5).await {
        let error = answer.unwrap_err();
        assert!(matches!(error, CallError::NeverAnswered(_)), "{error}");
    }
    assert!(gone.seconds() < 30.0, "nothing is waited for at the start: {}", gone.seconds());
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_waited_out_with_a_call_that_was_answered_before_too() {
    let provider = Simulated::new(|draw, now| if (2.0..122.0).contains(&now) { failure() } else { echo(draw) });
    let (limit, retry) = layers(&provider, &settings(16));
    limit.note_answerable(&call("0"));
    assert_all_answered(&ask(&retry, 0..2_000).await);
    let came = provider.came.lock().unwrap().len();
    assert!(came < 2_000 + 60, "{came}");
}

#[tokio::test(start_paused = true)]
async fn a_program_that_dies_of_a_call_is_no_outage() {
    let crash = || Err(CallError::Crashed("signal 11".into()));
    let provider = Simulated::new(move |draw, _| if draw == "good" { echo(draw) } else { crash() });
    let (limit, retry) = layers(&provider, &settings(16));
    let told = notices(&limit);
    for before in [false, true] {
        if before {
            assert!(retry.complete(&call("good")).await.is_ok());
        }
        assert!(ask(&retry, 0..20).await.iter().all(|answer| *answer == crash()));
    }
    assert_eq!(*told.lock().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_long_wait_that_is_asked_for_is_told_and_kept() {
    let provider =
        Simulated::new(|draw, now| if (1.0..400.0).contains(&now) { busy(Some(400_000)) } else { echo(draw) });
    let (limit, retry) = layers(&provider, &settings(4));
    let told = notices(&limit);
    assert_all_answered(&ask(&retry, 0..200).await);
    let late = provider.came.lock().unwrap().iter().filter(|(when, _)| (1.2..400.0).contains(when)).count();
    assert_eq!(late, 0, "nobody asks before the time");
    let told = told.lock().unwrap();
    assert!(matches!(&told[0], Notice::Down { next_try, .. } if next_try.as_secs() >= 399), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn an_answer_to_what_was_sent_before_does_not_end_a_long_wait_that_was_asked_for_since() {
    /// Refuses all that comes in the first ten minutes, but for a slow call and one before it.
    struct Slow(Simulated);
    impl Chat for Slow {
        fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
            Box::pin(async move {
                if call.draw == "slow" {
                    tokio::time::sleep(Duration::from_secs(30)).await;
                    return echo(&call.draw);
                }
                self.0.complete(call).await
            })
        }
    }
    let rule = |draw: &str, now: f64| if (1.0..=601.0).contains(&now) { busy(Some(600_000)) } else { echo(draw) };
    let slow = Arc::new(Slow(Arc::into_inner(Simulated::new(rule)).unwrap()));
    let limit = Limit::with(&settings(4));
    let limited = Arc::new(Limited { inner: slow.clone(), probe: slow.clone(), limit: limit.clone() });
    let retry = Retry::new(limited, RetryPolicy::default(), limit.clone());
    let told = notices(&limit);
    assert!(retry.complete(&call("first")).await.is_ok());
    let late = async {
        tokio::time::sleep(Duration::from_secs(2)).await;
        ask(&retry, 0..3).await
    };
    let earlier = call("slow");
    let (earlier, later) = tokio::join!(retry.complete(&earlier), late);
    assert!(earlier.is_ok());
    assert_all_answered(&later);
    let came = slow.0.came.lock().unwrap();
    assert_eq!(came.iter().filter(|(when, _)| (2.2..601.9).contains(when)).count(), 0, "{came:?}");
    let told = told.lock().unwrap();
    assert!(matches!(&told[..], [Notice::Down { .. }, .., Notice::Up { .. }]), "{told:?}");
}

#[tokio::test(start_paused = true)]
async fn a_wait_for_the_rate_is_told_once_where_it_is_long() {
    let provider = Simulated::new(|draw, _| echo(draw));
    let (limit, retry) = layers(&provider, &settings(64));
    let told = notices(&limit);
    limit.told(&Told {
        requests: Some(Rate { limit: 1.0, remaining: 0.0, reset: Some(Duration::from_secs(58)) }),
        tokens: None,
    });
    assert_all_answered(&ask(&retry, 0..3).await);
    let waits: Vec<u64> = told
        .lock()
        .unwrap()
        .iter()
        .map(|notice| match notice {
            Notice::Held { next_call } => next_call.as_secs(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(waits.len() == 3 && waits.iter().all(|seconds| (57..=58).contains(seconds)), "{waits:?}");
    let (limit, retry) = layers(&provider, &LimitSettings { requests_per_minute: Some(60.0), ..settings(64) });
    let told = notices(&limit);
    assert_all_answered(&ask(&retry, 0..30).await);
    assert_eq!(*told.lock().unwrap(), [], "a call a second is no wait");
}

#[tokio::test(start_paused = true)]
async fn what_stands_beside_an_answer_corrects_the_rate() {
    let provider = Simulated::new(|draw, _| echo(draw));
    let (limit, retry) = layers(&provider, &settings(64));
    let told = Rate { limit: 60.0, remaining: 0.0, reset: Some(Duration::from_secs(60)) };
    limit.told(&Told { requests: Some(told), tokens: None });
    assert_all_answered(&ask(&retry, 0..30).await);
    assert!((29.0..32.0).contains(&provider.seconds()), "{}", provider.seconds());
}
