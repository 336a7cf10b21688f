//! Answers that come as a stream: how a dialect asks for one, and gathers its events into the body that the same request
//! would have got without it. Whatever reads bodies reads that.
//!
//! A stream that ends before its answer does, by whatever cause, is no answer: half of one would be scored as a whole.

use std::collections::BTreeMap;

use reqwest::Url;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::Refused;
use super::events::{Events, Framing};
use super::reading::Reading;
use crate::model::{CallError, ChatRequest};

/// Most bytes of a stream. An event takes about ten times what it carries, so that this is no longer an answer than
/// the largest body.
const LARGEST_STREAM: usize = 128 << 20;

/// What a dialect that streams its answers has beside its [`super::Wire`].
pub(in crate::model) trait Streams: Send + Sync {
    /// How events are told apart.
    fn framing(&self) -> Framing {
        Framing::Events
    }

    /// The keys of the request's body that ask for a stream, without what is refused.
    fn asking(&self, _: Refused) -> Vec<(&'static str, Value)> {
        vec![("stream", json!(true))]
    }

    /// Where a stream is asked for, from where a whole answer is.
    fn url(&self, url: Url) -> Url {
        url
    }

    /// An answer of which nothing has come.
    fn gather(&self) -> Box<dyn Gather>;
}

/// An answer as far as it has come.
pub(in crate::model) trait Gather: Send {
    /// Takes what an event carries.
    ///
    /// # Errors
    /// What is no event of the dialect.
    fn take(&mut self, data: &[u8]) -> serde_json::Result<Seen>;

    /// The body that a request without a stream would have got; `None` when the answer isn't whole.
    fn body(self: Box<Self>) -> Option<Value>;
}

/// What an event was.
#[derive(Debug, PartialEq)]
pub(in crate::model) enum Seen {
    /// A part of the answer, or nothing that matters.
    Part,
    /// The last one.
    Last,
    /// An error in place of the rest: the body of such a failure.
    Failure(Value),
}

/// What the end of a streamed answer is called by most.
pub(in crate::model) const DONE: &[u8] = b"[DONE]";

/// What came of a body with a status of success.
pub(super) enum Told {
    /// A body, to be read as any.
    Body(Vec<u8>),
    /// The body of a failure.
    Failure(Vec<u8>),
}

impl Told {
    /// The body, whatever it is of.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        match self {
            Self::Body(body) | Self::Failure(body) => body,
        }
    }
}

/// `body` of `request`, asking for a stream. What stands in the request's `extra` stays.
///
/// # Errors
/// [`CallError::Local`] for what isn't a JSON object.
pub(super) fn asking(
    streams: &dyn Streams,
    body: &[u8],
    request: &ChatRequest,
    refused: Refused,
) -> Result<Vec<u8>, CallError> {
    let local = |error| CallError::Local(format!("request: {error}"));
    // Raw: the order of what is within stays, as that of a schema's fields decides in which order they are answered.
    let mut keys: BTreeMap<String, Box<RawValue>> = serde_json::from_slice(body).map_err(local)?;
    for (key, value) in streams.asking(refused) {
        if !request.extra.contains_key(key) {
            keys.insert(key.to_owned(), serde_json::value::to_raw_value(&value).map_err(local)?);
        }
    }
    serde_json::to_vec(&keys).map_err(local)
}

/// Reads a streamed body to its end.
///
/// # Errors
/// [`CallError::Unanswered`] for one that isn't whole or isn't valid.
pub(super) async fn gather(reading: &mut Reading<'_>, streams: &dyn Streams) -> Result<Told, CallError> {
    let (mut events, mut answer) = (Events::new(streams.framing()), streams.gather());
    let mut is_begun = false;
    while let Some(chunk) = reading.next(LARGEST_STREAM).await? {
        let chunk = chunk.as_ref();
        if !is_begun && streams.framing() == Framing::Events && is_whole(chunk) {
            return reading.whole(chunk.to_vec()).await.map(Told::Body);
        }
        is_begun |= !chunk.trim_ascii().is_empty();
        for data in events.feed(chunk) {
            match taken(answer.as_mut(), &data, reading)? {
                Seen::Part => {}
                Seen::Last => {
                    reading.part().await;
                    return gathered(answer, reading);
                }
                Seen::Failure(body) => return Ok(Told::Failure(body.to_string().into_bytes())),
            }
        }
    }
    if let Some(data) = events.end()
        && let Seen::Failure(body) = taken(answer.as_mut(), &data, reading)?
    {
        return Ok(Told::Failure(body.to_string().into_bytes()));
    }
    gathered(answer, reading)
}

fn taken(answer: &mut dyn Gather, data: &[u8], reading: &Reading<'_>) -> Result<Seen, CallError> {
    answer.take(data).map_err(|error| reading.broken(&format!("invalid event within the stream: {error}")))
}

fn gathered(answer: Box<dyn Gather>, reading: &Reading<'_>) -> Result<Told, CallError> {
    let body = answer.body().ok_or_else(|| reading.broken("the stream ended before the answer did"))?;
    Ok(Told::Body(body.to_string().into_bytes()))
}

/// Whether a body that begins like this is a whole answer, or a web page: some servers pass over what they don't know.
fn is_whole(chunk: &[u8]) -> bool {
    matches!(chunk.trim_ascii_start().first(), Some(b'{' | b'[' | b'<'))
}

/// Puts what `from` says into `into`, but for `null`, which is nothing new.
pub(in crate::model) fn renew(into: &mut Map<String, Value>, from: Map<String, Value>) {
    into.extend(from.into_iter().filter(|(_, value)| !value.is_null()));
}

/// Puts `more` after the text of `key`.
pub(in crate::model) fn append(map: &mut Map<String, Value>, key: &str, more: &str) {
    match map.get_mut(key) {
        Some(Value::String(text)) => text.push_str(more),
        _ => drop(map.insert(key.to_owned(), more.into())),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::model::http::reading::tests::{End, response};
    use crate::model::openai::Chunks;
    use crate::model::testing::call;

    const BEGUN: &str = "data: {\"choices\": [{\"delta\": {\"content\": \"bill\"}}]}\n\n";
    const WHOLE: &str =
        ": ping\n\ndata: {\"choices\": [{\"delta\": {\"content\": \"ing\"}, \"finish_reason\": \"stop\"}]}\n\n";

    async fn told(parts: &[&str], end: End) -> Result<Told, CallError> {
        let mut response = response(parts, end);
        gather(&mut Reading::of(&mut response, "here", Duration::from_secs(30)), &Chunks).await
    }

    async fn content(parts: &[&str], end: End) -> Value {
        let Ok(Told::Body(body)) = told(parts, end).await else { panic!("no body: {parts:?}") };
        let body: Value = serde_json::from_slice(&body).unwrap();
        body["choices"][0]["message"]["content"][0]["text"].clone()
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_ends_before_its_answer_is_no_answer() {
        let early = "here: the stream ended before the answer did";
        for (parts, end, why) in [
            (vec![], End::Whole, early),
            (vec![BEGUN], End::Whole, early),
            (vec![BEGUN, "data: [DONE]\n\n"], End::Whole, early),
            (vec![BEGUN, "data: {\"choices\": [{"], End::Whole, "here: invalid event within the stream: EOF"),
            (vec![BEGUN, "data: what\n\n"], End::Whole, "here: invalid event within the stream: expected value"),
            (vec![BEGUN], End::Cut, "here: body cut: reset"),
            (vec![BEGUN], End::Stall, "here: nothing for 30 s within the body"),
            (vec![BEGUN, WHOLE], End::Cut, "here: body cut: reset"),
        ] {
            let error = told(&parts, end).await.map(|_| ()).unwrap_err();
            assert!(
                matches!(&error, CallError::Unanswered(told) if told.starts_with(why)),
                "{parts:?} {end:?}: {error}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_answer_is_taken_however_the_stream_ends_after_it() {
        for (parts, end) in [
            (vec![BEGUN, WHOLE], End::Whole),
            (vec![BEGUN, WHOLE, "data: [DONE]\n\n"], End::Whole),
            (vec![BEGUN, WHOLE, "data: [DONE]"], End::Whole),
            (vec![BEGUN, WHOLE, "data: [DONE]\n\n"], End::Cut),
            (vec![BEGUN, WHOLE, "data: [DONE]\n\n"], End::Stall),
            // What its last blank line is missing from.
            (vec!["\n", BEGUN, WHOLE.trim_end()], End::Whole),
        ] {
            assert_eq!(content(&parts, end).await, "billing", "{parts:?} {end:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_that_is_no_stream_is_read_whole() {
        for body in ["{\"choices\": []}", " \n{\"error\": 1}", "[1]", "<html>"] {
            let half = body.len() / 2;
            let parts = [" ", &body[..half], &body[half..]];
            assert!(
                matches!(told(&parts, End::Whole).await, Ok(Told::Body(told)) if told.trim_ascii() == body.trim().as_bytes()),
                "{body}"
            );
        }
    }

    #[tokio::test(start_paused = true)]
    async fn an_error_in_the_midst_is_told_as_one() {
        let error = "data: {\"error\": {\"message\": \"overloaded\"}}\n\n";
        for parts in [vec![BEGUN, error, WHOLE], vec![BEGUN, WHOLE, error], vec![BEGUN, error.trim_end()]] {
            let told = told(&parts, End::Whole).await;
            let body = "{\"error\":{\"message\":\"overloaded\"}}";
            assert!(matches!(told, Ok(Told::Failure(told)) if told == body.as_bytes()), "{parts:?}");
        }
    }

    #[test]
    fn a_stream_is_asked_for_unless_the_user_wrote_otherwise_and_the_order_of_a_schema_stays() {
        let body = br#"{"model":"m","stream":false,"schema":{"z":1,"a":{"y":1,"b":2}}}"#;
        let asked = |extra: Value, refused: Refused| {
            let mut request = call("0").request;
            request.extra = extra.as_object().unwrap().clone();
            String::from_utf8(asking(&Chunks, body, &request, refused).unwrap()).unwrap()
        };
        let schema = r#""schema":{"z":1,"a":{"y":1,"b":2}},"#;
        let nothing = Refused::default();
        assert_eq!(
            asked(json!({}), nothing),
            format!(r#"{{"model":"m",{schema}"stream":true,"stream_options":{{"include_usage":true}}}}"#)
        );
        let refused = Refused { stream_options: true, ..nothing };
        assert_eq!(asked(json!({}), refused), format!(r#"{{"model":"m",{schema}"stream":true}}"#));
        let theirs = json!({"stream": false, "stream_options": {}});
        assert_eq!(asked(theirs, nothing), format!(r#"{{"model":"m",{schema}"stream":false}}"#));
    }
}
