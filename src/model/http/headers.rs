//! What response headers say: how long to wait (`retry-after-ms`, or `Retry-After` in seconds or as a date), and what
//! is left of the rate limits (`x-ratelimit-*`, or `anthropic-ratelimit-*`).

use std::time::Duration;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};

use crate::model::limit::{Rate, Told};

/// What `headers` say of the rate limits; `None` where they say nothing that can be read.
pub(super) fn rates(headers: &HeaderMap) -> Option<Told> {
    let either = |names: [Names; 2]| names.into_iter().find_map(|names| rate(headers, names));
    let told = Told { requests: either(REQUESTS), tokens: either(TOKENS) };
    (told != Told::default()).then_some(told)
}

/// Limit, what remains of it, and when all of it will be there again.
type Names = [&'static str; 3];

const REQUESTS: [Names; 2] = [
    ["x-ratelimit-limit-requests", "x-ratelimit-remaining-requests", "x-ratelimit-reset-requests"],
    [
        "anthropic-ratelimit-requests-limit",
        "anthropic-ratelimit-requests-remaining",
        "anthropic-ratelimit-requests-reset",
    ],
];
const TOKENS: [Names; 2] = [
    ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"],
    ["anthropic-ratelimit-tokens-limit", "anthropic-ratelimit-tokens-remaining", "anthropic-ratelimit-tokens-reset"],
];

fn rate(headers: &HeaderMap, [limit, remaining, reset]: Names) -> Option<Rate> {
    let text = |name: &str| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::trim);
    let number = |name: &str| text(name)?.parse::<f64>().ok().filter(|number| number.is_finite() && *number >= 0.0);
    let limit = number(limit).filter(|limit| *limit >= 1.0)?;
    let reset = text(reset).and_then(|text| span(text).or_else(|| until(text, headers)));
    Some(Rate { limit, remaining: number(remaining)?.min(limit), reset })
}

/// How far away a moment is (RFC 3339) by the provider's own clock; nothing where it is over.
fn until(moment: &str, headers: &HeaderMap) -> Option<Duration> {
    let now = DateTimeParser::new().parse_timestamp(headers.get(DATE)?.to_str().ok()?.trim()).ok()?;
    Duration::try_from(moment.parse::<Timestamp>().ok()?.duration_since(now)).ok()
}

/// A span of time as providers write it: `12`, `1.5s`, `20ms`, `6m0s`, `1h2m3.5s`.
fn span(text: &str) -> Option<Duration> {
    let (mut rest, mut seconds) = (text, 0.0);
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let end = after.find(|c: char| c.is_ascii_digit()).unwrap_or(after.len());
        let (unit, after) = after.split_at(end);
        seconds += number.parse::<f64>().ok()?
            * match unit {
                "ms" => 1e-3,
                "" | "s" => 1.0,
                "m" => 60.0,
                "h" => 3_600.0,
                "d" => 86_400.0,
                _ => return None,
            };
        rest = after;
    }
    Duration::try_from_secs_f64(seconds).ok().filter(|_| !text.is_empty())
}

/// The wait in `headers`, if they name one that can be read.
pub(super) fn asked_for(headers: &HeaderMap) -> Option<Duration> {
    let text = |name: &HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::trim);
    let number = |text: &str| text.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let millis = text(&HeaderName::from_static("retry-after-ms")).and_then(number);
    if let Some(wait) = millis.and_then(|millis| Duration::try_from_secs_f64(millis / 1e3).ok()) {
        return Some(wait);
    }
    let asked = text(&RETRY_AFTER)?;
    if let Some(seconds) = number(asked) {
        return Duration::try_from_secs_f64(seconds).ok();
    }
    // RFC 9110, 10.2.3: a date. The provider's own clock, in `Date`, says how far away that is.
    let parser = DateTimeParser::new();
    let (then, now) = (parser.parse_timestamp(asked).ok()?, parser.parse_timestamp(text(&DATE)?).ok()?);
    Duration::try_from(then.duration_since(now)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap())).collect()
    }

    #[test]
    fn every_form_of_the_header_is_read() {
        let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        let later = ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT");
        let earlier = ("retry-after", "Wed, 21 Oct 2015 07:27:00 GMT");
        for (pairs, wait) in [
            (vec![], None),
            (vec![("retry-after", "7")], Some(7_000)),
            (vec![("retry-after", "0.25")], Some(250)),
            (vec![("retry-after-ms", "1500"), ("retry-after", "7")], Some(1_500)),
            (vec![later, date], Some(30_000)),
            (vec![later], None),
            (vec![earlier, date], None),
            (vec![("retry-after", "soon")], None),
            (vec![("retry-after", "-1")], None),
            (vec![("retry-after", "inf")], None),
            (vec![("retry-after", "NaN")], None),
        ] {
            assert_eq!(asked_for(&headers(&pairs)), wait.map(Duration::from_millis), "{pairs:?}");
        }
    }

    #[test]
    fn rate_limits_are_read_with_every_form_of_their_reset() {
        for (text, millis) in [
            ("12", Some(12_000)),
            ("1.5s", Some(1_500)),
            ("20ms", Some(20)),
            ("6m0s", Some(360_000)),
            ("1h2m3.5s", Some(3_723_500)),
            ("1d", Some(86_400_000)),
            ("", None),
            ("soon", None),
            ("5 parsecs", None),
            ("1..5s", None),
            ("-1s", None),
        ] {
            assert_eq!(span(text), millis.map(Duration::from_millis), "{text:?}");
        }
        let told = headers(&[
            ("x-ratelimit-limit-requests", "500"),
            ("x-ratelimit-remaining-requests", "499"),
            ("x-ratelimit-reset-requests", "120ms"),
            ("x-ratelimit-limit-tokens", "30000"),
            ("x-ratelimit-remaining-tokens", "29000"),
        ]);
        let requests = Rate { limit: 500.0, remaining: 499.0, reset: Some(Duration::from_millis(120)) };
        let tokens = Rate { limit: 30_000.0, remaining: 29_000.0, reset: None };
        assert_eq!(rates(&told), Some(Told { requests: Some(requests), tokens: Some(tokens) }));
    }

    #[test]
    fn rate_limits_whose_reset_is_a_moment_are_read_by_the_providers_own_clock() {
        let mut told = headers(&[
            ("anthropic-ratelimit-requests-limit", "50"),
            ("anthropic-ratelimit-requests-remaining", "49"),
            ("anthropic-ratelimit-requests-reset", "2015-10-21T07:28:30Z"),
            ("date", "Wed, 21 Oct 2015 07:28:00 GMT"),
        ]);
        let reset = |told: &HeaderMap| rates(told).unwrap().requests.unwrap().reset;
        assert_eq!(reset(&told), Some(Duration::from_secs(30)));
        told.remove("date");
        assert_eq!(reset(&told), None);
    }

    #[test]
    fn rate_limits_that_make_no_sense_are_not_told() {
        for pairs in [
            &[][..],
            &[("x-ratelimit-remaining-requests", "499")],
            &[("x-ratelimit-limit-requests", "500")],
            &[("x-ratelimit-limit-requests", "0"), ("x-ratelimit-remaining-requests", "0")],
            &[("x-ratelimit-limit-requests", "-1"), ("x-ratelimit-remaining-requests", "-1")],
            &[("x-ratelimit-limit-requests", "NaN"), ("x-ratelimit-remaining-requests", "inf")],
        ] {
            assert_eq!(rates(&headers(pairs)), None, "{pairs:?}");
        }
    }
}
