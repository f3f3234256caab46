//! Reads Rust source as lexemes and lines, whether or not it parses.
//!
//! May call it: `measure`. It never fails and never recurses: what is not closed ends with the text. It
//! deliberately builds no tree; what needs one is in `functions`.

use super::measure::Lines;

/// One lexeme that is not part of a comment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lexeme<'a> {
    /// A keyword or name, raw names with their `r#`.
    Word(&'a str),
    /// A string, character or number.
    Literal,
    /// `'a`
    Lifetime,
    /// One character of punctuation or a delimiter.
    Mark(u8),
}

/// Counts the lines of `text` by kind and hands each lexeme to `each`.
///
/// A line with any lexeme on it is code; otherwise, with any part of a comment on it, comment;
/// otherwise blank. A line inside a string is code. Documentation is comment.
pub(super) fn scan<'a>(text: &'a str, each: impl FnMut(Lexeme<'a>)) -> Lines {
    let mut scanner = Scanner {
        text,
        bytes: text.as_bytes(),
        at: 0,
        line: LineKind::Blank,
        lines: Lines::default(),
        each,
    };
    scanner.run();
    scanner.lines
}

/// The length of the line `#!/usr/bin/env run`, without its end. `#![...]` is no such line.
pub(super) fn shebang_len(text: &str) -> usize {
    match text.strip_prefix("#!") {
        Some(rest) if !rest.trim_start().starts_with('[') => text.find('\n').unwrap_or(text.len()),
        _ => 0,
    }
}

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum LineKind {
    Blank,
    Comment,
    Code,
}

struct Scanner<'a, F> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    line: LineKind,
    lines: Lines,
    each: F,
}

impl<'a, F: FnMut(Lexeme<'a>)> Scanner<'a, F> {
    fn run(&mut self) {
        self.at = shebang_len(self.text);
        if self.at > 0 {
            self.mark(LineKind::Comment);
        }
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => self.end_line(),
                b'/' if self.peek(1) == Some(b'/') => self.line_comment(),
                b'/' if self.peek(1) == Some(b'*') => self.block_comment(),
                b'"' => self.string(),
                b'\'' => self.quote(),
                b'0'..=b'9' => self.number(),
                b'_' | b'a'..=b'z' | b'A'..=b'Z' | 0x80.. => self.word(),
                byte if byte.is_ascii_whitespace() || byte == 0x0b => self.at += 1,
                byte => {
                    self.at += 1;
                    self.emit(Lexeme::Mark(byte));
                }
            }
        }
        // What follows the last line end is a line if there is anything in it.
        if self.bytes.last().is_some_and(|&byte| byte != b'\n') {
            self.count_line();
        }
    }

    fn peek(&self, ahead: usize) -> Option<u8> {
        self.bytes.get(self.at + ahead).copied()
    }

    fn emit(&mut self, lexeme: Lexeme<'a>) {
        self.line = LineKind::Code;
        (self.each)(lexeme);
    }

    fn mark(&mut self, kind: LineKind) {
        self.line = self.line.max(kind);
    }

    fn end_line(&mut self) {
        self.at += 1;
        self.count_line();
    }

    fn count_line(&mut self) {
        self.lines.total += 1;
        match self.line {
            LineKind::Blank => self.lines.blank += 1,
            LineKind::Comment => self.lines.comment += 1,
            LineKind::Code => self.lines.code += 1,
        }
        self.line = LineKind::Blank;
    }

    fn line_comment(&mut self) {
        self.mark(LineKind::Comment);
        while self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0u32;
        while let Some(byte) = self.peek(0) {
            match (byte, self.peek(1)) {
                (b'\n', _) => {
                    self.end_line();
                    continue;
                }
                (b'/', Some(b'*')) => {
                    depth += 1;
                    self.at += 1;
                }
                (b'*', Some(b'/')) => {
                    depth -= 1;
                    self.at += 1;
                }
                _ => {}
            }
            self.at += 1;
            if !byte.is_ascii_whitespace() {
                self.mark(LineKind::Comment);
            }
            if depth == 0 {
                return;
            }
        }
    }

    /// At the opening quote of a string with escapes.
    fn string(&mut self) {
        self.emit(Lexeme::Literal);
        self.at += 1;
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => self.end_line_in_string(),
                // The escaped byte may be a line end, which the next turn counts.
                b'\\' if self.peek(1) != Some(b'\n') => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ => self.at += 1,
            }
        }
        self.at = self.bytes.len();
    }

    /// At the first `#` or the quote after `r`.
    fn raw_string(&mut self, hashes: usize) {
        self.emit(Lexeme::Literal);
        self.at += hashes + 1;
        while let Some(byte) = self.peek(0) {
            let closes = byte == b'"' && (1..=hashes).all(|n| self.peek(n) == Some(b'#'));
            match byte {
                b'\n' => self.end_line_in_string(),
                _ if closes => {
                    self.at += 1 + hashes;
                    return;
                }
                _ => self.at += 1,
            }
        }
    }

    fn end_line_in_string(&mut self) {
        self.mark(LineKind::Code);
        self.end_line();
        // Also the line on which the string ends holds a part of it.
        if self.at < self.bytes.len() {
            self.mark(LineKind::Code);
        }
    }

    /// At a single quote: a character, or a lifetime.
    fn quote(&mut self) {
        let mut rest = self.text[self.at + 1..].chars();
        let is_char = match rest.next() {
            Some('\\') => {
                self.escaped_char();
                return;
            }
            Some('\n') | None => false,
            Some(_) => rest.next() == Some('\''),
        };
        if is_char {
            self.at = self.bytes.len() - rest.as_str().len();
            self.emit(Lexeme::Literal);
        } else {
            self.at += 1;
            self.skip_name();
            self.emit(Lexeme::Lifetime);
        }
    }

    fn escaped_char(&mut self) {
        self.at += 2;
        if self.peek(0).is_some_and(|byte| byte != b'\n') {
            self.at += 1;
        }
        // A line end before the closing quote means that this was no character.
        while let Some(byte) = self.peek(0) {
            match byte {
                b'\n' => break,
                b'\'' => {
                    self.at += 1;
                    break;
                }
                _ => self.at += 1,
            }
        }
        self.emit(Lexeme::Literal);
    }

    fn number(&mut self) {
        self.skip_name();
        if self.peek(0) == Some(b'.') && self.peek(1).is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
            self.skip_name();
        }
        self.emit(Lexeme::Literal);
    }

    fn word(&mut self) {
        let start = self.at;
        self.skip_name();
        let word = &self.text[start..self.at];
        let hashes = self.bytes[self.at..].iter().take_while(|&&byte| byte == b'#').count();
        match (word, self.peek(0), self.peek(hashes)) {
            ("r" | "br" | "cr", _, Some(b'"')) => self.raw_string(hashes),
            ("b" | "c", Some(b'"'), _) => self.string(),
            ("b", Some(b'\''), _) => self.quote(),
            ("r", Some(b'#'), Some(next)) if hashes == 1 && is_name(next) => {
                self.at += 1;
                self.skip_name();
                self.emit(Lexeme::Word(&self.text[start..self.at]));
            }
            _ => self.emit(Lexeme::Word(word)),
        }
    }

    fn skip_name(&mut self) {
        while self.peek(0).is_some_and(is_name) {
            self.at += 1;
        }
    }
}

/// All bytes beyond ASCII count as parts of names, so that a slice never splits a character.
fn is_name(byte: u8) -> bool {
    byte == b'_' || byte.is_ascii_alphanumeric() || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `total code comment blank`, then the lexemes as letters: w word, l literal, ' lifetime, or the mark.
    #[track_caller]
    fn check(text: &str, lines: [u64; 4], lexemes: &str) {
        let mut seen = String::new();
        let counted = scan(text, |lexeme| {
            seen.push(match lexeme {
                Lexeme::Word(_) => 'w',
                Lexeme::Literal => 'l',
                Lexeme::Lifetime => '\'',
                Lexeme::Mark(mark) => char::from(mark),
            });
        });
        let counted = [counted.total, counted.code, counted.comment, counted.blank];
        assert_eq!((counted, seen.as_str()), (lines, lexemes), "{text:?}");
    }

    #[test]
    fn lines_are_counted_with_and_without_a_last_line_end() {
        check("", [0, 0, 0, 0], "");
        check("\n", [1, 0, 0, 1], "");
        check("a", [1, 1, 0, 0], "w");
        check("a\n", [1, 1, 0, 0], "w");
        check("a\r\n\r\n// b\r\n", [3, 1, 1, 1], "w");
        check("  \n\t", [2, 0, 0, 2], "");
    }

    #[test]
    fn comments_nest_and_a_line_with_both_is_code() {
        check("/* a /* b */ c */ d", [1, 1, 0, 0], "w");
        check("/* a /* b */\n\n c", [3, 0, 2, 1], "");
        check("/*/ x */ y", [1, 1, 0, 0], "w");
        check("/// doc\nfn // not code: fn", [2, 1, 1, 0], "w");
        check("/**/\n", [1, 0, 1, 0], "");
        check("#!/bin/run fn\nfn", [2, 1, 1, 0], "w");
        check("#![no_std]", [1, 1, 0, 0], "#![w]");
        check("#! [no_std]", [1, 1, 0, 0], "#![w]");
    }

    #[test]
    fn what_strings_hold_is_neither_comment_nor_code() {
        check("\"// fn \\\" /*\" x", [1, 1, 0, 0], "lw");
        check("r#\"a \" /* \"# x", [1, 1, 0, 0], "lw");
        check("br##\" \"# \"## x", [1, 1, 0, 0], "lw");
        check("r\"\\\" x", [1, 1, 0, 0], "lw");
        check("r#fn r#\"\"# b\"\" c\"\" b'\\''", [1, 1, 0, 0], "wllll");
        check("\"\n\n\"", [3, 3, 0, 0], "l");
        check("\"a\\\n  b\"\n", [2, 2, 0, 0], "l");
        check("\"never closed\n\\", [2, 2, 0, 0], "l");
    }

    #[test]
    fn characters_and_lifetimes_are_told_apart() {
        check("'a' 'a '\\n' '\u{e9}' '\\u{10ffff}' '\\'' '\\\\' x", [1, 1, 0, 0], "l'lllllw");
        check("&'static str", [1, 1, 0, 0], "&'w");
        check("'", [1, 1, 0, 0], "'");
        check("'\\", [1, 1, 0, 0], "l");
        check("'\\\nx", [2, 2, 0, 0], "lw");
        check("1.5 0..2 0xff_u8 t.0.1", [1, 1, 0, 0], "ll..llw.l");
    }

    #[test]
    fn no_cut_of_a_hostile_text_panics() {
        let text = "r#r#\"é\\é'é\\'é/*é*/\"# b'\\é 'é'\u{feff}r##\"\u{10ffff}\"# // é\n1.é";
        for (start, _) in text.char_indices() {
            for (end, _) in text[start..].char_indices() {
                let part = &text[start..start + end];
                let lines = scan(part, |_| {});
                assert_eq!(lines.total, lines.code + lines.comment + lines.blank, "{part:?}");
                assert_eq!(lines.total, part.lines().count() as u64, "{part:?}");
            }
        }
    }
}
