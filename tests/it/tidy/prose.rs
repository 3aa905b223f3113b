//! Doc comments name what they are about, and say more than the name that stands below them.

use syn::visit::Visit;
use syn::{Attribute, Expr, ExprLit, Lit, Meta};

use super::none;
use super::source::Sources;

/// Words that stand for something else, which a reader who comes from a search has not seen.
const PRONOUNS: [&str; 8] = ["It", "Its", "What", "Who", "Whose", "That", "They", "Those"];

#[test]
fn a_doc_comment_begins_with_a_noun() {
    let mut wrong = Vec::new();
    for (at, doc, _) in docs() {
        let first = doc.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        if PRONOUNS.contains(&first) {
            wrong.push(format!("{at}: \"{doc}\": name what it is about"));
        }
    }
    none(&wrong);
}

#[test]
fn a_doc_comment_says_more_than_the_name() {
    let mut wrong = Vec::new();
    for (at, doc, name) in docs() {
        let plain: String = doc
            .to_lowercase()
            .chars()
            .filter(|c| c.is_alphanumeric() || *c == ' ')
            .collect();
        let said: Vec<&str> = (plain.split(' '))
            .filter(|word| !["the", "a", "an", "its"].contains(word))
            .collect();
        if said.concat() == name.to_lowercase().replace('_', "") {
            wrong.push(format!("{at}: \"{doc}\" repeats `{name}`"));
        }
    }
    none(&wrong);
}

/// The first line of every doc comment in the code, with its place and the name it documents.
fn docs() -> Vec<(String, String, String)> {
    let sources = Sources::read();
    let mut all = Vec::new();
    for module in sources.iter() {
        let mut docs = Docs::default();
        module.items.iter().for_each(|item| docs.visit_item(item));
        let place = |line| format!("src/{}:{line}", module.file.display());
        all.extend(docs.found.into_iter().map(|(line, doc, name)| (place(line), doc, name)));
    }
    assert!(all.len() > 1000, "doc comments were not found");
    all
}

/// The first line of a doc comment, where it stands, and the name it documents.
#[derive(Default)]
struct Docs {
    found: Vec<(usize, String, String)>,
}

impl Docs {
    fn add(&mut self, attributes: &[Attribute], name: &proc_macro2::Ident) {
        for attribute in attributes {
            if let Meta::NameValue(meta) = &attribute.meta
                && meta.path.is_ident("doc")
                && let Expr::Lit(ExprLit {
                    lit: Lit::Str(text), ..
                }) = &meta.value
            {
                self.found.push((
                    text.span().start().line,
                    text.value().trim().to_owned(),
                    name.to_string(),
                ));
                return;
            }
        }
    }
}

impl<'ast> Visit<'ast> for Docs {
    fn visit_item_struct(&mut self, item: &'ast syn::ItemStruct) {
        self.add(&item.attrs, &item.ident);
        syn::visit::visit_item_struct(self, item);
    }

    fn visit_item_enum(&mut self, item: &'ast syn::ItemEnum) {
        self.add(&item.attrs, &item.ident);
        syn::visit::visit_item_enum(self, item);
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.add(&item.attrs, &item.ident);
        syn::visit::visit_item_trait(self, item);
    }

    fn visit_item_type(&mut self, item: &'ast syn::ItemType) {
        self.add(&item.attrs, &item.ident);
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.add(&item.attrs, &item.ident);
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.add(&variant.attrs, &variant.ident);
        syn::visit::visit_variant(self, variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.add(&field.attrs, ident);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.attrs, &item.sig.ident);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.attrs, &item.sig.ident);
        syn::visit::visit_impl_item_fn(self, item);
    }
}
