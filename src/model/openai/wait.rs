//! How long a provider asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date.

use std::time::Duration;

use jiff::fmt::rfc2822::DateTimeParser;
use reqwest::header::{DATE, HeaderMap, HeaderName, RETRY_AFTER};

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
}
