//! Whether the proposer gives anything that can be used: a model that is too small for it never does, and the run is then
//! told to have tried nothing, rather than to have found nothing better.

use crate::propose::{Dropped, Proposed};
use crate::run::Unusable;

/// After so many proposals of which not one could even be read, the next would not be either. Each takes two calls.
const ENOUGH: u32 = 6;

/// What the proposer's replies came to, over the whole run.
#[derive(Debug, Default)]
pub(super) struct Usable {
    /// Proposals that were asked for.
    asked: u32,
    /// Those that could be read.
    read: u32,
    /// Those that passed the static guards.
    used: u32,
    /// Those that the provider refused to answer.
    refused: u32,
    /// Those that made the prompt too long.
    too_long: u32,
    /// Why the last of the others was dropped.
    last: String,
}

impl Usable {
    /// Takes in what an ask came to.
    pub fn observe(&mut self, reply: &Result<Proposed, Dropped>) {
        if matches!(reply, Err(Dropped::Call(error)) if error.is_limit()) {
            // It was not asked.
            return;
        }
        self.asked += 1;
        match reply {
            Ok(_) => (self.read, self.used) = (self.read + 1, self.used + 1),
            Err(dropped) => {
                self.read += u32::from(matches!(dropped, Dropped::Guard(_) | Dropped::TooLong(_)));
                self.too_long += u32::from(matches!(dropped, Dropped::TooLong(_)));
                self.refused += u32::from(matches!(dropped, Dropped::Call(error) if error.is_refusal()));
                self.last = dropped.to_string();
            }
        }
    }

    /// Whether it is no use asking again.
    pub fn is_hopeless(&self) -> bool {
        self.asked >= ENOUGH && self.read == 0
    }

    /// That not one proposal could be used, where that is so.
    pub fn none(&self) -> Option<Unusable> {
        (self.asked > 0 && self.used == 0).then(|| Unusable {
            proposals: self.asked,
            reason: self.last.clone(),
            refused: self.refused == self.asked,
            too_long: 2 * self.too_long > self.asked,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::CallError;

    #[test]
    fn only_replies_that_could_never_be_read_are_hopeless() {
        let mut usable = Usable::default();
        usable.observe(&Err(Dropped::Call(CallError::TimeUp)));
        assert_eq!(usable.none(), None, "nothing was asked");
        for _ in 0..ENOUGH {
            assert!(!usable.is_hopeless());
            usable.observe(&Err(Dropped::Reply("no JSON".to_owned())));
        }
        assert!(usable.is_hopeless());
        usable.observe(&Err(Dropped::Guard("loses its input".to_owned())));
        assert!(!usable.is_hopeless());
        let none = usable.none().unwrap();
        assert_eq!((none.proposals, none.reason.as_str()), (ENOUGH + 1, "loses its input"));
        assert!(none.words().contains("all 7 proposals were unusable; the last: loses its input"), "{}", none.words());
    }

    #[test]
    fn a_limit_that_leaves_no_room_is_not_the_proposers_fault() {
        let mut usable = Usable::default();
        usable.observe(&Err(Dropped::Guard("loses its input".to_owned())));
        for _ in 0..2 {
            usable.observe(&Err(Dropped::TooLong("90 tokens, and 50 are allowed (guards.max_growth)".to_owned())));
        }
        let words = usable.none().unwrap().words();
        assert!(words.contains("guards.max_growth") && words.contains("Raise that limit"), "{words}");
        assert!(!words.contains("larger model"), "{words}");
    }

    #[test]
    fn requests_that_are_refused_are_no_matter_of_the_models_size() {
        let mut usable = Usable::default();
        usable.observe(&Err(Dropped::Call(CallError::Rejected("too long".into()))));
        let words = usable.none().unwrap().words();
        assert!(words.contains("Check the model and the parameters in [models.proposer]"), "{words}");
        usable.observe(&Err(Dropped::Reply("no JSON".to_owned())));
        assert!(usable.none().unwrap().words().contains("larger model"));
    }
}
