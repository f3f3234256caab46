//! Counts functions, `unsafe` and imports in a file that parses.
//!
//! May call it: `measure`. It deliberately does not look into macros: what they expand to is not in the
//! file.

use std::collections::BTreeMap;

use proc_macro2::Span;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{Block, Safety, Signature, UseTree};

use super::measure::{FunctionSize, UnsafeCount};

/// What the visit of a file counts.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Functions and methods with a body.
    pub(super) functions: u64,
    /// Where they are and how long.
    pub(super) sizes: Vec<FunctionSize>,
    /// What is marked `unsafe`.
    pub(super) unsafety: UnsafeCount,
    /// How often each root is imported.
    pub(super) imports: BTreeMap<String, u64>,
}

/// Counts what is in `file`, whose name is `name`.
pub(super) fn count(file: &syn::File, name: &str) -> Counts {
    let mut visitor = Visitor { file: name, counts: Counts::default() };
    visitor.visit_file(file);
    visitor.counts
}

struct Visitor<'a> {
    file: &'a str,
    counts: Counts,
}

impl Visitor<'_> {
    fn on_function(&mut self, signature: &Signature, body: &Block) {
        // From the first word of the signature (`const`, `async`, `unsafe`, `fn`) to the closing brace.
        let first = signature_start(signature).start().line;
        let last = body.brace_token.span.close().end().line;
        self.counts.functions += 1;
        self.counts.sizes.push(FunctionSize {
            name: signature.ident.to_string(),
            file: self.file.to_owned(),
            line: first as u64,
            lines: (last.max(first) - first + 1) as u64,
        });
    }

    fn on_imports(&mut self, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => self.on_root(&path.ident),
            UseTree::Name(name) => self.on_root(&name.ident),
            UseTree::Rename(rename) => self.on_root(&rename.ident),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.on_imports(tree)),
            UseTree::Glob(_) => {}
        }
    }

    fn on_root(&mut self, root: &syn::Ident) {
        let root = root.to_string();
        let root = root.strip_prefix("r#").unwrap_or(&root);
        if !matches!(root, "crate" | "self" | "super") {
            *self.counts.imports.entry(root.to_owned()).or_default() += 1;
        }
    }
}

fn signature_start(signature: &Signature) -> Span {
    let words = [
        signature.constness.map(|word| word.span),
        signature.asyncness.map(|word| word.span),
        match &signature.safety {
            Safety::Unsafe(word) => Some(word.span),
            Safety::Safe(word) => Some(word.span()),
            Safety::Default => None,
        },
        signature.abi.as_ref().map(|abi| abi.extern_token.span),
    ];
    words.into_iter().flatten().next().unwrap_or(signature.fn_token.span)
}

impl<'ast> Visit<'ast> for Visitor<'_> {
    fn visit_item_fn(&mut self, node: &'ast syn::ItemFn) {
        self.on_function(&node.sig, &node.block);
        visit::visit_item_fn(self, node);
    }

    fn visit_impl_item_fn(&mut self, node: &'ast syn::ImplItemFn) {
        self.on_function(&node.sig, &node.block);
        visit::visit_impl_item_fn(self, node);
    }

    fn visit_trait_item_fn(&mut self, node: &'ast syn::TraitItemFn) {
        if let Some(body) = &node.default {
            self.on_function(&node.sig, body);
        }
        visit::visit_trait_item_fn(self, node);
    }

    fn visit_signature(&mut self, node: &'ast Signature) {
        self.counts.unsafety.functions += u64::from(matches!(node.safety, Safety::Unsafe(_)));
        visit::visit_signature(self, node);
    }

    fn visit_expr_unsafe(&mut self, node: &'ast syn::ExprUnsafe) {
        self.counts.unsafety.blocks += 1;
        visit::visit_expr_unsafe(self, node);
    }

    fn visit_item_impl(&mut self, node: &'ast syn::ItemImpl) {
        self.counts.unsafety.impls += u64::from(node.unsafety.is_some());
        visit::visit_item_impl(self, node);
    }

    fn visit_item_use(&mut self, node: &'ast syn::ItemUse) {
        self.on_imports(&node.tree);
    }
}
