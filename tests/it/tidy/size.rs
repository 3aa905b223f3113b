//! Files and functions that a reader can hold.

use syn::spanned::Spanned;
use syn::visit::Visit;

use super::none;
use super::source::Sources;

/// Lines of a file without its tests.
const FILE: usize = 500;
/// Lines of a function.
const FUNCTION: usize = 60;

/// Functions that are one long table, which would only be harder to read in parts.
const TABLES: [&str; 1] = ["yaml/syntax/kind.rs: by_kind"];

#[test]
fn no_file_is_long() {
    let sources = Sources::read();
    let long = sources.iter().filter_map(|module| {
        let code = module.text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        let lines = code.lines().count();
        (lines > FILE).then(|| {
            format!(
                "src/{}: {lines} lines; which second noun is in it?",
                module.file.display()
            )
        })
    });
    none(&long.collect::<Vec<_>>());
}

#[test]
fn no_function_is_long() {
    let mut long = Vec::new();
    let mut tables = Vec::new();
    for module in Sources::read().iter() {
        let mut functions = Functions::default();
        module.items.iter().for_each(|item| functions.visit_item(item));
        for (name, line, lines) in functions.found {
            let function = format!("{}: {name}", module.file.display());
            if lines <= FUNCTION {
                continue;
            }
            if TABLES.contains(&function.as_str()) {
                tables.push(function);
            } else {
                long.push(format!(
                    "src/{}:{line}: `{name}` has {lines} lines; which step has a name?",
                    module.file.display()
                ));
            }
        }
    }
    none(&long);
    assert_eq!(tables, TABLES, "the list of tables is not true any more");
}

/// Functions with their first line and how many lines they have.
#[derive(Default)]
struct Functions {
    found: Vec<(String, usize, usize)>,
}

impl Functions {
    fn add(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.span().start().line;
        let lines = block.span().end().line + 1 - first;
        self.found.push((signature.ident.to_string(), first, lines));
    }
}

impl<'ast> Visit<'ast> for Functions {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.add(&item.sig, &item.block);
        syn::visit::visit_impl_item_fn(self, item);
    }
}
