//! The names of types, functions, fields and modules are words of `docs/lexicon.md`.

use std::collections::BTreeMap;
use std::path::Path;

use proc_macro2::Ident;
use syn::visit::Visit;

use super::none;
use super::source::Sources;

#[test]
fn names_are_words_of_the_lexicon() {
    let avoided = avoided();
    assert!(
        avoided.len() > 10,
        "the table of docs/lexicon.md was not found: {avoided:?}"
    );
    let mut wrong = Vec::new();
    for module in Sources::read().iter() {
        let mut names = Names::default();
        module.items.iter().for_each(|item| names.visit_item(item));
        for (name, line) in names.found {
            for (word, say) in words_in(&name).filter_map(|word| avoided.get_key_value(&word)) {
                wrong.push(format!(
                    "src/{}:{line}: `{name}` says \"{word}\"; the word is {say}",
                    module.file.display()
                ));
            }
        }
    }
    none(&wrong);
}

/// The words that are not said, and what is said for each.
fn avoided() -> BTreeMap<String, String> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/lexicon.md")).expect("the lexicon");
    let mut avoided = BTreeMap::new();
    for line in page.lines().filter(|line| line.starts_with("| ")) {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [say, _, instead] = cells.as_slice() else {
            panic!("a row of three cells: {line}")
        };
        // Between backticks stand the words that are looked for.
        for word in instead.split('`').skip(1).step_by(2) {
            let parts: Vec<String> = words_in(word).collect();
            avoided.insert(parts.concat(), format!("\"{say}\""));
        }
    }
    avoided
}

/// The words of a name in either spelling, in lower case; a plural counts as its singular.
fn words_in(name: &str) -> impl Iterator<Item = String> {
    let mut words: Vec<String> = Vec::new();
    let mut was_lower = false;
    for c in name.chars() {
        if c == '_' {
            was_lower = false;
            words.push(String::new());
            continue;
        }
        if words.is_empty() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = !c.is_uppercase();
        words.last_mut().expect("a word").extend(c.to_lowercase());
    }
    words.into_iter().filter(|word| !word.is_empty()).map(singular)
}

fn singular(word: String) -> String {
    if let Some(stem) = word.strip_suffix("ies") {
        return format!("{stem}y");
    }
    if let Some(stem) = word
        .strip_suffix("es")
        .filter(|stem| stem.ends_with("sh") || stem.ends_with("ch"))
    {
        return stem.to_owned();
    }
    match word.strip_suffix('s') {
        Some(stem) if stem.len() > 2 && !stem.ends_with(['s', 'u']) => stem.to_owned(),
        _ => word,
    }
}

/// The names that the code defines, each with its line.
#[derive(Default)]
struct Names {
    found: Vec<(String, usize)>,
}

impl Names {
    fn add(&mut self, ident: &Ident) {
        self.found.push((ident.to_string(), ident.span().start().line));
    }
}

impl<'ast> Visit<'ast> for Names {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.ident);
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.ident);
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.ident);
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.ident);
    }

    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        self.add(&item.ident);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add(&item.ident);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(&variant.ident);
        syn::visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.add(ident);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig.ident);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig.ident);
        syn::visit::visit_impl_item_fn(self, item);
    }
}

#[test]
fn names_are_taken_apart_in_both_spellings() {
    let words = |name: &str| words_in(name).collect::<Vec<_>>();
    assert_eq!(words("ProxyVerdicts"), ["proxy", "verdict"]);
    assert_eq!(words("MAX_QUIET"), ["max", "quiet"]);
    assert_eq!(words("forget_refusals"), ["forget", "refusal"]);
    assert_eq!(words("status_of_wishes"), ["status", "of", "wish"]);
    assert_eq!(words("Entries"), ["entry"]);
}
