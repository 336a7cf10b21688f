//! The events of a model that can't be had any more in the midst of a run, and of what begins anew.

use serde::{Deserialize, Serialize};

use crate::eval::Summary;
use crate::model::ModelRole;

/// Another model took the place of one that can't be had any more. What the earlier one answered is compared with
/// nothing from here on; where it only proposed, nothing is measured anew.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FellBack {
    /// The generation that was under way, and that ends here; 0 for the baseline. A change of proposer ends none.
    pub generation: u32,
    /// Whose model it was. A role without a model of its own has the task's.
    pub role: ModelRole,
    /// What answers in its place.
    pub to: Successor,
    /// Its name and address, as the config has them.
    pub model: String,
    /// What the one before it failed with.
    pub reason: String,
}

impl FellBack {
    /// In plain words.
    pub fn words(&self) -> String {
        let FellBack { role, model, reason, .. } = self;
        let what = match self.to {
            Successor::Fallback(_) => format!("the {role} model can't be had ({reason}), {model} takes its place"),
            Successor::At(_) => format!("an address of the {role} model is out ({reason}), it is asked as {model}"),
        };
        let anew = match role {
            ModelRole::Proposer => "",
            _ => "; what has no answer from there is measured anew, and compared with nothing before",
        };
        what + anew
    }
}

/// What takes a model's place, by the config as it was before: a resumed run finds the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Successor {
    /// Its fallback of this number, counted from 0; those before it could not be had either.
    Fallback(usize),
    /// The same model at these of its addresses alone, counted from 0.
    At(Vec<usize>),
}

/// The incumbent was measured anew by the model that answers, or is judged by the one that judges, from here on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncumbentMeasured {
    /// The generation that the model before it did not get through.
    pub generation: u32,
    /// Id of the incumbent, which is not the starting prompt.
    pub incumbent: String,
    /// It on train.
    pub train: Summary,
    /// It on dev.
    pub dev: Summary,
    /// The starting prompt on dev.
    pub baseline_dev: Summary,
}
