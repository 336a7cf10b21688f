//! Looking after a store's file from outside any run: what it holds, for whom, whether it is whole; and forgetting.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, params};

use super::sqlite::{connect, count, explained, is_ready, is_sealed, response};
use crate::model::{CallError, CallKey};
use crate::money::Money;

/// One line a run, with what it paid for answers that another had stored first. Sizes are told without reading the long
/// columns. Sums are of floating-point numbers: they can't overflow, and are exact up to $9,000.
const USAGE: &str = "SELECT run, sum(answers), sum(bytes), total(input), total(output), total(cost),
    count(*) - count(cost), min(created), max(created) FROM (
        SELECT run, 1 AS answers, octet_length(text) + coalesce(octet_length(trace), 0)
            + coalesce(octet_length(reasoning), 0) + coalesce(octet_length(tool_calls), 0) AS bytes, input, output, cost,
            created FROM responses UNION ALL
        SELECT run, 0, 0, input, output, cost, created FROM paid_again
    ) GROUP BY run ORDER BY run";

const ALL: &str = "SELECT run, role, model, finish, input, output, cached, latency_ms, cost, text, trace,
    reasoning_tokens, reasoning, endpoint, tool_calls, logprob, digest, key FROM responses";

/// Most problems that [`Upkeep::verify`] lists.
const LISTED: usize = 20;

/// A store's file, open to be looked after. Runs may go on meanwhile.
pub struct Upkeep {
    path: PathBuf,
    connection: Connection,
}

/// What a store holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StoreUsage {
    /// Bytes on disk, with what is not checkpointed yet.
    pub bytes: u64,
    /// Sorted by run.
    pub runs: Vec<RunUsage>,
}

/// What a store holds of one run, or of what else has paid.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunUsage {
    /// Who paid: a run's id, or another name.
    pub run: String,
    /// Answers; those that another had stored first are that one's.
    pub answers: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Tokens read, also for those.
    pub tokens_in: u64,
    /// Tokens written.
    pub tokens_out: u64,
    /// What was paid, also for those, as far as it is known.
    pub cost: Money,
    /// What was paid for at a price that isn't known.
    pub unpriced: u64,
    /// When the first and the last one were stored, since the Unix epoch.
    pub stored: [Duration; 2],
}

/// What was found in a store's file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Verified {
    /// What is wrong with it, at most 20 findings.
    pub problems: Vec<String>,
    /// Answers.
    pub answers: u64,
    /// Of them, those that an older version has stored, without a digest: that they can be read is all that is known.
    pub unchecked: u64,
}

/// Which answers to forget: those to which all that is given applies.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Forget {
    /// Paid for by one of these.
    pub runs: Option<Vec<String>>,
    /// Stored before this time since the Unix epoch.
    pub before: Option<Duration>,
}

impl Upkeep {
    /// Opens the store at `path`; `None` where there is none.
    ///
    /// # Errors
    /// [`CallError::Store`], saying what to do, when the file is damaged, locked, of a newer version or no store.
    pub fn open(path: &Path) -> Result<Option<Self>, CallError> {
        if !path.exists() {
            return Ok(None);
        }
        let mut connection = connect(path).map_err(|error| explained(path, &error))?;
        // An empty file is what a start leaves that was cut off: a store without answers.
        Ok(is_ready(&mut connection, path)?.then(|| Self { path: path.to_path_buf(), connection }))
    }

    /// What the store holds, by who paid.
    ///
    /// # Errors
    /// [`CallError::Store`] when the file can't be read.
    pub fn usage(&self) -> Result<StoreUsage, CallError> {
        let runs = || -> rusqlite::Result<Vec<RunUsage>> {
            let mut statement = self.connection.prepare(USAGE)?;
            let rows = statement.query_map([], |row| {
                let time = |column| count(row, column).map(Duration::from_secs);
                Ok(RunUsage {
                    run: row.get(0)?,
                    answers: count(row, 1)?,
                    bytes: count(row, 2)?,
                    tokens_in: row.get::<_, f64>(3)? as u64,
                    tokens_out: row.get::<_, f64>(4)? as u64,
                    cost: Money::from_picos(row.get::<_, f64>(5)? as u64),
                    unpriced: count(row, 6)?,
                    stored: [time(7)?, time(8)?],
                })
            })?;
            rows.collect()
        };
        Ok(StoreUsage { bytes: self.bytes(), runs: runs().map_err(|error| explained(&self.path, &error))? })
    }

    /// How many answers `forget` would take, and when the first of them was stored.
    ///
    /// # Errors
    /// [`CallError::Store`] when the file can't be read.
    pub fn matching(&self, forget: &Forget) -> Result<(u64, Option<Duration>), CallError> {
        let ask = |run: Option<&str>| {
            let (condition, before) = condition(run, forget.before);
            let query = format!("SELECT count(*), min(created) FROM responses WHERE {condition}");
            self.connection.query_row(&query, params![run, before], |row| {
                let oldest = row.get::<_, Option<i64>>(1)?;
                Ok((count(row, 0)?, oldest.map(|oldest| Duration::from_secs(oldest.max(0) as u64))))
            })
        };
        let answers = each(forget, ask).map_err(|error| explained(&self.path, &error))?;
        Ok((answers.iter().map(|(count, _)| count).sum(), answers.iter().filter_map(|(_, oldest)| *oldest).min()))
    }

    /// Forgets what `forget` says, all of it or nothing, and gives the room back to the disk; how many answers it was.
    ///
    /// # Errors
    /// [`CallError::Store`] when the file can't be written.
    pub fn forget(&mut self, forget: &Forget) -> Result<u64, CallError> {
        let Self { path, connection } = self;
        let mut work = || -> rusqlite::Result<u64> {
            let transaction = connection.transaction()?;
            let forgotten = each(forget, |run| {
                let (condition, before) = condition(run, forget.before);
                transaction.execute(&format!("DELETE FROM paid_again WHERE {condition}"), params![run, before])?;
                transaction.execute(&format!("DELETE FROM responses WHERE {condition}"), params![run, before])
            })?;
            transaction.commit()?;
            connection.execute_batch("VACUUM; PRAGMA wal_checkpoint(TRUNCATE);")?;
            Ok(forgotten.into_iter().sum::<usize>() as u64)
        };
        work().map_err(|error| explained(path, &error))
    }

    /// What is wrong with the file: nothing where all of its pages and all answers can be read, and the answers are as they
    /// were stored.
    ///
    /// # Errors
    /// [`CallError::Store`] when the file can't be read at all.
    pub fn verify(&self) -> Result<Verified, CallError> {
        let explain = |error| explained(&self.path, &error);
        let problems = self.damage().map_err(explain)?;
        let mut found = Verified { problems, ..Verified::default() };
        if !found.problems.is_empty() {
            return Ok(found);
        }
        let mut statement = self.connection.prepare(ALL).map_err(explain)?;
        let mut rows = statement.query([]).map_err(explain)?;
        while let Some(row) = rows.next().map_err(explain)? {
            found.answers += 1;
            found.unchecked += u64::from(!is_sealed(row).map_err(explain)?);
            let key: Vec<u8> = row.get(17).map_err(explain)?;
            let name: String = key.iter().take(8).map(|byte| format!("{byte:02x}")).collect();
            let problem = match <[u8; 32]>::try_from(key) {
                Err(key) => Some(format!("its key has {} bytes", key.len())),
                Ok(key) => match response(CallKey::from_bytes(key), row) {
                    Err(rusqlite::Error::FromSqlConversionFailure(_, _, problem)) => Some(problem.to_string()),
                    Err(error) => Some(error.to_string()),
                    Ok(_) => None,
                },
            };
            found.problems.extend(problem.map(|problem| format!("answer {name}: {problem}")));
            if found.problems.len() >= LISTED {
                break;
            }
        }
        Ok(found)
    }

    /// SQLite's own findings.
    fn damage(&self) -> rusqlite::Result<Vec<String>> {
        let mut statement = self.connection.prepare(&format!("PRAGMA integrity_check({LISTED})"))?;
        let found: Vec<String> = statement.query_map([], |row| row.get(0))?.collect::<rusqlite::Result<_>>()?;
        Ok(found.into_iter().filter(|finding| finding != "ok").collect())
    }

    fn bytes(&self) -> u64 {
        let log = {
            let mut name = self.path.clone().into_os_string();
            name.push("-wal");
            PathBuf::from(name)
        };
        [&self.path, &log].iter().filter_map(|path| path.metadata().ok()).map(|file| file.len()).sum()
    }
}

/// Asks for each of the runs, or once for all.
fn each<T>(forget: &Forget, mut ask: impl FnMut(Option<&str>) -> rusqlite::Result<T>) -> rusqlite::Result<Vec<T>> {
    match &forget.runs {
        Some(runs) => runs.iter().map(|run| ask(Some(run))).collect(),
        None => Ok(vec![ask(None)?]),
    }
}

/// The condition for an answer of `run`, or of any, from before a time; both parameters are always named.
fn condition(run: Option<&str>, before: Option<Duration>) -> (&'static str, i64) {
    let before = before.map_or(i64::MAX, |before| i64::try_from(before.as_secs()).unwrap_or(i64::MAX));
    (if run.is_some() { "run = ?1 AND created < ?2" } else { "?1 IS NULL AND created < ?2" }, before)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::store::{Response, Store};
    use crate::model::testing::answer;
    use crate::model::{Completion, ModelRole};

    /// A store in which `r1` has paid for `first` answers and `r2` for 3, one of them of unknown price.
    async fn store(folder: &Path, first: u8) -> PathBuf {
        let path = folder.join("responses.sqlite");
        let store = Store::open(&path).unwrap();
        for n in 0..first + 3 {
            let (run, price) = if n < first { ("r1", Some(1)) } else { ("r2", (n > first).then_some(2)) };
            let completion = Completion { cost: price.map(Money::from_picos), ..answer("four") };
            let key = CallKey::of(&[n]);
            let (run, role, model) = (run.into(), ModelRole::Task, "tiny".into());
            store.write(Response { key, run, role, model, completion, second: None }).await.unwrap();
        }
        path
    }

    #[tokio::test]
    async fn what_a_store_holds_is_told_by_who_paid() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path(), 5).await;
        let usage = Upkeep::open(&path).unwrap().unwrap().usage().unwrap();
        let [first, second] = &usage.runs[..] else { panic!("{usage:?}") };
        assert_eq!(
            (first.run.as_str(), first.answers, first.bytes, first.cost.picos(), first.unpriced),
            ("r1", 5, 20, 5, 0)
        );
        assert_eq!((second.answers, second.cost.picos(), second.unpriced), (3, 4, 1));
        assert!(second.stored[0] <= second.stored[1] && usage.bytes > 4096);
        assert!(Upkeep::open(&folder.path().join("none")).unwrap().is_none());
    }

    #[tokio::test]
    async fn what_was_paid_twice_counts_for_both_and_no_sum_overflows() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path(), 2).await;
        let upkeep = Upkeep::open(&path).unwrap().unwrap();
        let again = "INSERT INTO paid_again (run, key, role, input, output, cached, reasoning_tokens, cost)
            SELECT 'r3', key, role, input, output, cached, reasoning_tokens, cost FROM responses WHERE run = 'r1'";
        upkeep.connection.execute_batch(again).unwrap();
        let of = |run: &str| upkeep.usage().unwrap().runs.into_iter().find(|usage| usage.run == run).unwrap();
        assert_eq!((of("r1").answers, of("r1").cost.picos()), (2, 2));
        assert_eq!((of("r3").answers, of("r3").bytes, of("r3").cost.picos()), (0, 0, 2));
        upkeep.connection.execute("UPDATE paid_again SET output = ?1, cost = ?1", [i64::MAX]).unwrap();
        assert!(of("r3").cost.picos() > i64::MAX as u64 && of("r3").tokens_out > i64::MAX as u64);
    }

    #[tokio::test]
    async fn forgetting_takes_what_was_named_and_gives_the_room_back() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path(), 5).await;
        let mut upkeep = Upkeep::open(&path).unwrap().unwrap();
        let now = upkeep.usage().unwrap().runs[0].stored[0];
        let old = Forget { runs: None, before: Some(now - Duration::from_secs(60)) };
        assert_eq!(upkeep.matching(&old).unwrap(), (0, None));
        let first = Forget { runs: Some(vec!["r1".into(), "r0".into()]), before: None };
        assert_eq!(upkeep.matching(&first).unwrap(), (5, Some(now)));
        assert_eq!(upkeep.forget(&first).unwrap(), 5);
        assert_eq!(upkeep.usage().unwrap().runs.len(), 1);
        let all = Forget { runs: None, before: Some(now + Duration::from_secs(3_600)) };
        assert_eq!(upkeep.forget(&all).unwrap(), 3);
        assert_eq!(upkeep.usage().unwrap().runs, []);
    }

    #[tokio::test]
    async fn a_whole_file_has_no_findings_and_a_damaged_one_has() {
        let folder = tempfile::tempdir().unwrap();
        let path = store(folder.path(), 200).await;
        let upkeep = Upkeep::open(&path).unwrap().unwrap();
        assert_eq!(upkeep.verify().unwrap(), Verified { answers: 203, ..Verified::default() });
        let alter = |n: u8, set: &str| {
            let update = format!("UPDATE responses SET {set} WHERE key = ?1");
            upkeep.connection.execute(&update, [CallKey::of(&[n]).as_bytes()]).unwrap();
        };
        alter(0, "finish = 'tired', digest = NULL");
        for (n, set) in (1..).zip(["text = 'five'", "cost = cost + 1", "reasoning = ''", "logprob = 0.5"]) {
            alter(n, set);
        }
        let found = upkeep.verify().unwrap();
        assert_eq!((found.answers, found.unchecked, found.problems.len()), (203, 1, 5), "{found:?}");
        assert_eq!(found.problems.iter().filter(|problem| problem.contains("tired")).count(), 1);
        assert_eq!(found.problems.iter().filter(|problem| problem.ends_with("not as it was stored")).count(), 4);
        let store = Store::open(&path).unwrap();
        let error = store.read(CallKey::of(&[1]), "r1").unwrap_err().to_string();
        assert!(error.contains("not as it was stored") && error.contains("ratchet store verify"), "{error}");
        drop(store);
        upkeep.connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
        drop(upkeep);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[8192..].fill(0xAB);
        std::fs::write(&path, bytes).unwrap();
        let found = Upkeep::open(&path).unwrap().unwrap().verify();
        let is_told = match &found {
            Ok(found) => !found.problems.is_empty(),
            Err(error) => error.to_string().contains("damaged"),
        };
        assert!(is_told, "{found:?}");
    }
}
