//! The proxies of one compile after another in their shapes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::collectors::{Collectors, Material};
use crate::envoy::artifact::{Elsewhere, ProxyKey};
use crate::envoy::secrets::{self, Secrets, needs_any};
use crate::envoy::shape::{self, Form, Shape, Shaped};
use crate::ir::Proxy;
use crate::keep::carry;
use crate::resource::kinds::dataplane::Dataplane;
use crate::select::scope::Rule;
use crate::source::BaseFiles;

/// Proxies in their shapes. Those that stay as they are keep their shapes, as long as no shape depends on other proxies or on files.
#[derive(Debug, Default)]
pub struct Shapes {
    /// The forms of the settings, each with its rule.
    forms: Vec<(Rule, Form)>,
    /// The proxies, sorted by key, with the dataplanes that choose their forms.
    known: Vec<(Arc<Dataplane>, Arc<Proxy>)>,
    all: Vec<Arc<Shaped>>,
    secrets: Secrets,
    /// The number of proxies that need a key or certificates.
    with_secrets: usize,
    /// The number of traced proxies by mesh and by the name of their provider.
    providers: BTreeMap<String, BTreeMap<&'static str, usize>>,
    /// Whether each shape depends on its own proxy alone.
    are_apart: bool,
}

impl Shapes {
    /// Goes on to the proxies of the next compile, which are sorted by key, with the forms and the material of the settings.
    pub fn update(
        &mut self,
        next: &[(&Arc<Dataplane>, &Arc<Proxy>)],
        forms: &[(Rule, Form)],
        collectors: &Collectors,
        files: &BaseFiles,
    ) {
        if !self.are_apart || self.forms != forms {
            *self = Self {
                forms: forms.to_vec(),
                are_apart: forms.iter().all(|(_, form)| form.is_apart()),
                ..Self::default()
            };
        }
        let is_same = |known: &(Arc<Dataplane>, Arc<Proxy>), next: &(&Arc<Dataplane>, &Arc<Proxy>)| {
            Arc::ptr_eq(&known.0, next.0) && Arc::ptr_eq(&known.1, next.1)
        };
        let (old, new) = carry::window(&self.known, next, is_same);
        let next = &next[new];
        let made = next.iter().map(|(dataplane, proxy)| {
            let form = self.forms.iter().find(|(rule, _)| rule.fits(dataplane));
            Shaped::new(proxy, form.map_or(&Form::default(), |(_, form)| form), files)
        });
        let made: Vec<Shaped> = made.collect();
        for shaped in &self.all[old.clone()] {
            self.with_secrets -= usize::from(needs_any(&shaped.proxy));
            count(&mut self.providers, &shaped.proxy, |count| *count -= 1);
        }
        for shaped in &made {
            self.with_secrets += usize::from(needs_any(&shaped.proxy));
            count(&mut self.providers, &shaped.proxy, |count| *count += 1);
        }
        self.are_apart &= self.with_secrets == 0;
        let known = next.iter();
        let known = known.map(|(dataplane, proxy)| (Arc::clone(dataplane), Arc::clone(proxy)));
        self.known.splice(old.clone(), known);
        self.all.splice(old, made.into_iter().map(Arc::new));
        if !self.are_apart {
            let mut all: Vec<Shaped> = self.all.drain(..).map(Arc::unwrap_or_clone).collect();
            shape::resolve_conflicts(&mut all);
            self.secrets = secrets::resolve(&mut all, Material::new(collectors, files));
            self.all = all.into_iter().map(Arc::new).collect();
        }
    }

    /// The proxies in their shapes, sorted by key.
    #[must_use]
    pub fn all(&self) -> &[Arc<Shaped>] {
        &self.all
    }

    /// The keys and certificates that they need.
    #[must_use]
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// The number of traced proxies of a mesh by the name of their provider.
    #[must_use]
    pub fn providers(&self, mesh: &str) -> BTreeMap<String, usize> {
        let of_mesh = self.providers.get(mesh).into_iter().flatten();
        of_mesh.map(|(name, count)| ((*name).to_owned(), *count)).collect()
    }

    /// The places of files that are not below the directory of their proxy.
    #[must_use]
    pub fn elsewhere(&self) -> BTreeMap<ProxyKey, Elsewhere> {
        let moved = self.not_apart().filter(|shaped| !shaped.elsewhere.is_empty());
        let place = |shaped: &Shaped| (shaped.proxy.key.clone(), shaped.elsewhere.clone());
        moved.map(place).collect()
    }

    /// The proxies whose Envoys somebody configured.
    #[must_use]
    pub fn overlays(&self) -> BTreeSet<ProxyKey> {
        let overlays = self
            .not_apart()
            .filter(|shaped| matches!(shaped.shape, Shape::Overlay(_)));
        overlays.map(|shaped| shaped.proxy.key.clone()).collect()
    }

    /// The proxies among which some may depend on other proxies or on files.
    fn not_apart(&self) -> impl Iterator<Item = &Shaped> {
        let all = if self.are_apart { &[] } else { self.all.as_slice() };
        all.iter().map(Arc::as_ref)
    }
}

/// Changes the number of proxies of a mesh and a provider.
fn count(
    providers: &mut BTreeMap<String, BTreeMap<&'static str, usize>>,
    proxy: &Proxy,
    change: impl FnOnce(&mut usize),
) {
    let Some(export) = proxy.tracer.as_ref().and_then(|tracer| tracer.export.as_ref()) else {
        return;
    };
    let of_mesh = match providers.get_mut(&proxy.key.mesh) {
        Some(of_mesh) => of_mesh,
        None => providers.entry(proxy.key.mesh.clone()).or_default(),
    };
    let name = export.provider.name();
    let counted = of_mesh.entry(name).or_default();
    change(counted);
    if *counted == 0 {
        of_mesh.remove(name);
    }
}
