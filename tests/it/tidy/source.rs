//! `src/` as modules: their files, their order, their code without tests, and the paths that the code mentions.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, Item, UseTree, Visibility};

use super::definitions::{Definition, definitions};

/// One file of `src/`.
pub(super) struct Module {
    /// The names of the modules from the crate's root to this one; empty for `lib.rs`.
    pub(super) path: Vec<String>,
    /// The path of the file below `src/`.
    pub(super) file: PathBuf,
    /// The whole text.
    text: String,
    /// The items without tests.
    items: Vec<Item>,
    /// The modules that the file declares, in the order of its `mod` lines.
    pub(super) children: Vec<String>,
    /// Where a name that the file imports comes from.
    imports: BTreeMap<String, Vec<String>>,
}

impl Module {
    fn parse(root: &Path, file: &Path) -> Self {
        let text = fs::read_to_string(root.join(file)).expect("a readable file");
        let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let items: Vec<Item> = parsed.items.into_iter().filter(|item| !is_test(item)).collect();
        let children = items.iter().filter_map(|item| match item {
            Item::Mod(module) if module.content.is_none() => Some(module.ident.to_string()),
            _ => None,
        });
        let path = path_of(file);
        let mut imports = BTreeMap::new();
        for item in &items {
            if let Item::Use(item) = item
                && !matches!(item.vis, Visibility::Inherited)
            {
                add_imports(&item.tree, &mut Vec::new(), &mut imports);
            }
        }
        let imports = imports
            .into_iter()
            .map(|(name, segments)| (name, absolute(&path, &segments)))
            .collect();
        Self {
            children: children.collect(),
            path,
            file: file.to_owned(),
            text,
            items,
            imports,
        }
    }

    /// The text up to the tests below the code.
    pub(super) fn without_tests(&self) -> &str {
        self.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default()
    }

    /// The names that the code defines.
    pub(super) fn definitions(&self) -> Vec<Definition> {
        definitions(&self.items)
    }

    /// The paths that the code mentions, from the crate's root on, with the line of each.
    pub(super) fn mentions(&self) -> Vec<(Vec<String>, usize)> {
        let mut found = Vec::new();
        for item in &self.items {
            find_paths(item.to_token_stream(), &mut found);
        }
        found
            .into_iter()
            .map(|(segments, line)| (absolute(&self.path, &segments), line))
            .collect()
    }

    /// The name of the module as people write it.
    pub(super) fn name(&self) -> String {
        if self.path.is_empty() {
            "crate".to_owned()
        } else {
            self.path.join("::")
        }
    }
}

/// All modules of the library, by their paths.
pub(super) struct Sources {
    modules: BTreeMap<Vec<String>, Module>,
}

impl Sources {
    pub(super) fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let files = walkdir::WalkDir::new(&root)
            .into_iter()
            .map(|entry| entry.expect("a readable tree"));
        let modules = files
            .filter(|entry| entry.path().extension().is_some_and(|extension| extension == "rs"))
            .map(|entry| entry.path().strip_prefix(&root).expect("a file of the tree").to_owned())
            .filter(|file| file != Path::new("main.rs"))
            .map(|file| Module::parse(&root, &file))
            .map(|module| (module.path.clone(), module))
            .collect();
        Self { modules }
    }

    /// Sources that a test makes up, by file.
    pub(super) fn of(files: &[(&str, &str)]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let modules = files.iter().map(|(file, text)| {
            let path = directory.path().join(file);
            fs::create_dir_all(path.parent().expect("a directory")).expect("a directory");
            fs::write(path, text).expect("a file");
            let module = Module::parse(directory.path(), Path::new(file));
            (module.path.clone(), module)
        });
        Self {
            modules: modules.collect(),
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Module> {
        self.modules.values()
    }

    pub(super) fn get(&self, path: &[String]) -> Option<&Module> {
        self.modules.get(path)
    }

    /// The module that defines what a path names, following what modules on the way export in the names of others.
    pub(super) fn definition(&self, path: &[String]) -> &Module {
        let mut path = path.to_vec();
        // Exports of exports end soon; a circle of them would not compile.
        for _ in 0..8 {
            let known = (0..=path.len()).rev().find(|&n| self.modules.contains_key(&path[..n]));
            let module = &self.modules[&path[..known.expect("the root is a module")]];
            match path.get(module.path.len()).and_then(|name| module.imports.get(name)) {
                Some(origin) => {
                    let rest = path.split_off(module.path.len() + 1);
                    path = origin.iter().cloned().chain(rest).collect();
                }
                None => return module,
            }
        }
        panic!("{}: an export without an end", path.join("::"))
    }
}

fn path_of(file: &Path) -> Vec<String> {
    let mut path: Vec<String> = file
        .with_extension("")
        .iter()
        .map(|part| part.to_string_lossy().into_owned())
        .collect();
    if path.last().is_some_and(|last| last == "mod") || path == ["lib"] {
        path.pop();
    }
    path
}

fn is_test(item: &Item) -> bool {
    let attributes: &[Attribute] = match item {
        Item::Mod(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        _ => return false,
    };
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.meta.to_token_stream().to_string().contains("test")
    })
}

/// The names that a `use` brings in, each with the segments it stands for.
fn add_imports(tree: &UseTree, segments: &mut Vec<String>, out: &mut BTreeMap<String, Vec<String>>) {
    match tree {
        UseTree::Path(path) => {
            segments.push(path.ident.to_string());
            add_imports(&path.tree, segments, out);
            segments.pop();
        }
        UseTree::Name(name) => {
            let whole = segments.iter().cloned().chain([name.ident.to_string()]).collect();
            out.insert(name.ident.to_string(), whole);
        }
        UseTree::Rename(name) => {
            let whole = segments.iter().cloned().chain([name.ident.to_string()]).collect();
            out.insert(name.rename.to_string(), whole);
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| add_imports(tree, segments, out)),
        UseTree::Glob(_) => {}
    }
}

/// A path as it is written, from the crate's root on; what does not begin at a module of ours stays as it is.
fn absolute(module: &[String], segments: &[String]) -> Vec<String> {
    let mut base = module.to_vec();
    let mut rest = segments;
    match rest.first().map(String::as_str) {
        Some("crate") => {
            base.clear();
            rest = &rest[1..];
        }
        Some("self") => rest = &rest[1..],
        _ => {}
    }
    while rest.first().is_some_and(|first| first == "super") {
        base.pop();
        rest = &rest[1..];
    }
    base.extend(rest.iter().cloned());
    base
}

/// Collects the paths that begin with `crate`, `super` or `self`, in uses, in code and in the arguments of macros.
fn find_paths(tokens: TokenStream, out: &mut Vec<(Vec<String>, usize)>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut i = 0;
    while i < tokens.len() {
        match &tokens[i] {
            // `pub(in crate::apply)` says who may use an item, and uses nothing.
            TokenTree::Group(group) if group.stream().to_string().starts_with("in crate ::") => {}
            TokenTree::Group(group) => find_paths(group.stream(), out),
            TokenTree::Ident(ident)
                if ["crate", "super", "self"].iter().any(|start| ident == start)
                    && is_separator(&tokens, i + 1)
                    && !(i >= 2 && is_separator(&tokens, i - 2)) =>
            {
                i = path_from(&tokens, i, &mut Vec::new(), out);
                continue;
            }
            _ => {}
        }
        i += 1;
    }
}

/// One path, or the paths of a group, from the identifier at `i` on; the index behind it.
fn path_from(tokens: &[TokenTree], i: usize, prefix: &mut Vec<String>, out: &mut Vec<(Vec<String>, usize)>) -> usize {
    let depth = prefix.len();
    let mut i = i;
    let line = tokens[i].span().start().line;
    loop {
        match tokens.get(i) {
            Some(TokenTree::Ident(ident)) => prefix.push(ident.to_string()),
            Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Brace => {
                let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                let mut at = 0;
                while at < inner.len() {
                    match &inner[at] {
                        TokenTree::Ident(_) => at = path_from(&inner, at, prefix, out),
                        _ => at += 1,
                    }
                }
                prefix.truncate(depth);
                return i + 1;
            }
            _ => break,
        }
        if !is_separator(tokens, i + 1) {
            i += 1;
            break;
        }
        i += 3;
    }
    // `self` at the end of a group is the module before it.
    let whole: Vec<String> = (prefix.iter().enumerate())
        .filter(|(at, name)| *at == 0 || *name != "self")
        .map(|(_, name)| name.clone())
        .collect();
    out.push((whole, line));
    prefix.truncate(depth);
    i
}

fn is_separator(tokens: &[TokenTree], i: usize) -> bool {
    let is_colon = |i: usize| matches!(tokens.get(i), Some(TokenTree::Punct(punct)) if punct.as_char() == ':');
    is_colon(i) && is_colon(i + 1)
}

#[test]
fn paths_are_found_wherever_they_stand() {
    let code = "use super::{a, b::{self, C}}; fn f() { println!(\"{}\", crate::x::y::<u8>()); self::z(); self.w(); } \
                pub(in crate::m) fn g() {}";
    let mut found = Vec::new();
    find_paths(code.parse().expect("tokens"), &mut found);
    let module = ["m".to_owned(), "n".to_owned()];
    let found: Vec<String> = found
        .iter()
        .map(|(path, _)| absolute(&module, path).join("::"))
        .collect();
    assert_eq!(found, ["m::a", "m::b", "m::b::C", "x::y", "m::n::z"]);
}
