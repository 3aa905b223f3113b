//! A compiler that has seen other snapshots compiles as one that has seen none.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, LazyLock};

use meshtraced::compile::{Compiled, Compiler, Extent, Options, compile};
use meshtraced::envoy::artifact::Fragments;
use meshtraced::kuma::{Fidelity, Kuma, Ties, Version};
use meshtraced::select::scope::Rule;
use meshtraced::source::{Snapshot, SourceFile, Unreadable, UnreadableReason};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

/// Documents; those of one type, mesh and name are variants of one resource.
const DOCUMENTS: &str = include_str!("incremental.yaml");

/// The number of files.
const FILES: usize = 20;

/// A file that makes its directory, in which half of the others are, a kustomization.
const KUSTOMIZATION: &str = "b/kustomization.yaml";

fn path(file: usize) -> String {
    let directory = ["a", "b"][file % 2];
    format!("{directory}/{file}.yaml")
}

/// A change of a tree or of the settings.
#[derive(Debug, Clone)]
enum Edit {
    /// A resource gets another variant, or goes.
    Resource(Index, Option<Index>),
    /// A dataplane gets another variant.
    Dataplane(Index, Index),
    /// A resource moves to another file.
    Move(Index, usize),
    /// A resource is in another file too, or not any more.
    Copy(Index, usize),
    /// A file can be read or not, and is YAML or not.
    File(usize, State),
    /// A directory becomes a kustomization, or is one no more.
    Kustomization,
    /// Other settings come into use.
    Configure(Settings),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Whole,
    Broken,
    Lost,
}

#[derive(Debug, Clone, Copy)]
struct Settings {
    version: Version,
    fidelity: Fidelity,
    ties: Ties,
    extent: Extent,
    /// The number of the dataplane that alone is published; all are without one.
    selected: Option<usize>,
}

fn settings() -> impl Strategy<Value = Settings> {
    let version = prop_oneof![1 => Just(Version::V2_13), 3 => Just(Version::V2_14), 1 => Just(Version::V3_0)];
    let fidelity = prop_oneof![Just(Fidelity::Documented), Just(Fidelity::Exact)];
    let ties = prop_oneof![Just(Ties::Name), Just(Ties::CreationTime)];
    let extent = prop_oneof![3 => Just(Extent::Files), 1 => Just(Extent::Findings)];
    let settings = (version, fidelity, ties, extent, prop::option::of(0..3_usize));
    settings.prop_map(|(version, fidelity, ties, extent, selected)| Settings {
        version,
        fidelity,
        ties,
        extent,
        selected,
    })
}

fn edit() -> impl Strategy<Value = Edit> {
    let (any, file) = (any::<Index>, || 0..FILES);
    let state = prop_oneof![2 => Just(State::Whole), 1 => Just(State::Broken), 1 => Just(State::Lost)];
    prop_oneof![
        8 => (any(), any()).prop_map(|(resource, variant)| Edit::Resource(resource, Some(variant))),
        8 => (any(), any()).prop_map(|(dataplane, variant)| Edit::Dataplane(dataplane, variant)),
        3 => any().prop_map(|resource| Edit::Resource(resource, None)),
        1 => (any(), file()).prop_map(|(resource, file)| Edit::Move(resource, file)),
        1 => (any(), file()).prop_map(|(resource, file)| Edit::Copy(resource, file)),
        2 => (file(), state).prop_map(|(file, state)| Edit::File(file, state)),
        1 => Just(Edit::Kustomization),
        2 => settings().prop_map(Edit::Configure),
    ]
}

/// The variants of each resource.
static RESOURCES: LazyLock<Vec<Vec<&str>>> = LazyLock::new(|| {
    let is_identity = |line: &&str| ["type:", "mesh:", "name:"].iter().any(|key| line.starts_with(key));
    let mut variants: BTreeMap<Vec<&str>, Vec<&str>> = BTreeMap::new();
    for document in DOCUMENTS.split("\n---\n") {
        let identity = document.lines().filter(is_identity).collect();
        variants.entry(identity).or_default().push(document);
    }
    variants.into_values().collect()
});

/// A tree of files with resources.
#[derive(Debug)]
struct Tree {
    /// The variant of each resource, if it is there, and its files.
    resources: Vec<(Option<&'static str>, BTreeSet<usize>)>,
    states: [State; FILES],
    has_kustomization: bool,
    /// The files as they were read last.
    read: Vec<Arc<SourceFile>>,
}

impl Tree {
    /// A tree with the first variant of each resource.
    fn new() -> Self {
        let resources = RESOURCES.iter().enumerate();
        Self {
            resources: resources
                .map(|(i, variants)| (Some(variants[0]), BTreeSet::from([i % FILES])))
                .collect(),
            states: [State::Whole; FILES],
            has_kustomization: false,
            read: Vec::new(),
        }
    }

    fn edit(&mut self, edit: &Edit) {
        let all = self.resources.len();
        match edit {
            Edit::Resource(resource, variant) => {
                let i = resource.index(all);
                self.resources[i].0 = variant.map(|variant| *variant.get(&RESOURCES[i]));
            }
            Edit::Dataplane(dataplane, variant) => {
                let (is_dataplane, all) = (|i: &usize| RESOURCES[*i][0].starts_with("type: Dataplane"), 0..all);
                let dataplanes: Vec<usize> = all.filter(is_dataplane).collect();
                let i = *dataplane.get(&dataplanes);
                self.resources[i].0 = Some(*variant.get(&RESOURCES[i]));
            }
            Edit::Move(resource, file) => self.resources[resource.index(all)].1 = BTreeSet::from([*file]),
            Edit::Copy(resource, file) => {
                let files = &mut self.resources[resource.index(all)].1;
                if files.len() == 1 {
                    files.insert(*file);
                } else {
                    files.pop_last();
                }
            }
            Edit::File(file, state) => self.states[*file] = *state,
            Edit::Kustomization => self.has_kustomization = !self.has_kustomization,
            Edit::Configure(_) => {}
        }
    }

    fn text(&self, file: usize) -> String {
        let there = self.resources.iter().filter(|(_, files)| files.contains(&file));
        let mut documents: Vec<&str> = there.filter_map(|(variant, _)| *variant).collect();
        if self.states[file] == State::Broken {
            documents.push("type: Dataplane\nmesh: default\nname: [a");
        }
        documents.join("\n---\n")
    }

    /// The files, of which those that have not changed are the same as before if `keeps` says so.
    fn read(&mut self, keeps: bool) -> Snapshot {
        let readable = (0..FILES).filter(|file| self.states[*file] != State::Lost);
        let mut texts: Vec<(String, String)> = readable.map(|file| (path(file), self.text(file))).collect();
        if self.has_kustomization {
            texts.push((KUSTOMIZATION.to_owned(), "namePrefix: staging-\n".to_owned()));
        }
        let last = |path: &str, text: &str| {
            let mut last = self.read.iter().filter(|_| keeps);
            last.find(|file| file.path == path && file.text() == text).cloned()
        };
        let files = texts.into_iter();
        let files = files.map(|(path, text)| last(&path, &text).unwrap_or_else(|| SourceFile::new(path, text)));
        let lost = (0..FILES).filter(|file| self.states[*file] == State::Lost);
        let unreadable = lost.map(|file| Unreadable {
            path: path(file),
            reason: UnreadableReason::Failed("permission denied".to_owned()),
            beginning: None,
        });
        let mut snapshot = Snapshot {
            files: files.collect(),
            unreadable: unreadable.collect(),
            ..Snapshot::default()
        };
        snapshot.sort();
        self.read = snapshot.files.to_vec();
        snapshot
    }
}

fn options(settings: &Settings) -> Options {
    let rule = |i: usize| Rule {
        name: Some(["web", "api", "gate"][i].to_owned()),
        ..Rule::default()
    };
    Options {
        kuma: Kuma {
            version: settings.version,
            fidelity: settings.fidelity,
            ties: settings.ties,
            ..Kuma::default()
        },
        scope: settings.selected.map(rule).into_iter().collect(),
        extent: settings.extent,
        ..Options::for_out("/out")
    }
}

/// The compiled result, without the count of the work that it took.
fn result(compiled: Compiled) -> Compiled {
    Compiled {
        work: Default::default(),
        changed: None,
        ..compiled
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(10_000))]

    #[test]
    fn a_cache_changes_no_result(first in settings(), edits in vec(vec(edit(), 1..3), 2..8), keeps in any::<bool>()) {
        let (mut tree, mut options, mut compiler) = (Tree::new(), options(&first), Compiler::default());
        let mut last: Arc<Fragments> = Arc::default();
        for edits in &edits {
            for edit in edits {
                tree.edit(edit);
                if let Edit::Configure(settings) = edit {
                    options = Options { known: Arc::clone(&options.known), ..self::options(settings) };
                }
            }
            let snapshot = tree.read(keeps);
            let (kept, fresh) = (compiler.compile(&snapshot, &options), compile(&snapshot, &options));
            options.known = Arc::clone(&fresh.known);
            if let Some(changed) = &kept.changed {
                let proxies = last.keys().chain(kept.fragments.keys());
                let differ = proxies.filter(|proxy| last.get(proxy) != kept.fragments.get(proxy));
                let missed: Vec<_> = differ.filter(|proxy| !changed.contains(proxy)).collect();
                prop_assert!(missed.is_empty(), "{:?} after {:?}", missed, edits);
            }
            if options.extent == Extent::Files {
                last = Arc::clone(&kept.fragments);
            }
            prop_assert_eq!(result(kept), result(fresh), "after {:?}", edits);
        }
    }
}
