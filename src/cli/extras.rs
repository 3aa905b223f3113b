//! `schema`, `completions` and `man`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use clap_complete::Shell;
use schemars::JsonSchema;
use schemars::generate::SchemaSettings;
use serde_json::Value;

use super::context::{CommandResult, Exit, print};
use super::diff::DiffReport;
use super::migrate::MigrationReport;
use crate::schema;
use crate::settings::keys;

/// Arguments of `schema`.
#[derive(Debug, Args)]
#[command(after_help = SCHEMA_EXAMPLES)]
pub(super) struct Schema {
    /// Files that the schema is for
    #[arg(default_value = "resources")]
    of: SchemaOf,
}

const SCHEMA_EXAMPLES: &str = "Examples:
  meshtraced schema > kuma.schema.json
  meshtraced schema settings > meshtraced.schema.json
A comment above a document names its schema to an editor: # yaml-language-server: $schema=kuma.schema.json";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum SchemaOf {
    /// Policies, dataplanes and the other resources, in universal or Kubernetes form
    Resources,
    /// The settings file of meshtraced
    Settings,
    /// The output of `meshtraced diff -o json`
    Diff,
    /// The output of `meshtraced migrate -o json`
    Migrate,
}

pub(super) fn schema(arguments: &Schema) -> CommandResult {
    let schema = match arguments.of {
        SchemaOf::Resources => schema::resources(),
        SchemaOf::Settings => keys::schema(),
        SchemaOf::Diff => of_output::<DiffReport>(),
        SchemaOf::Migrate => of_output::<MigrationReport>(),
    };
    print(&format!("{schema:#}\n"))?;
    Ok(Exit::Done)
}

fn of_output<T: JsonSchema>() -> Value {
    SchemaSettings::draft07()
        .into_generator()
        .into_root_schema_for::<T>()
        .into()
}

/// Arguments of `completions`.
#[derive(Debug, Args)]
pub(super) struct Completions {
    /// Shell to complete for
    shell: Shell,
}

pub(super) fn completions(arguments: &Completions, mut program: clap::Command) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut program, "meshtraced", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}

/// Arguments of `man`.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// Command to print the page of: `run`, `diff` and so on
    command: Option<String>,
    /// Existing directory to write all pages to
    #[arg(long, value_name = "DIR", conflicts_with = "command")]
    all: Option<PathBuf>,
}

pub(super) fn man(arguments: &Man, mut program: clap::Command) -> CommandResult {
    if let Some(directory) = &arguments.all {
        clap_mangen::generate_to(program, directory)?;
        return Ok(Exit::Done);
    }
    // `build` sets the full names of the commands and adds the common options to each.
    program.build();
    let page_of = match &arguments.command {
        None => program,
        Some(name) => match program.find_subcommand(name) {
            Some(command) => command.clone(),
            None => return Err(format!("there is no command {name}").into()),
        },
    };
    let mut page = Vec::new();
    clap_mangen::Man::new(page_of).render(&mut page)?;
    print(&String::from_utf8_lossy(&page))?;
    Ok(Exit::Done)
}
