//! `meshtraced migrate`: from `TrafficTrace` to `MeshTrace`, with the proof that nothing changes.

mod report;

mod markdown;

mod write;

pub(super) use report::MigrationReport;

use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;

use clap::{Args, ValueEnum};
use similar::TextDiff;

use super::context::{CommandResult, Context, Exit, print};
use super::{progress, unified};
use crate::compile::Extent;
use crate::diag::render::text;
use crate::kuma::Version;
use crate::migrate::{self, FileEdit, Options};
use crate::source::{self, Consistency};
use crate::words::below;

/// Arguments of `migrate`.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub(super) struct Arguments {
    /// Version of Kuma that the policies are for afterwards
    #[arg(long, value_name = "VERSION", default_value = "2.14", value_parser = version)]
    to: Version,
    /// Edit the files, rather than to print a patch of them
    #[arg(long)]
    write: bool,
    /// Keep the older policies, with the new ones beside them that have no effect yet: `kuma.io/effect: shadow`
    #[arg(long)]
    keep: bool,
    /// Write even if some proxies do not keep their tracing
    #[arg(long)]
    allow_changes: bool,
    /// Write into files that have changes without a commit, too
    #[arg(long)]
    force: bool,
    /// Output format of the report; `json` and `markdown` leave the patch out
    #[arg(short, long, value_name = "FORMAT", default_value = "text")]
    output: Format,
    /// Name every proxy that differs, and every difference
    #[arg(long)]
    list: bool,
    /// Most bytes of a comment in Markdown; forges have limits
    #[arg(long, value_name = "N", default_value_t = 60_000, value_parser = clap::value_parser!(u64).range(2_000..))]
    max_bytes: u64,
}

const EXAMPLES: &str = "Examples:
  meshtraced migrate                       the change as a patch, and the proof
  meshtraced migrate | git apply
  meshtraced migrate --write               the same, in the files
  meshtraced migrate --keep --write        the new policies beside the older ones, without effect yet
  meshtraced migrate -o markdown           the proof, for the pull request";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Text,
    /// One object; `meshtraced schema migrate` describes it
    Json,
    /// A comment for a pull request
    Markdown,
}

/// A version that policies can be migrated to.
fn version(text: &str) -> Result<Version, String> {
    let version = text.parse().ok().filter(|version| *version >= Version::V2_14);
    version.ok_or_else(|| "it must be 2.14 or 3.0".to_owned())
}

pub(super) fn run(context: &Context, arguments: &Arguments) -> CommandResult {
    if arguments.keep && arguments.to >= Version::V3_0 {
        return Err(
            "3.0 has no TrafficTrace that could be kept: use `--to 2.14 --keep` first, and `--to 3.0` afterwards"
                .into(),
        );
    }
    let settings = context.settings()?;
    let prefix = settings.sources().prefix();
    let options = Options {
        compile: settings.options(Arc::default(), Extent::Findings)?,
        to: arguments.to,
        keep: arguments.keep,
    };
    let limit = settings.limits.file_bytes.get() as u64;
    let migrated = progress::shown(|| {
        let snapshot = source::read(&settings.sources(), limit, Consistency::Dirty)?;
        Ok::<_, source::ReadError>(migrate::migrate(&snapshot, &options))
    })?;
    let migration = match migrated {
        Ok(migration) => migration,
        Err(errors) => {
            io::stderr().write_all(context.brief(&settings, &prefix, &errors).as_bytes())?;
            let count = text::count(&errors).unwrap_or_default();
            return Err(format!("{count}: nothing can be proven of policies with errors").into());
        }
    };
    let keeps_all = migration.proof.proxies.different == 0;
    let report = MigrationReport::of(&migration, arguments.to, &prefix);
    let may_write = keeps_all || arguments.allow_changes;
    if arguments.write && may_write {
        write::files(&settings, &migration.files, arguments.force)?;
    }
    match arguments.output {
        Format::Text => {
            if !arguments.write {
                print(&patch(&migration.files, &prefix))?;
            }
            let shown = report.text(arguments.list, arguments.write && may_write);
            io::stderr().write_all(shown.as_bytes())?;
        }
        Format::Json => print(&(serde_json::to_string_pretty(&report)? + "\n"))?,
        Format::Markdown => print(&markdown::render(&report, usize::try_from(arguments.max_bytes)?))?,
    }
    Ok(if keeps_all { Exit::Done } else { Exit::Found })
}

/// The edited files as a patch that `git apply` and `patch -p1` take.
fn patch(files: &[FileEdit], prefix: &str) -> String {
    let mut out = String::new();
    let here = std::env::current_dir().unwrap_or_default();
    for file in files {
        let path = below(prefix, &file.path);
        let path = Path::new(&path);
        // Below the directory in which the patch is applied, or below `/`.
        let path = path.strip_prefix(&here).unwrap_or(path).to_string_lossy();
        let path = path.trim_start_matches("./").trim_start_matches('/');
        let old = file.before.as_ref().map(|file| file.text()).unwrap_or_default();
        let new = file.after.as_deref().unwrap_or_default();
        let names = unified::names(path, [file.before.is_some(), file.after.is_some()]);
        let diff = TextDiff::from_lines(&*old, new);
        out.push_str(&diff.unified_diff().header(&names[0], &names[1]).to_string());
    }
    out
}
