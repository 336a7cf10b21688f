//! Whether a run can begin: the models are asked before anything is written.

use std::sync::Arc;
use std::time::Duration;

use super::doctor::tiny;
use super::lineup::{first_successor, reach, succeed};
use super::optimize::{OptimizeError, Watch};
use super::probe::{Unready, probe};
use super::provider::{addresses, chats};
use super::{Models, Project, Use};
use crate::dataset::Split;
use crate::eval::OutcomeError;
use crate::model::{CallError, Limit, ModelRole};
use crate::run::Successor;
use crate::text::plural;

/// Where the first answer takes longer, that is told: what fails may be asked again for half a minute.
const SILENT: Duration = Duration::from_secs(5);

/// Longest wait for the proposer's first word: a refusal comes at once.
const TRIED: Duration = Duration::from_secs(30);

/// The project's models, each of which can be had: where one can't, the next of its fallbacks takes its place in the
/// project, and so in the run's snapshot, for good.
pub(super) async fn ready(
    project: &mut Project,
    use_: &Use,
    begin: impl Fn(&Models),
    watch: &dyn Watch,
) -> Result<Models, OptimizeError> {
    loop {
        let models = project.models(use_)?;
        begin(&models);
        let Err((role, Unready { error, own })) = try_aloud(project, &models, watch).await else { return Ok(models) };
        let to = match &error {
            OutcomeError::Call(error) if error.is_providers() => Some(first_successor(&models, role, error)),
            _ => None,
        };
        let next = to.and_then(|to| Some((succeed(&mut project.config.models, role, &to)?, to)));
        watch.note(&match next {
            None => {
                let context = Unready { error: error.clone(), own }.context();
                return Err(OptimizeError::NotReady { role, error, context });
            }
            Some((next, Successor::Fallback(_))) => {
                format!("warning: the {role} model can't be had ({error}); the whole run takes its fallback {next}")
            }
            Some((next, Successor::At(_))) => {
                format!("warning: an address of the {role} model is out ({error}); the whole run asks it as {next}")
            }
        });
        project.rebuild_scorers().await?;
    }
}

/// As [`try_all`], and says where that takes long.
async fn try_aloud(project: &Project, models: &Models, watch: &dyn Watch) -> Result<(), (ModelRole, Unready)> {
    told_if_slow(models, try_all(project, models), |line| watch.note(line)).await
}

/// What `trying` comes to, the first contact with `models`; `note` is told where no answer comes for some seconds.
pub async fn told_if_slow<T>(models: &Models, trying: impl Future<Output = T>, note: impl FnOnce(&str)) -> T {
    let slow = || {
        let total = models.spend().total();
        if total.live + total.stored > 0 {
            return;
        }
        let failed = total.failed as usize;
        let failed = if failed == 0 { String::new() } else { format!(", {} failed", plural(failed, "attempt")) };
        note(&format!("note: no answer in the first {} s{failed}; still asking", SILENT.as_secs()));
    };
    aloud(trying, slow).await
}

/// What `trying` comes to; `slow` is done once it has taken too long to be silent about it.
async fn aloud<T>(trying: impl Future<Output = T>, slow: impl FnOnce()) -> T {
    let mut trying = std::pin::pin!(trying);
    match tokio::time::timeout(SILENT, &mut trying).await {
        Ok(tried) => tried,
        Err(_) => {
            slow();
            trying.await
        }
    }
}

/// Asks the task's model, and the proposer's where it is another, and looks whether those with tables of their own can be
/// reached; whose can't.
async fn try_all(project: &Project, models: &Models) -> Result<(), (ModelRole, Unready)> {
    let others = [
        (ModelRole::Judge, Some(&models.judge)),
        (ModelRole::Embedder, models.embedder.as_ref()),
        (ModelRole::Proposer, Some(&models.proposer)),
    ];
    let used = project.roles();
    // A judge is asked when the first row is scored: whether there is one comes first.
    for (role, model) in others.into_iter().filter_map(|(role, model)| used.contains(&role).then_some((role, model?))) {
        if !Arc::ptr_eq(&models.task, model) {
            reach(model).await.map_err(|error| (role, Unready::from(error)))?;
        }
    }
    if models.task.addresses() > 1 {
        reach(&models.task).await.map_err(|error| (ModelRole::Task, Unready::from(error)))?;
    }
    // A row is answered and then scored, and any of these may have failed.
    let train = project.measured(Split::Train);
    let evaluator = project.evaluator(models);
    let (probed, refused) = tokio::join!(probe(&evaluator, &project.prompts, &train), refused_proposer(project));
    probed.map_err(|unready| match &unready.error {
        OutcomeError::Call(call) => (models.whose(call), unready),
        OutcomeError::Score(_) => (ModelRole::Task, unready),
    })?;
    match refused {
        Some(error) => Err((ModelRole::Proposer, error.into())),
        None => Ok(()),
    }
}

/// Why the proposer, where it has a table of its own, takes no request or gives no access, as far as a tiny call shows: the
/// first proposal is asked for only once the baseline is paid for. No decision rests on this call, so it is neither stored
/// nor counted, and any other failure of it is left to the run.
async fn refused_proposer(project: &Project) -> Option<CallError> {
    let (role, model) = (ModelRole::Proposer, project.config.models.proposer.as_ref()?);
    let limits: Vec<Limit> = addresses(model).iter().map(|_| Limit::new(1)).collect();
    let (_, chat) = chats(model, role, role.name(), &project.root, &limits).ok()?.into_iter().next()?;
    let call = tiny(model, role);
    let error = tokio::time::timeout(TRIED, chat.complete(&call)).await.ok()?.err()?;
    (error.is_refusal() || error.is_denial()).then_some(error)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_first_answer_that_takes_long_is_told_of_and_waited_for() {
        for (seconds, told) in [(1, 0), (20, 1)] {
            let said = Cell::new(0);
            let answer = async {
                tokio::time::sleep(Duration::from_secs(seconds)).await;
                seconds
            };
            let came = aloud(answer, || said.set(said.get() + 1)).await;
            assert_eq!((came, said.get()), (seconds, told));
        }
    }
}
