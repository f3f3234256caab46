//! How deep a parse of given tokens can go, known before it starts.
//!
//! `syn` parses, visits and drops by recursion, so hostile source (`((((...`, `!!!!...`, a `+` chain of a
//! million terms) would overflow the stack, which kills a process. The bound made here lets the caller
//! refuse such source. It walks with a stack of its own.
//!
//! May call it: `measure`. It deliberately knows no grammar: it overestimates, by a rule that ordinary
//! source stays far below ([`NESTING_MAX`]).

use proc_macro2::{Delimiter, TokenStream, TokenTree, token_stream};

/// The deepest nesting, by the measure of this module, that is parsed; what is deeper is only lexed.
///
/// Of the 7,240 files that this project's own dependencies unpack to, the deepest has 2,800.
pub const NESTING_MAX: usize = 8_192;

/// The stack of the thread that parses, in bytes: 32 KiB for each level of [`NESTING_MAX`]. It is address
/// space; only what a file's nesting touches becomes memory.
pub const PARSER_STACK_LEN: usize = 256 * 1024 * 1024;

const _: () = assert!(PARSER_STACK_LEN / NESTING_MAX == 32 * 1024);

/// What a walk over the tokens tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Extent {
    /// The number of tokens, both delimiters of a group among them.
    pub(super) tokens: u64,
    /// No parse can nest deeper than this.
    pub(super) nesting: usize,
}

/// Walks `stream` once.
///
/// Along a path into the groups, each statement on the way can add as many levels as it has tokens. A
/// statement ends at `;` and after a braced group, unless `else` or punctuation other than `#` continues
/// it. A comma splits a statement into parts of which only the longest counts, but things can nest
/// across commas inside `<...>` and closure parameters: each `<` and `|` adds a level of its own.
pub(super) fn extent(stream: TokenStream) -> Extent {
    let mut extent = Extent::default();
    let mut outer: Vec<Level> = Vec::new();
    let mut level = Level::new(stream);
    loop {
        match level.tokens.next() {
            Some(TokenTree::Group(group)) => {
                extent.tokens += 2;
                level.on_token(group.delimiter() == Delimiter::Brace, Continues::No);
                outer.push(std::mem::replace(&mut level, Level::new(group.stream())));
            }
            Some(TokenTree::Punct(punct)) => {
                extent.tokens += 1;
                level.on_punct(punct.as_char());
            }
            Some(TokenTree::Ident(ident)) => {
                extent.tokens += 1;
                let continues =
                    if level.braced && ident == "else" { Continues::Yes } else { Continues::No };
                level.on_token(false, continues);
            }
            Some(TokenTree::Literal(_)) => {
                extent.tokens += 1;
                level.on_token(false, Continues::No);
            }
            None => {
                let nesting = level.finish();
                let Some(parent) = outer.pop() else {
                    extent.nesting = nesting;
                    return extent;
                };
                level = parent;
                level.inner = level.inner.max(nesting);
            }
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Continues {
    Yes,
    No,
}

/// The walk inside one group.
struct Level {
    tokens: token_stream::IntoIter,
    /// Of the finished statements, the deepest.
    deepest: usize,
    /// Tokens since the last comma of this statement.
    part: usize,
    /// The longest part of this statement so far.
    part_longest: usize,
    /// What can nest across commas.
    openers: usize,
    /// The deepest of this statement's groups.
    inner: usize,
    /// Whether the last token was a braced group.
    braced: bool,
}

impl Level {
    fn new(stream: TokenStream) -> Self {
        Self {
            tokens: stream.into_iter(),
            deepest: 0,
            part: 0,
            part_longest: 0,
            openers: 0,
            inner: 0,
            braced: false,
        }
    }

    fn on_token(&mut self, is_braced_group: bool, continues: Continues) {
        if self.braced && continues == Continues::No {
            self.end_statement();
        }
        self.part += 1;
        self.braced = is_braced_group;
    }

    fn on_punct(&mut self, punct: char) {
        match punct {
            ';' => {
                self.end_statement();
                return;
            }
            ',' => self.end_part(),
            '<' | '|' => self.openers += 1,
            _ => {}
        }
        let continues = if punct == '#' { Continues::No } else { Continues::Yes };
        self.on_token(false, continues);
    }

    fn end_part(&mut self) {
        self.part_longest = self.part_longest.max(self.part);
        self.part = 0;
    }

    fn end_statement(&mut self) {
        self.end_part();
        self.deepest = self.deepest.max(self.part_longest + self.openers + self.inner);
        self.part_longest = 0;
        self.openers = 0;
        self.inner = 0;
        self.braced = false;
    }

    fn finish(mut self) -> usize {
        self.end_statement();
        self.deepest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(source: &str, tokens: u64, nesting: usize) {
        let stream: TokenStream = source.parse().expect("lexes");
        assert_eq!(extent(stream), Extent { tokens, nesting }, "{source}");
    }

    #[test]
    fn statements_in_a_row_do_not_nest() {
        check("", 0, 0);
        check("a;", 2, 1);
        check("a; b; c d;", 7, 2);
        check("mod a {} mod b {} mod c {}", 12, 3);
        check("x, y, z z", 6, 3);
        check("#[a] fn f() {} #[b] fn g() {}", 20, 7);
    }

    #[test]
    fn chains_and_groups_nest() {
        check("((((1))))", 9, 5);
        check("!!!!x", 5, 5);
        check("a + b + c", 5, 5);
        check("if a {} else if b {} else {}", 12, 9);
        check("match x {}.y", 6, 5);
        check("f(1; 2 3; 4) + 5", 11, 6);
    }

    #[test]
    fn nesting_across_commas_is_seen() {
        // Each `<` and each `|` counts twice: as a token of its part and as an opener.
        check("A<B, A<B, C", 9, 6);
        check("|a, b| |c, d| e", 11, 9);
    }
}
