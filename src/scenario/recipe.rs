//! What a plan was made of, so that another process can make the same one: the scenario's text, what the command line changed, and the
//! digests of the files it names. A plan itself does not travel; compiled templates and paths would, and secrets with them.

use super::plan::Plan;
use super::problem::{Problems, Sink, Source};
use super::{Overrides, document::Span};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use std::cell::RefCell;
use std::path::{Path, PathBuf};

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Recipe {
    /// Where the text came from, as given by the user; the files it names are looked for beside it.
    pub path: String,
    pub text: String,
    pub sets: Vec<(String, String)>,
    pub dials: Vec<(String, String)>,
    pub profile: Option<String>,
    /// The seed that was settled on, wherever it came from.
    pub seed: u64,
    /// Included files and data tables, in the order in which they were read.
    pub files: Vec<FileDigest>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FileDigest {
    pub path: PathBuf,
    pub sha256: [u8; 32],
}

impl Recipe {
    /// Makes the plan again, in another process or on another machine.
    ///
    /// # Errors
    /// Every problem of the scenario; a file that is not what it was when the recipe was written is one.
    pub fn plan(&self, env: &dyn Fn(&str) -> Option<String>) -> Result<Plan, Problems> {
        self.plan_with(env, &super::read)
    }

    pub(super) fn plan_with(
        &self,
        env: &dyn Fn(&str) -> Option<String>,
        files: super::compose::Files<'_>,
    ) -> Result<Plan, Problems> {
        let overrides = Overrides {
            sets: self.sets.clone(),
            dials: self.dials.clone(),
            profile: self.profile.clone(),
            seed: Some(self.seed),
            env,
        };
        let unchanged = |path: &Path, bytes_max: u64| {
            let bytes = files(path, bytes_max)?;
            match self.files.iter().find(|file| file.path == path) {
                Some(file) if file.sha256 == digest(&bytes) => Ok(bytes),
                _ => Err("it has changed since the run was planned".to_owned()),
            }
        };
        let plan = super::load_with(&self.path, &self.text, &overrides, &unchanged)?;
        if plan.recipe.files != self.files {
            let mut sink = Sink::default();
            sink.error(
                Span::default(),
                "this process reads other files than the one that planned the run",
                "give both the same environment: a path may come from a variable",
            );
            let source = Source { name: self.path.clone(), text: self.text.as_str().into() };
            return Err(sink.finish(&[source]));
        }
        Ok(plan)
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Reads files for a plan and notes what they were.
pub(super) struct Noted<'a> {
    files: super::compose::Files<'a>,
    noted: RefCell<Vec<FileDigest>>,
}

impl<'a> Noted<'a> {
    pub(super) fn new(files: super::compose::Files<'a>) -> Self {
        Self { files, noted: RefCell::default() }
    }

    pub(super) fn read(&self, path: &Path, bytes_max: u64) -> Result<Vec<u8>, String> {
        let bytes = (self.files)(path, bytes_max)?;
        self.noted.borrow_mut().push(FileDigest { path: path.to_owned(), sha256: digest(&bytes) });
        Ok(bytes)
    }

    pub(super) fn into_recipe(self, path: &str, text: &str, overrides: &Overrides<'_>, seed: u64) -> Recipe {
        Recipe {
            path: path.to_owned(),
            text: text.to_owned(),
            sets: overrides.sets.clone(),
            dials: overrides.dials.clone(),
            profile: overrides.profile.clone(),
            seed,
            files: self.noted.into_inner(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    const TEXT: &str = "plimsoll: 1\nname: t\ntarget: {http: \"http://127.0.0.1:1\"}\nvars: {size: 3}\ndata:\n  users: {file: users.csv}\n\
                        scenarios:\n  a:\n    steps:\n      - get: /x?u=${data.users.name}&s=${size}\n        name: x\n\
                        load:\n  - {name: l, run: a, executor: closed, stages: [{to: 1, over: 0s}, {hold: 1s}]}\n";

    #[test]
    fn the_same_plan_comes_out_again_unless_a_file_has_changed() {
        let changed = Cell::new(false);
        let files = |path: &Path, _: u64| {
            assert_eq!(path, Path::new("users.csv"));
            Ok(if changed.get() { b"name\nbob\n".to_vec() } else { b"name\nann\n".to_vec() })
        };
        let env = |_: &str| None;
        let overrides = Overrides {
            sets: vec![("vars.size".into(), "9".into())],
            seed: Some(7),
            ..Overrides::none(&env)
        };
        let plan = super::super::load_with("t.yaml", TEXT, &overrides, &files).expect("a plan");
        let sent = postcard::to_allocvec(&plan.recipe).expect("encoded");
        let recipe: Recipe = postcard::from_bytes(&sent).expect("decoded");
        assert_eq!(recipe, plan.recipe);
        let again = recipe.plan_with(&env, &files).expect("the same plan");
        assert_eq!((again.seed, &again.recipe), (7, &plan.recipe));
        assert_eq!(format!("{:?}", again.journeys), format!("{:?}", plan.journeys));
        assert_eq!(again.data[0].rows, plan.data[0].rows);
        changed.set(true);
        let problems = recipe.plan_with(&env, &files).expect_err("the file is another");
        assert!(problems.render(false, 100).contains("it has changed since the run was planned"));
    }
}
