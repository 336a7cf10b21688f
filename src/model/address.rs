//! One model at several addresses. Each is asked as a provider of its own, with its own gate, health and store keys.
//!
//! Which one is asked depends on the row that a call is for and on nothing else, so that both prompts of a comparison get
//! a row's answers from the same address, however busy the addresses are. Rows are spread by rendezvous hashing (Thaler
//! and Ravishankar, IEEE/ACM Transactions on Networking 6(1), 1998): when an address goes, the rows of the others stay
//! where they are.

use std::sync::Arc;

use super::store::Stored;
use super::{BoxFuture, Call, CallError, Chat, Completion, Limit, ProviderId};
use crate::digest::Digest;

/// One address of a model, with the layers around it.
pub(super) struct Address {
    pub(super) id: ProviderId,
    /// Beneath all layers.
    pub(super) chat: Arc<dyn Chat>,
    /// Above all layers.
    pub(super) stored: Stored,
    pub(super) limit: Limit,
}

/// The place, among addresses known by `ids`, of the one that answers `call`: by its row; by its own content where it is for
/// none.
pub(super) fn home<'a>(ids: impl ExactSizeIterator<Item = &'a ProviderId>, call: &Call) -> usize {
    if ids.len() < 2 {
        return 0;
    }
    let of_call;
    let about = if call.row.is_empty() {
        of_call = call.key(&ProviderId { kind: String::new(), base_url: String::new() }).to_string();
        &of_call
    } else {
        &call.row
    };
    let weight = |id: &ProviderId| Digest::of_parts([id.base_url.as_bytes(), about.as_bytes()]).as_u64();
    ids.map(weight).enumerate().max_by_key(|(_, weight)| *weight).map_or(0, |(place, _)| place)
}

/// A provider whose answers say at which address they were given.
pub(super) struct Named {
    pub(super) inner: Arc<dyn Chat>,
    pub(super) address: String,
}

impl Chat for Named {
    fn complete<'a>(&'a self, call: &'a Call) -> BoxFuture<'a, Result<Completion, CallError>> {
        Box::pin(async move {
            let completion = self.inner.complete(call).await?;
            let endpoint = completion.endpoint.or_else(|| Some(self.address.clone()));
            Ok(Completion { endpoint, ..completion })
        })
    }

    fn reach(&self) -> BoxFuture<'_, Result<(), CallError>> {
        self.inner.reach()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::testing::call;

    fn ids(addresses: &[&str]) -> Vec<ProviderId> {
        addresses.iter().map(|address| ProviderId { kind: "x".into(), base_url: (*address).to_owned() }).collect()
    }

    fn of_row(row: usize, text: &str, draw: &str) -> Call {
        let mut call = Call { row: format!("r{row}"), ..call(draw) };
        call.request.messages[0].content = text.to_owned();
        call
    }

    #[test]
    fn a_row_has_one_address_whatever_is_asked_about_it_and_rows_are_spread_evenly() {
        let ids = ids(&["http://a", "http://b", "http://c"]);
        let mut rows = [0; 3];
        for row in 0..3_000 {
            let first = home(ids.iter(), &of_row(row, "one prompt", "0"));
            assert_eq!(first, home(ids.iter(), &of_row(row, "another prompt", "107")));
            rows[first] += 1;
        }
        assert!(rows.iter().all(|rows| (850..1150).contains(rows)), "{rows:?}");
    }

    #[test]
    fn when_an_address_goes_the_rows_of_the_others_stay_where_they_are() {
        let (all, left) = (ids(&["http://a", "http://b", "http://c"]), ids(&["http://a", "http://c"]));
        for row in 0..300 {
            let (before, after) = (home(all.iter(), &of_row(row, "", "0")), home(left.iter(), &of_row(row, "", "0")));
            assert!(before == 1 || all[before] == left[after]);
        }
    }

    #[test]
    fn calls_for_no_row_are_spread_by_what_they_ask() {
        let ids = ids(&["http://a", "http://b"]);
        let places: Vec<usize> = (0..64).map(|draw| home(ids.iter(), &call(&draw.to_string()))).collect();
        assert!((16..48).contains(&places.iter().sum::<usize>()), "{places:?}");
    }
}
