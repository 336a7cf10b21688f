//! The files that a config names besides prompts, dataset and strategies, and what a run keeps of them.
//!
//! Files that are read as texts, JSON schemas and judges' prompts, are copied into a run's snapshot and read from there
//! when it is gone on with. Programs, of scorers, of the target and of models, are run where they are: of the files that
//! their command lines name, and of the modules that a Python scorer imports from its folder, a run keeps the digests.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::ProjectError;
use super::load::read;
use crate::config::{Config, Provider};
use crate::digest::Digest;

/// What is known of the files, by their paths as the config has them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NamedFiles {
    /// What stood in those that are read as texts.
    texts: BTreeMap<PathBuf, String>,
    /// The digests of those that programs are made of.
    programs: BTreeMap<PathBuf, Digest>,
}

impl NamedFiles {
    /// What stands in the file `path` of the folder `root`, or stood there when it was first read.
    ///
    /// # Errors
    /// A file that can't be read.
    pub(super) fn text(&mut self, root: &Path, path: &Path) -> Result<String, ProjectError> {
        if let Some(text) = self.texts.get(path) {
            return Ok(text.clone());
        }
        let text = read(&root.join(path))?;
        self.texts.insert(path.to_path_buf(), text.clone());
        Ok(text)
    }

    /// Takes in the file `path` of the folder `root` as one that a program is made of. What is no file, or can't be read,
    /// is none.
    pub(super) fn program(&mut self, root: &Path, path: &Path) {
        if let Some(digest) = digest_of(&root.join(path)) {
            self.programs.insert(path.to_path_buf(), digest);
        }
    }

    /// Takes in the files that a command line names.
    pub(super) fn command(&mut self, root: &Path, words: &[String]) {
        for word in words {
            self.program(root, Path::new(word));
        }
    }

    /// These, and those of the programs that answer rows and calls.
    pub(super) fn with_programs_of(mut self, config: &Config, root: &Path) -> Self {
        if let Some(target) = &config.target {
            self.command(root, &target.command);
            target.files.iter().for_each(|path| self.program(root, path));
        }
        let models = config.models.all();
        for (_, model) in models.iter().filter(|(path, model)| path.len() == 1 && model.provider == Provider::Command) {
            self.command(root, model.run.as_deref().unwrap_or_default());
        }
        self
    }

    /// The files of programs in the folder `root` that aren't as they were.
    pub(super) fn changed(&self, root: &Path) -> Vec<PathBuf> {
        let is_same = |path: &Path, digest: &Digest| digest_of(&root.join(path)).as_ref() == Some(digest);
        self.programs.iter().filter(|(path, digest)| !is_same(path, digest)).map(|(path, _)| path.clone()).collect()
    }
}

fn digest_of(path: &Path) -> Option<Digest> {
    if !path.is_file() {
        return None;
    }
    std::fs::read(path).ok().map(|bytes| Digest::of(&bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_stays_as_it_was_first_read_and_a_program_that_changed_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
        let mut files = NamedFiles::default();
        write("answer.json", "{}");
        write("agent.py", "old");
        write("score.sh", "old");
        files.text(folder.path(), Path::new("answer.json")).unwrap();
        files.command(folder.path(), &["python3".into(), "agent.py".into(), "score.sh".into(), "--fast".into()]);
        assert_eq!(files.changed(folder.path()), Vec::<PathBuf>::new());

        let mut files: NamedFiles = serde_json::from_str(&serde_json::to_string(&files).unwrap()).unwrap();
        write("answer.json", "[]");
        write("agent.py", "new");
        std::fs::remove_file(folder.path().join("score.sh")).unwrap();
        assert_eq!(files.text(folder.path(), Path::new("answer.json")).unwrap(), "{}");
        assert_eq!(files.changed(folder.path()), [Path::new("agent.py"), Path::new("score.sh")]);
        assert!(files.text(folder.path(), Path::new("none.json")).is_err());
    }

    #[test]
    fn the_programs_of_target_and_models_are_taken_in() {
        let folder = tempfile::tempdir().unwrap();
        for name in ["agent.py", "tools.py", "model.sh", "judge.sh"] {
            std::fs::write(folder.path().join(name), name).unwrap();
        }
        let config = "prompt = 'p'\ndataset = 'd'\nscorers = [{type = 'exact_match'}]\n\
                      [target]\ncommand = ['python3', 'agent.py']\nfiles = ['tools.py']\n\
                      [models.task]\nprovider = 'command'\nrun = ['./model.sh']\n\
                      [models.judge]\nprovider = 'command'\nrun = ['sh', 'judge.sh']\n";
        let config = Config::parse("ratchet.toml", config, &[]).unwrap();
        let files = NamedFiles::default().with_programs_of(&config, folder.path());
        let names: Vec<_> = files.programs.keys().map(|path| path.to_str().unwrap()).collect();
        assert_eq!(names, ["./model.sh", "agent.py", "judge.sh", "tools.py"]);
    }
}
