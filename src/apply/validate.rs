//! What an Envoy says to files before they are published: `envoy --mode validate`.
//!
//! It does not read the xDS files of a bootstrap in that mode, so a proxy is shown to it as one throw-away file: the
//! bootstrap with their resources as static ones. A fragment is shown together with the bootstrap that it is merged into,
//! where that is known. It opens no port then and finds no collector; it sees what no circumstance makes good.
//!
//! An Envoy that cannot validate is an error of the whole publication, and nothing is published: whoever set
//! `envoy.validate` relies on it, and what is published works. A missing program must not be what lets the first bad file
//! through.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use super::inventory::{Inventory, Rejection, digest};
use super::publish::{Job, Room};
use super::session::Cache;
use super::tree::Access;
use super::{ApplyError, Bases, Outcome, Result, Target, Word};
use crate::envoy::artifact::{Artifact, ProxyKey};
use crate::envoy::xds;
use crate::plan::{Action, Plan};
use crate::system::parallel;
use crate::system::process::{self, End, Ended};
use crate::words::with_causes;

/// How long one validation may take; a large proxy needs a second.
const LIMIT: Duration = Duration::from_secs(20);

/// So many may take too long before no other is begun: then it is not the files.
const MANY: usize = 8;

/// Characters of a refusal that are told.
const LONGEST: usize = 500;

/// The validator runs as the user that writes.
const OURS: Access = Access {
    mode: 0o600,
    owner: None,
    group: None,
};

/// What every Envoy accepts.
const GOOD: &str = "static_resources: {}\n";
/// What every Envoy refuses: a program that accepts it is none.
const BAD: &str = "no_such_field: {}\n";

/// The Envoy that validates.
#[derive(Debug)]
pub(super) struct Validator<'t> {
    path: &'t Path,
    /// Changes when another program takes its place.
    identity: String,
    /// The bootstraps into which fragments are merged.
    bases: BTreeMap<&'t ProxyKey, Base<'t>>,
}

/// A bootstrap that somebody else wrote.
#[derive(Debug)]
struct Base<'t> {
    path: &'t Path,
    /// Hash of its text; or why that cannot be read.
    digest: std::result::Result<String, String>,
}

/// What it says.
enum Answer {
    Accepted,
    /// Why not, in its words.
    Refused(String),
    /// Nothing that says something of the files; how that came.
    Nothing(String),
}

impl<'t> Validator<'t> {
    /// The validator, if one is wanted and the plan has something for it.
    ///
    /// # Errors
    /// When it is not there.
    pub(super) fn of(target: &'t Target, plan: &Plan, bases: &'t Bases) -> Result<Option<Self>> {
        let changed: BTreeSet<&ProxyKey> = (plan.changes.iter())
            .filter(|change| change.action != Action::Remove)
            .map(|change| &change.proxy)
            .collect();
        let Some(path) = target.validate.as_deref().filter(|_| !changed.is_empty()) else {
            return Ok(None);
        };
        let meta = fs::metadata(path).map_err(|error| unable(path, &error))?;
        let parts = [meta.dev(), meta.ino(), meta.size()].map(|part| part.to_string());
        let identity = format!("{}-{}.{}", parts.join("-"), meta.mtime(), meta.mtime_nsec());
        let bases = bases.iter().filter(|(proxy, _)| changed.contains(proxy));
        let bases = bases.map(|(proxy, path)| (proxy, Base::read(path))).collect();
        Ok(Some(Self { path, identity, bases }))
    }

    /// Who judges that proxy: the program, and the bootstrap that it judges the fragment with.
    pub(super) fn identity(&self, proxy: &ProxyKey) -> String {
        match self.bases.get(proxy).map(|base| &base.digest) {
            None => self.identity.clone(),
            Some(Ok(digest) | Err(digest)) => format!("{} {digest}", self.identity),
        }
    }

    /// Takes away the jobs whose files it does not accept, and says so in the outcome and in the inventory.
    ///
    /// # Errors
    /// When it cannot validate.
    pub(super) fn sift(
        &self,
        room: &Room,
        cache: &Cache,
        jobs: &mut Vec<Job>,
        inventory: &mut Inventory,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let asked: Vec<(usize, Shown)> = (jobs.iter())
            .flat_map(|job| self.shown(job).into_iter().map(|shown| (job.index, shown)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let mut accepted = BTreeSet::from([self.prove(room, cache)?]);
        let slow = AtomicUsize::new(0);
        let numbered: Vec<(usize, &(usize, Shown))> = asked.iter().enumerate().collect();
        let answers = parallel::map(&numbered, parallel::cpu_count(), |(number, (_, shown))| {
            self.answer(room, cache, *number, shown, &slow)
        });
        let mut open = BTreeMap::new();
        for ((index, shown), answer) in asked.iter().zip(answers) {
            match answer? {
                Answer::Accepted => {
                    accepted.insert(shown.digest.clone());
                }
                // Of two words on a proxy a refusal is the last one.
                Answer::Refused(why) => {
                    open.insert(*index, Word::Rejected(why));
                }
                Answer::Nothing(why) => {
                    open.entry(*index).or_insert(Word::Waiting(why));
                }
            }
        }
        cache.set_accepted(accepted);
        jobs.retain(|job| match open.remove(&job.index) {
            None => true,
            Some(word) => {
                if let Word::Rejected(reason) = &word {
                    let entry = inventory.proxies.entry(job.change.proxy.clone()).or_default();
                    entry.rejection = Some(Rejection {
                        digest: digest(&job.change.after),
                        reason: reason.clone(),
                        by: Some(self.identity(&job.change.proxy)),
                    });
                }
                outcome.set(job.change, Ok(word));
                false
            }
        });
        Ok(())
    }

    /// What is shown to it of a job: nothing when only what no Envoy reads is changed.
    fn shown(&self, job: &Job) -> Vec<Shown> {
        let change = job.change;
        if change.action == Action::Remove {
            return Vec::new();
        }
        let is_changed = |artifacts: &[Artifact]| change.changed().any(|artifact| artifacts.contains(&artifact));
        let file = |artifact| change.after.get(&artifact).map_or("", String::as_str);
        let mut shown = Vec::new();
        if is_changed(&[Artifact::Cds, Artifact::Lds, Artifact::Bootstrap]) {
            let whole = xds::as_static(file(Artifact::Bootstrap), file(Artifact::Cds), file(Artifact::Lds));
            shown.push(self.marked(What::Whole(whole)));
        }
        if let Some(base) = self.bases.get(&change.proxy)
            && is_changed(&[Artifact::Fragment])
        {
            shown.push(self.marked(What::Merged {
                base: base.path.to_owned(),
                read: base.digest.clone(),
                fragment: file(Artifact::Fragment).to_owned(),
            }));
        }
        shown
    }

    fn marked(&self, what: What) -> Shown {
        let mut hasher = blake3::Hasher::new();
        let mut part = |text: &str| {
            hasher.update(&(text.len() as u64).to_le_bytes());
            hasher.update(text.as_bytes());
        };
        part(&self.identity);
        match &what {
            What::Whole(text) => part(text.as_deref().unwrap_or_default()),
            What::Merged {
                read: Ok(read) | Err(read),
                fragment,
                ..
            } => {
                part(read);
                part(fragment);
            }
        }
        let digest = hasher.finalize().to_hex().to_string();
        Shown { what, digest }
    }

    /// Makes sure once that it tells good from bad. What accepts everything, or refuses everything, judges no files.
    fn prove(&self, room: &Room, cache: &Cache) -> Result<String> {
        let good = self.marked(What::Whole(Some(GOOD.to_owned())));
        if cache.is_accepted(&good.digest) {
            return Ok(good.digest);
        }
        let wrong = |why: &str| self.unable(&io::Error::other(why.to_owned()));
        match self.ask_whole(room, "good", GOOD)? {
            Answer::Accepted => {}
            Answer::Refused(why) | Answer::Nothing(why) => {
                return Err(wrong(&format!("it does not even accept an empty configuration: {why}")));
            }
        }
        match self.ask_whole(room, "bad", BAD)? {
            Answer::Accepted => Err(wrong("it accepts everything, as no Envoy does")),
            Answer::Nothing(why) => Err(wrong(&why)),
            Answer::Refused(_) => Ok(good.digest),
        }
    }

    fn answer(&self, room: &Room, cache: &Cache, number: usize, shown: &Shown, slow: &AtomicUsize) -> Result<Answer> {
        if cache.is_accepted(&shown.digest) {
            return Ok(Answer::Accepted);
        }
        if slow.load(Ordering::Relaxed) >= MANY {
            return Ok(Answer::Nothing(format!(
                "{} validations took too long",
                slow.load(Ordering::Relaxed)
            )));
        }
        let answer = match &shown.what {
            What::Whole(None) => {
                return Ok(Answer::Refused(
                    "the files are no bootstrap with lists of clusters and listeners".to_owned(),
                ));
            }
            What::Whole(Some(text)) => self.ask_whole(room, &number.to_string(), text)?,
            What::Merged {
                base, read: Err(why), ..
            } => {
                return Ok(Answer::Nothing(format!("cannot read {}: {why}", base.display())));
            }
            What::Merged { base, fragment, .. } => {
                match self.ask(|command| command.arg("-c").arg(base).args(["--config-yaml", fragment]))? {
                    Answer::Refused(why) => {
                        Answer::Refused(format!("{why} (fragment.yaml merged into {})", base.display()))
                    }
                    answer => answer,
                }
            }
        };
        if matches!(answer, Answer::Nothing(_)) {
            slow.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn ask_whole(&self, room: &Room, name: &str, text: &str) -> Result<Answer> {
        // The end of the name says how it is read.
        let name = format!("validate-{name}.yaml");
        drop(room.staging.create(&name, text, OURS)?);
        let answer = self.ask(|command| command.arg("-c").arg(room.staging.path().join(&name)));
        room.staging.remove(&name)?;
        answer
    }

    fn ask(&self, show: impl FnOnce(&mut Command) -> &mut Command) -> Result<Answer> {
        let mut command = Command::new(self.path);
        command.args(["--mode", "validate", "--log-level", "critical", "--concurrency", "1"]);
        match process::run(show(&mut command), LIMIT, &AtomicBool::new(false)) {
            Ok(ended) => Ok(self.judge(&ended)),
            // Nobody could start an Envoy with it.
            Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => Ok(Answer::Refused(
                "it is longer than an argument of a program may be".to_owned(),
            )),
            Err(error) => Err(self.unable(&error)),
        }
    }

    fn judge(&self, ended: &Ended) -> Answer {
        let path = self.path.display();
        match ended.end {
            End::TimedOut | End::Abandoned => Answer::Nothing(format!("{path} did not end within {LIMIT:?}")),
            End::Exited(status) if status.success() => Answer::Accepted,
            End::Exited(status) => match status.signal() {
                // The machine may have killed it for want of memory.
                Some(signal) => Answer::Nothing(format!("{path} was ended by signal {signal}")),
                None => Answer::Refused(reason(&ended.said).unwrap_or_else(|| format!("{path} ends with {status}"))),
            },
        }
    }

    fn unable(&self, error: &io::Error) -> ApplyError {
        unable(self.path, error)
    }
}

impl<'t> Base<'t> {
    fn read(path: &'t Path) -> Self {
        let digest = match fs::read(path) {
            Ok(text) => Ok(blake3::hash(&text).to_hex().to_string()),
            Err(error) => Err(error.to_string()),
        };
        Self { path, digest }
    }
}

/// What is shown to the validator.
struct Shown {
    what: What,
    /// Of it and of who is asked.
    digest: String,
}

enum What {
    /// A whole configuration; `None` when it cannot be made of the files.
    Whole(Option<String>),
    /// A fragment, and the bootstrap that it is merged into.
    Merged {
        base: PathBuf,
        /// Hash of the text of the bootstrap, or why that cannot be read.
        read: std::result::Result<String, String>,
        fragment: String,
    },
}

fn unable(path: &Path, error: &io::Error) -> ApplyError {
    ApplyError::Validator {
        path: path.to_owned(),
        message: with_causes(error),
    }
}

/// Why a configuration is refused, from all that Envoy says to it, on one line.
fn reason(said: &str) -> Option<String> {
    let after = |text: &str, mark: &str| text.rsplit_once(mark).map(|(_, rest)| rest.to_owned());
    let told = match after(said, "error initializing configuration '") {
        // Which file that is nobody knows.
        Some(rest) => rest.split_once("': ").map_or(rest.clone(), |(_, why)| why.to_owned()),
        None => said.lines().rfind(|line| !line.trim().is_empty())?.to_owned(),
    };
    // Before this it repeats the whole message that it speaks of.
    let mark = "Proto constraint validation failed";
    let told = match told.find(mark) {
        Some(at) => &told[at..],
        None => &told,
    };
    let line = told.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = line.chars().take(LONGEST).collect();
    Some(if short.len() < line.len() {
        short + " ..."
    } else {
        short
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_what_envoy_says_the_reason_is_told() {
        let head = "[2025-01-02 03:04:05.678][9][critical][main] [source/server/config_validation/server.cc:76] error \
                    initializing configuration '/srv/envoy/.meshtraced/staging/validate-0.yaml': ";
        for (said, expected) in [
            (
                "envoy.tracers.zipkin: unknown cluster 'tracing:x'\n",
                "envoy.tracers.zipkin: unknown cluster 'tracing:x'",
            ),
            (
                "goo.gle/debugstr\nstatic_resources {\n  clusters {\n  }\n}\n: Proto constraint validation failed (a |\n caused by b)",
                "Proto constraint validation failed (a | caused by b)",
            ),
        ] {
            assert_eq!(reason(&format!("{head}{said}")).as_deref(), Some(expected));
        }
        assert_eq!(reason("one\n two\n\n").as_deref(), Some("two"));
        assert_eq!(reason("\n"), None);
        let long = reason(&"x".repeat(10_000)).expect("a line");
        assert!(long.len() < 600 && long.ends_with("x ..."), "{long}");
    }
}
