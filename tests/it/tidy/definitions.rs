//! What the code defines: each name with its doc comment, and functions with their length.

use proc_macro2::Ident;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Attribute, Block, Expr, ExprLit, FnArg, Item, Lit, Meta, Signature};

/// A type, variant, field, constant, function or module.
pub(super) struct Definition {
    pub(super) name: String,
    /// The line of the name.
    pub(super) line: usize,
    /// The first line of the doc comment, with its number.
    pub(super) doc: Option<(usize, String)>,
    /// The number of lines of a function; `None` for everything else.
    pub(super) length: Option<usize>,
    /// The number of parameters of a function, besides `self`; 0 for everything else.
    pub(super) parameters: usize,
}

/// The definitions in `items`, in the order of the file.
pub(super) fn definitions(items: &[Item]) -> Vec<Definition> {
    let mut collector = Collector::default();
    items.iter().for_each(|item| collector.visit_item(item));
    collector.found
}

#[derive(Default)]
struct Collector {
    found: Vec<Definition>,
}

impl Collector {
    fn add(&mut self, attributes: &[Attribute], name: &Ident) {
        self.found.push(Definition {
            name: name.to_string(),
            line: name.span().start().line,
            doc: attributes.iter().find_map(doc),
            length: None,
            parameters: 0,
        });
    }

    fn add_function(&mut self, attributes: &[Attribute], signature: &Signature, block: Option<&Block>) {
        self.add(attributes, &signature.ident);
        let last = block.map(|block| block.span().end().line);
        let function = self.found.last_mut().expect("it was added");
        function.length = last.map(|last| last + 1 - signature.span().start().line);
        let parameters = signature.inputs.iter();
        function.parameters = parameters.filter(|input| matches!(input, FnArg::Typed(_))).count();
    }
}

/// The line of a doc comment that an attribute is, with its number.
fn doc(attribute: &Attribute) -> Option<(usize, String)> {
    let Meta::NameValue(meta) = &attribute.meta else {
        return None;
    };
    match &meta.value {
        Expr::Lit(ExprLit {
            lit: Lit::Str(text), ..
        }) if meta.path.is_ident("doc") => Some((text.span().start().line, text.value().trim().to_owned())),
        _ => None,
    }
}

/// Visitors of definitions without a body of statements: each is added, and what is inside of it is visited.
macro_rules! collect {
    ($($visit:ident($type:ident);)+) => {
        $(fn $visit(&mut self, item: &'ast syn::$type) {
            self.add(&item.attrs, &item.ident);
            visit::$visit(self, item);
        })+
    };
}

impl<'ast> Visit<'ast> for Collector {
    collect! {
        visit_item_struct(ItemStruct);
        visit_item_enum(ItemEnum);
        visit_item_trait(ItemTrait);
        visit_item_type(ItemType);
        visit_item_mod(ItemMod);
        visit_item_const(ItemConst);
        visit_variant(Variant);
    }

    fn visit_field(&mut self, field: &'ast syn::Field) {
        if let Some(ident) = &field.ident {
            self.add(&field.attrs, ident);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add_function(&item.attrs, &item.sig, Some(&item.block));
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add_function(&item.attrs, &item.sig, Some(&item.block));
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        self.add_function(&item.attrs, &item.sig, item.default.as_ref());
        visit::visit_trait_item_fn(self, item);
    }
}

#[test]
fn definitions_are_found_with_their_docs_and_lengths() {
    let code =
        "/// One.\nstruct A { /// Two.\n b: u8 }\nimpl A {\n  fn c() {\n  }\n}\ntrait D { /// Three.\n fn e(); }";
    let file = syn::parse_file(code).expect("code");
    let found: Vec<_> = definitions(&file.items)
        .into_iter()
        .map(|definition| {
            let doc = definition.doc.map(|(_, text)| text).unwrap_or_default();
            format!("{} {} {:?} {doc}", definition.line, definition.name, definition.length)
        })
        .collect();
    assert_eq!(
        found,
        [
            "2 A None One.",
            "3 b None Two.",
            "5 c Some(2) ",
            "8 D None ",
            "9 e None Three."
        ]
    );
}
