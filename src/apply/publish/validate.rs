//! The validation of files before they are published, by `envoy --mode validate`.
//!
//! Envoy does not read the xDS files of a bootstrap in that mode, so a proxy is validated as one temporary file: the
//! bootstrap with their resources as static ones. A fragment is validated together with the bootstrap that it is
//! merged into, where that is known, and tracing blocks in listeners that are made for it. Envoy opens no port then and
//! looks for no collector: it finds mistakes of the files alone.
//!
//! An Envoy that cannot validate is an error of the whole publication, and nothing is published: an operator who set
//! `envoy.validate` relies on it, and the published files work. A missing program must not let the first bad file
//! through.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, io};

use super::context::{Bases, PublishContext};
use super::publication::{Delivery, Publication};
use super::task::Task;
use crate::apply::error::{ApplyError, Result};
use crate::apply::store::dir::Access;
use crate::apply::store::inventory::{Inventory, Nack, digest};
use crate::envoy::FileText;
use crate::envoy::artifact::{Artifact, ArtifactKind, ProxyKey};
use crate::envoy::{blocks, xds};
use crate::plan::{Action, Plan};
use crate::system::parallel;
use crate::system::process::{self, End, Ended};
use crate::words::with_causes;

/// The time that one validation may take. A large proxy needs a second.
const LIMIT: Duration = Duration::from_secs(20);

/// The number of timeouts after which no other validation is begun, since the files cannot be the reason any more.
const MAX_TIMEOUTS: usize = 8;

/// The most characters of a reason that are kept.
const LONGEST: usize = 500;

/// The access to temporary files: the validator runs as the same user.
const OURS: Access = Access {
    mode: 0o600,
    owner: None,
    group: None,
};

/// A configuration that every Envoy accepts.
const GOOD: &str = "static_resources: {}\n";
/// A configuration that every Envoy rejects. A program that accepts it is no Envoy.
const BAD: &str = "no_such_field: {}\n";

/// The Envoy that validates.
#[derive(Debug)]
pub(super) struct Validator<'t> {
    path: &'t Path,
    /// A text that changes when another program takes the place of this one.
    identity: String,
    /// The bootstraps into which fragments are merged.
    bases: BTreeMap<&'t ProxyKey, Base<'t>>,
}

/// A bootstrap of the user.
#[derive(Debug)]
struct Base<'t> {
    path: &'t Path,
    /// The hash of its text, or the reason why it cannot be read.
    digest: std::result::Result<String, String>,
}

/// The answer of the validator.
enum Answer {
    Accepted,
    /// The files are rejected, with the reason in the words of the validator.
    Rejected(String),
    /// The answer says nothing about the files, for the given reason.
    Inconclusive(String),
}

impl<'t> Validator<'t> {
    /// The validator, if one is wanted and the plan has something for it.
    ///
    /// # Errors
    /// When the program is not there.
    pub(super) fn new(program: Option<&'t Path>, plan: &Plan, bases: &'t Bases) -> Result<Option<Self>> {
        let changed: BTreeSet<&ProxyKey> = (plan.changes.iter())
            .filter(|change| change.action != Action::Remove)
            .map(|change| &change.proxy)
            .collect();
        let Some(path) = program.filter(|_| !changed.is_empty()) else {
            return Ok(None);
        };
        let meta = fs::metadata(path).map_err(|error| unable(path, &error))?;
        let parts = [meta.dev(), meta.ino(), meta.size()].map(|part| part.to_string());
        let identity = format!("{}-{}.{}", parts.join("-"), meta.mtime(), meta.mtime_nsec());
        let bases = bases.iter().filter(|(proxy, _)| changed.contains(proxy));
        let bases = bases.map(|(proxy, path)| (proxy, Base::read(path))).collect();
        Ok(Some(Self { path, identity, bases }))
    }

    /// A text for the program and the bootstrap that it validates a proxy with: another text means another judgement.
    pub(super) fn identity(&self, proxy: &ProxyKey) -> String {
        match self.bases.get(proxy).map(|base| &base.digest) {
            None => self.identity.clone(),
            Some(Ok(digest) | Err(digest)) => format!("{} {digest}", self.identity),
        }
    }

    /// Takes away the tasks whose files are not accepted, and notes them in the publication and in the inventory.
    ///
    /// # Errors
    /// When the program cannot validate.
    pub(super) fn filter(
        &self,
        context: &PublishContext,
        tasks: &mut Vec<Task>,
        inventory: &mut Inventory,
        publication: &mut Publication,
    ) -> Result<()> {
        let asked: Vec<(usize, Input)> = (tasks.iter())
            .flat_map(|task| self.inputs(task).into_iter().map(|input| (task.index, input)))
            .collect();
        if asked.is_empty() {
            return Ok(());
        }
        let mut accepted = BTreeSet::from([self.self_test(context)?]);
        let slow = AtomicUsize::new(0);
        let numbered: Vec<(usize, &(usize, Input))> = asked.iter().enumerate().collect();
        let answers = parallel::map(
            "validating files",
            &numbered,
            parallel::cpu_count(),
            |(number, (_, input))| self.answer(context, *number, input, &slow),
        );
        let mut open = BTreeMap::new();
        for ((index, input), answer) in asked.iter().zip(answers) {
            match answer? {
                Answer::Accepted => {
                    accepted.insert(input.digest.clone());
                }
                // Of two answers about a proxy a rejection counts more.
                Answer::Rejected(why) => {
                    open.insert(*index, Delivery::Nacked(why));
                }
                Answer::Inconclusive(why) => {
                    open.entry(*index).or_insert(Delivery::Pending(why));
                }
            }
        }
        context.cache.set_accepted(accepted);
        tasks.retain(|task| match open.remove(&task.index) {
            None => true,
            Some(delivery) => {
                if let Delivery::Nacked(reason) = &delivery {
                    let entry = inventory.proxies.entry(task.change.proxy.clone()).or_default();
                    entry.nack = Some(Nack {
                        digest: digest(&task.change.after),
                        reason: reason.clone(),
                        by: Some(self.identity(&task.change.proxy)),
                    });
                }
                publication.set(task.change, Ok(delivery));
                false
            }
        });
        Ok(())
    }

    /// The configurations of a task that are validated: none when only files change that no Envoy reads.
    fn inputs(&self, task: &Task) -> Vec<Input> {
        let change = task.change;
        if change.action == Action::Remove {
            return Vec::new();
        }
        let is_changed = |artifacts: &[Artifact]| change.changed().any(|artifact| artifacts.contains(&artifact));
        let file = |artifact| change.after.get(&artifact).map(FileText::text);
        let mut input = Vec::new();
        if is_changed(&[Artifact::Cds, Artifact::Lds, Artifact::Rtds, Artifact::Bootstrap]) {
            let whole = xds::as_static(
                file(Artifact::Bootstrap).as_deref(),
                file(Artifact::Cds).as_deref(),
                file(Artifact::Lds).as_deref(),
            );
            input.push(self.with_digest(What::Whole(whole)));
        }
        let is_block = |artifact: Artifact| artifact.kind() == ArtifactKind::Tracing;
        if change
            .changed()
            .any(|artifact| is_block(artifact) || artifact == Artifact::Fragment)
            && change.after.keys().copied().any(is_block)
        {
            input.push(self.with_digest(What::Whole(blocks::as_static(&change.after))));
        }
        if let Some(base) = self.bases.get(&change.proxy)
            && is_changed(&[Artifact::Fragment])
        {
            input.push(self.with_digest(What::Merged {
                base: base.path.to_owned(),
                read: base.digest.clone(),
                fragment: file(Artifact::Fragment).unwrap_or_default().into_owned(),
            }));
        }
        input
    }

    fn with_digest(&self, what: What) -> Input {
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
        Input { what, digest }
    }

    /// Checks that the program tells good from bad. A program that accepts everything, or rejects everything,
    /// validates nothing.
    fn self_test(&self, context: &PublishContext) -> Result<String> {
        let good = self.with_digest(What::Whole(Some(GOOD.to_owned())));
        if context.cache.is_accepted(&good.digest) {
            return Ok(good.digest);
        }
        let wrong = |why: &str| self.unable(&io::Error::other(why.to_owned()));
        match self.ask_whole(context, "good", GOOD)? {
            Answer::Accepted => {}
            Answer::Rejected(why) | Answer::Inconclusive(why) => {
                return Err(wrong(&format!("it rejects even an empty configuration: {why}")));
            }
        }
        match self.ask_whole(context, "bad", BAD)? {
            Answer::Accepted => Err(wrong("it accepts an invalid configuration, so it is no Envoy")),
            Answer::Inconclusive(why) => Err(wrong(&why)),
            Answer::Rejected(_) => Ok(good.digest),
        }
    }

    fn answer(&self, context: &PublishContext, number: usize, input: &Input, slow: &AtomicUsize) -> Result<Answer> {
        if context.cache.is_accepted(&input.digest) {
            return Ok(Answer::Accepted);
        }
        if slow.load(Ordering::Relaxed) >= MAX_TIMEOUTS {
            return Ok(Answer::Inconclusive(format!(
                "{} validations took too long",
                slow.load(Ordering::Relaxed)
            )));
        }
        let answer = match &input.what {
            What::Whole(None) => {
                return Ok(Answer::Rejected(
                    "the files are no bootstrap with lists of clusters and listeners".to_owned(),
                ));
            }
            What::Whole(Some(text)) => self.ask_whole(context, &number.to_string(), text)?,
            What::Merged {
                base, read: Err(why), ..
            } => {
                return Ok(Answer::Inconclusive(format!("cannot read {}: {why}", base.display())));
            }
            What::Merged { base, fragment, .. } => {
                match self.ask(|command| command.arg("-c").arg(base).args(["--config-yaml", fragment]))? {
                    Answer::Rejected(why) => {
                        Answer::Rejected(format!("{why} (fragment.yaml merged into {})", base.display()))
                    }
                    answer => answer,
                }
            }
        };
        if matches!(answer, Answer::Inconclusive(_)) {
            slow.fetch_add(1, Ordering::Relaxed);
        }
        Ok(answer)
    }

    fn ask_whole(&self, context: &PublishContext, name: &str, text: &str) -> Result<Answer> {
        // Envoy chooses its reader by the end of the name.
        let name = format!("validate-{name}.yaml");
        drop(context.output.staging.create(&name, text, OURS)?);
        let answer = self.ask(|command| command.arg("-c").arg(context.output.staging.path().join(&name)));
        context.output.staging.remove(&name)?;
        answer
    }

    fn ask(&self, show: impl FnOnce(&mut Command) -> &mut Command) -> Result<Answer> {
        let mut command = Command::new(self.path);
        command.args(["--mode", "validate", "--log-level", "critical", "--concurrency", "1"]);
        match process::run(show(&mut command), LIMIT, &AtomicBool::new(false)) {
            Ok(ended) => Ok(self.judge(&ended)),
            // No Envoy could be started with it either.
            Err(error) if error.kind() == io::ErrorKind::ArgumentListTooLong => Ok(Answer::Rejected(
                "it is longer than an argument of a program may be".to_owned(),
            )),
            Err(error) => Err(self.unable(&error)),
        }
    }

    fn judge(&self, ended: &Ended) -> Answer {
        let path = self.path.display();
        match ended.end {
            End::TimedOut | End::Abandoned => Answer::Inconclusive(format!("{path} did not end within {LIMIT:?}")),
            End::Exited(status) if status.success() => Answer::Accepted,
            End::Exited(status) => match status.signal() {
                // The kernel may have killed it because memory was short.
                Some(signal) => Answer::Inconclusive(format!("{path} was ended by signal {signal}")),
                None => Answer::Rejected(reason(&ended.said).unwrap_or_else(|| format!("{path} ends with {status}"))),
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

/// A configuration that is validated.
struct Input {
    what: What,
    /// The digest of the configuration and of the validator.
    digest: String,
}

enum What {
    /// A whole configuration; `None` when the files do not make one.
    Whole(Option<String>),
    /// A fragment, and the bootstrap that it is merged into.
    Merged {
        base: PathBuf,
        /// The hash of the text of the bootstrap, or the reason why it cannot be read.
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

/// The reason for a rejection on one line, from all that Envoy writes.
fn reason(said: &str) -> Option<String> {
    let after = |text: &str, mark: &str| text.rsplit_once(mark).map(|(_, rest)| rest.to_owned());
    let told = match after(said, "error initializing configuration '") {
        // The temporary file says nothing to anybody.
        Some(rest) => rest.split_once("': ").map_or(rest.clone(), |(_, why)| why.to_owned()),
        None => said.lines().rfind(|line| !line.trim().is_empty())?.to_owned(),
    };
    // Envoy repeats the whole message before this.
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
