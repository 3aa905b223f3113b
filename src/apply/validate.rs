//! What an Envoy says to files before they are published: `envoy --mode validate`.
//!
//! It does not read the xDS files of a bootstrap in that mode, so their resources are shown to it as static ones of a
//! throw-away file. It opens no port then and finds no collector; it sees what no circumstance makes good.
//!
//! An Envoy that cannot validate is an error of the whole publication, and nothing is published: whoever set
//! `envoy.validate` relies on it, and what is published works. A missing program must not be what lets the first bad file
//! through.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use super::child::{self, Ended};
use super::inventory::{Inventory, Rejection, digest};
use super::memory::Memory;
use super::publish::{Job, Room};
use super::tree::Access;
use super::{ApplyError, Outcome, Result, Target, Word, crowd};
use crate::diag::text::with_causes;
use crate::envoy::artifact::Artifact;
use crate::envoy::xds;
use crate::plan::{Action, Plan};

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
    pub(super) fn of(target: &'t Target, plan: &Plan) -> Result<Option<Self>> {
        let has_work = plan.changes.iter().any(|change| change.action != Action::Remove);
        let Some(path) = target.validate.as_deref().filter(|_| has_work) else {
            return Ok(None);
        };
        let meta = fs::metadata(path).map_err(|error| unable(path, &error))?;
        let parts = [meta.dev(), meta.ino(), meta.size()].map(|part| part.to_string());
        let identity = format!("{}-{}.{}", parts.join("-"), meta.mtime(), meta.mtime_nsec());
        Ok(Some(Self { path, identity }))
    }

    /// Which program it is.
    pub(super) fn identity(&self) -> &str {
        &self.identity
    }

    /// Takes away the jobs whose files it does not accept, and says so in the outcome and in the inventory.
    ///
    /// # Errors
    /// When it cannot validate.
    pub(super) fn sift(
        &self,
        room: &Room,
        memory: &Memory,
        jobs: &mut Vec<Job>,
        inventory: &mut Inventory,
        outcome: &mut Outcome,
    ) -> Result<()> {
        let texts: BTreeMap<usize, Text> = jobs
            .iter()
            .filter_map(|job| Some((job.index, self.text(job)?)))
            .collect();
        if texts.is_empty() {
            return Ok(());
        }
        let mut accepted = BTreeSet::from([self.prove(room, memory)?]);
        let asked: Vec<(&usize, &Text)> = texts.iter().collect();
        let slow = AtomicUsize::new(0);
        let answers = crowd::each(&asked, crowd::processors(), |(index, text)| {
            self.answer(room, memory, **index, text, &slow)
        });
        let mut open = BTreeMap::new();
        for ((index, text), answer) in asked.into_iter().zip(answers) {
            match answer? {
                Answer::Accepted => {
                    accepted.insert(text.digest.clone());
                }
                Answer::Refused(why) => {
                    open.insert(*index, Word::Rejected(why));
                }
                Answer::Nothing(why) => {
                    open.insert(*index, Word::Waiting(why));
                }
            }
        }
        memory.accept(accepted);
        jobs.retain(|job| match open.remove(&job.index) {
            None => true,
            Some(word) => {
                if let Word::Rejected(reason) = &word {
                    let entry = inventory.proxies.entry(job.change.proxy.clone()).or_default();
                    entry.rejection = Some(Rejection {
                        digest: digest(&job.change.after),
                        reason: reason.clone(),
                        by: Some(self.identity.clone()),
                    });
                }
                outcome.set(job.change, Ok(word));
                false
            }
        });
        Ok(())
    }

    /// What is shown to it of a job; `None` when clusters and listeners stay.
    fn text(&self, job: &Job) -> Option<Text> {
        let change = job.change;
        let is_of_interest = |artifact| matches!(artifact, Artifact::Cds | Artifact::Lds);
        if change.action == Action::Remove || !change.changed().any(is_of_interest) {
            return None;
        }
        let file = |artifact| change.after.get(&artifact).map_or("", String::as_str);
        Some(self.marked(xds::as_static(file(Artifact::Cds), file(Artifact::Lds))))
    }

    fn marked(&self, text: Option<String>) -> Text {
        let all = format!("{}\n{}", self.identity, text.as_deref().unwrap_or_default());
        let digest = blake3::hash(all.as_bytes()).to_hex().to_string();
        Text { text, digest }
    }

    /// Makes sure once that it tells good from bad. What accepts everything, or refuses everything, judges no files.
    fn prove(&self, room: &Room, memory: &Memory) -> Result<String> {
        let good = self.marked(Some(GOOD.to_owned()));
        if memory.is_accepted(&good.digest) {
            return Ok(good.digest);
        }
        let wrong = |why: &str| self.unable(&io::Error::other(why.to_owned()));
        match self.ask(room, "good", GOOD)? {
            Answer::Accepted => {}
            Answer::Refused(why) | Answer::Nothing(why) => {
                return Err(wrong(&format!("it does not even accept an empty configuration: {why}")));
            }
        }
        match self.ask(room, "bad", BAD)? {
            Answer::Accepted => Err(wrong("it accepts everything, as no Envoy does")),
            Answer::Nothing(why) => Err(wrong(&why)),
            Answer::Refused(_) => Ok(good.digest),
        }
    }

    fn answer(&self, room: &Room, memory: &Memory, index: usize, text: &Text, slow: &AtomicUsize) -> Result<Answer> {
        let Some(shown) = &text.text else {
            return Ok(Answer::Refused(
                "the files are no lists of clusters and listeners".to_owned(),
            ));
        };
        if memory.is_accepted(&text.digest) {
            return Ok(Answer::Accepted);
        }
        if slow.load(Ordering::Relaxed) >= MANY {
            return Ok(Answer::Nothing(format!(
                "{} validations took too long",
                slow.load(Ordering::Relaxed)
            )));
        }
        let answer = self.ask(room, &index.to_string(), shown)?;
        if matches!(answer, Answer::Nothing(_)) {
            slow.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn ask(&self, room: &Room, name: &str, text: &str) -> Result<Answer> {
        // The end of the name says how it is read.
        let name = format!("validate-{name}.yaml");
        drop(room.staging.create(&name, text, OURS)?);
        let mut command = Command::new(self.path);
        command
            .args([
                "--mode",
                "validate",
                "--log-level",
                "critical",
                "--concurrency",
                "1",
                "-c",
            ])
            .arg(room.staging.path().join(&name));
        let ended = child::run(&mut command, LIMIT).map_err(|error| self.unable(&error));
        room.staging.remove(&name)?;
        Ok(self.judge(&ended?))
    }

    fn judge(&self, ended: &Ended) -> Answer {
        let path = self.path.display();
        match ended.status {
            None => Answer::Nothing(format!("{path} did not end within {LIMIT:?}")),
            Some(status) if status.success() => Answer::Accepted,
            Some(status) => match status.signal() {
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

/// What is shown to the validator.
struct Text {
    /// `None` when it cannot be made of the files.
    text: Option<String>,
    /// Of it and of who is asked.
    digest: String,
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
        Some(rest) => after(&rest, "yaml': ").unwrap_or(rest),
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
