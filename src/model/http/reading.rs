//! Reads the body of a response: as it comes, no longer than is waited for and no more than is taken.

use std::time::Duration;

use reqwest::Response;
use tokio::time::timeout;

use super::endpoint::cause;
use crate::model::CallError;

/// Largest body that is read whole, in bytes; a longer one is no answer.
pub(super) const LARGEST_BODY: usize = 32 << 20;

/// Up to this announced length, in bytes, memory is set aside before the body is there.
const TRUSTED_LENGTH: usize = 64 << 10;

/// How long the end of a body is waited for from which nothing is wanted any more.
const PARTING: Duration = Duration::from_secs(1);

/// The body of one response.
pub(super) struct Reading<'a> {
    response: &'a mut Response,
    /// As errors name the address.
    place: &'a str,
    /// Longest time in which nothing comes.
    idle: Duration,
    /// Bytes so far.
    taken: usize,
}

impl<'a> Reading<'a> {
    /// The body of `response`, of which nothing was read yet.
    pub(super) fn of(response: &'a mut Response, place: &'a str, idle: Duration) -> Self {
        Self { response, place, idle, taken: 0 }
    }

    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// [`CallError::Unanswered`] when nothing comes, the body is cut, or it has more than `most` bytes.
    pub(super) async fn next(&mut self, most: usize) -> Result<Option<impl AsRef<[u8]> + use<>>, CallError> {
        // Nearly always the rest is there already: then no timer is set.
        let Ok(chunk) = timeout(self.idle, self.response.chunk()).await else {
            return Err(self.broken(&format!("nothing for {} s within the body", self.idle.as_secs_f64())));
        };
        match chunk {
            Ok(Some(chunk)) => {
                self.taken = self.taken.saturating_add(chunk.len());
                match self.taken > most {
                    true => Err(self.broken(&format!("body of more than {} MiB", most >> 20))),
                    false => Ok(Some(chunk)),
                }
            }
            Ok(None) => Ok(None),
            Err(error) if error.is_timeout() => Err(self.broken("timed out within the body")),
            Err(error) => Err(self.broken(&format!("body cut: {}", cause(&error)))),
        }
    }

    /// All of it, up to the largest size, after what was read of it.
    pub(super) async fn whole(&mut self, mut body: Vec<u8>) -> Result<Vec<u8>, CallError> {
        let announced = self.response.content_length().and_then(|length| usize::try_from(length).ok());
        body.reserve(announced.unwrap_or_default().min(TRUSTED_LENGTH));
        while let Some(chunk) = self.next(LARGEST_BODY).await? {
            body.extend_from_slice(chunk.as_ref());
        }
        Ok(body)
    }

    /// Reads what may be left, of which nothing is wanted: a connection whose body has ended can be used again.
    pub(super) async fn part(&mut self) {
        let rest = async { while let Ok(Some(_)) = self.response.chunk().await {} };
        // One that doesn't end is closed.
        let _ = timeout(PARTING, rest).await;
    }

    /// That no whole answer came.
    pub(super) fn broken(&self, why: &str) -> CallError {
        CallError::Unanswered(format!("{}: {why}", self.place))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use std::future::pending;
    use std::pin::Pin;
    use std::sync::{Mutex, PoisonError};
    use std::task::{Context, Poll};

    use axum::body::{Body, Bytes, HttpBody};
    use futures_util::{StreamExt, stream};
    use http_body::Frame;

    use super::*;

    /// A body that may be shared, as reqwest wants it.
    struct Shared(Mutex<Body>);

    impl HttpBody for Shared {
        type Data = Bytes;
        type Error = axum::Error;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            context: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
            Pin::new(self.0.get_mut().unwrap_or_else(PoisonError::into_inner)).poll_frame(context)
        }
    }

    /// A response with these parts a second apart, and what comes after them.
    pub(in crate::model::http) fn response(parts: &[&str], end: End) -> Response {
        let parts: Vec<String> = parts.iter().map(|part| (*part).to_owned()).collect();
        let parts = stream::iter(parts).then(|part| async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            Ok(Bytes::from(part))
        });
        let end = stream::once(async move {
            match end {
                End::Whole => None,
                End::Cut => Some(Err(std::io::Error::other("reset"))),
                End::Stall => pending().await,
            }
        });
        let body = Body::from_stream(parts.chain(end.filter_map(|end| async { end })));
        Response::from(axum::http::Response::new(reqwest::Body::wrap(Shared(Mutex::new(body)))))
    }

    /// How a body ends.
    #[derive(Debug, Clone, Copy)]
    pub(in crate::model::http) enum End {
        Whole,
        Cut,
        Stall,
    }

    const PATIENCE: Duration = Duration::from_secs(2);

    #[tokio::test(start_paused = true)]
    async fn a_body_is_read_as_long_as_something_comes_and_one_that_breaks_is_no_answer() {
        for (end, told) in [
            (End::Whole, Ok("abcde")),
            (End::Cut, Err("here: body cut: reset")),
            (End::Stall, Err("here: nothing for 2 s within the body")),
        ] {
            let mut response = response(&["a", "b", "c", "d", "e"], end);
            let body = Reading::of(&mut response, "here", PATIENCE).whole(Vec::new()).await;
            let told = told.map(|body| body.as_bytes().to_vec()).map_err(|why| CallError::Unanswered(why.into()));
            assert_eq!(body, told, "{end:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_is_taken_than_a_body_may_have() {
        let mut response = response(&["ab", "cd"], End::Whole);
        let mut reading = Reading::of(&mut response, "here", PATIENCE);
        assert!(reading.next(3).await.unwrap().is_some());
        let error = reading.next(3).await.map(|_| ()).unwrap_err();
        assert_eq!(error, CallError::Unanswered("here: body of more than 0 MiB".into()));
    }

    #[tokio::test(start_paused = true)]
    async fn the_end_of_what_is_no_longer_wanted_is_waited_for_but_not_long() {
        let begun = tokio::time::Instant::now();
        let mut response = response(&[], End::Stall);
        Reading::of(&mut response, "here", PATIENCE).part().await;
        assert_eq!(begun.elapsed(), PARTING);
    }
}
