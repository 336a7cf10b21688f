//! Where requests go: put together once for each model, not for each request.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::Url;

/// Where the requests for one model go.
pub(super) struct Destination {
    pub(super) url: Url,
    /// As errors name it.
    pub(super) place: String,
}

/// The destinations of an endpoint, as far as they were asked for.
#[derive(Default)]
pub(super) struct Destinations {
    by_model: Mutex<BTreeMap<String, Arc<Destination>>>,
}

impl Destinations {
    /// Where requests for `model` go: as `make` says, as long as nothing is known.
    pub(super) fn of(&self, model: &str, make: impl FnOnce() -> Destination) -> Arc<Destination> {
        // Entries are inserted whole: a panic elsewhere can't leave one half changed.
        let mut by_model = self.by_model.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = by_model.get(model) {
            return Arc::clone(known);
        }
        let destination = Arc::new(make());
        by_model.insert(model.to_owned(), Arc::clone(&destination));
        destination
    }
}

/// An address as errors name it: host and path, no query, since that may hold a key.
pub(super) fn place(url: &Url) -> String {
    let port = url.port().map_or(String::new(), |port| format!(":{port}"));
    format!("{}{port}{}", url.host_str().unwrap_or_default(), url.path())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_model_has_a_destination_of_its_own_put_together_once() {
        let destinations = Destinations::default();
        let destination = |url: &str| {
            let url = Url::parse(url).unwrap();
            Destination { place: place(&url), url }
        };
        let of = |model: &str, url: &str| destinations.of(model, || destination(url)).place.clone();
        assert_eq!(of("a", "http://localhost:1/a?key=secret"), "localhost:1/a");
        assert_eq!(of("b", "http://localhost/b"), "localhost/b");
        let known = destinations.of("a", || panic!("it is known"));
        assert_eq!(known.url.as_str(), "http://localhost:1/a?key=secret");
    }
}
