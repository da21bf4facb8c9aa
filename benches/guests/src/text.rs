//! Text: JSON and formatting.

use crate::{Random, mix};
use std::fmt::Write;

enum Json {
    Null,
    Bool(bool),
    Number(f64),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

struct Parser<'a> {
    text: &'a [u8],
    at: usize,
}

impl Parser<'_> {
    fn peek(&mut self) -> u8 {
        while self.text[self.at].is_ascii_whitespace() {
            self.at += 1;
        }
        self.text[self.at]
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == byte;
        self.at += usize::from(found);
        found
    }

    fn string(&mut self) -> String {
        assert!(self.take(b'"'));
        let mut out = Vec::new();
        loop {
            let byte = self.text[self.at];
            self.at += 1;
            match byte {
                b'"' => return String::from_utf8(out).unwrap(),
                b'\\' => {
                    out.push(match self.text[self.at] {
                        b'n' => b'\n',
                        b't' => b'\t',
                        other => other,
                    });
                    self.at += 1;
                }
                byte => out.push(byte),
            }
        }
    }

    fn value(&mut self) -> Json {
        match self.peek() {
            b'{' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.take(b'}') {
                    let key = self.string();
                    assert!(self.take(b':'));
                    items.push((key, self.value()));
                    self.take(b',');
                }
                Json::Object(items)
            }
            b'[' => {
                self.at += 1;
                let mut items = Vec::new();
                while !self.take(b']') {
                    items.push(self.value());
                    self.take(b',');
                }
                Json::List(items)
            }
            b'"' => Json::Text(self.string()),
            b'n' => {
                self.at += 4;
                Json::Null
            }
            b't' => {
                self.at += 4;
                Json::Bool(true)
            }
            b'f' => {
                self.at += 5;
                Json::Bool(false)
            }
            _ => {
                let start = self.at;
                while matches!(self.text[self.at], b'0'..=b'9' | b'-' | b'+' | b'.' | b'e') {
                    self.at += 1;
                }
                Json::Number(
                    std::str::from_utf8(&self.text[start..self.at]).unwrap().parse().unwrap(),
                )
            }
        }
    }
}

fn write(value: &Json, out: &mut String) {
    match value {
        Json::Null => out.push_str("null"),
        Json::Bool(value) => write!(out, "{value}").unwrap(),
        Json::Number(value) => write!(out, "{value}").unwrap(),
        Json::Text(text) => quote(text, out),
        Json::List(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',')
                }
                write(item, out);
            }
            out.push(']');
        }
        Json::Object(items) => {
            out.push('{');
            for (i, (key, item)) in items.iter().enumerate() {
                if i > 0 {
                    out.push(',')
                }
                quote(key, out);
                out.push(':');
                write(item, out);
            }
            out.push('}');
        }
    }
}

fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '"' => out.push_str("\\\""),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn make(random: &mut Random, depth: u32) -> Json {
    match random.below(if depth == 0 { 5 } else { 9 }) {
        0 => Json::Null,
        1 => Json::Bool(random.below(2) == 0),
        2 => Json::Number(f64::from(random.below(100_000))),
        3 => Json::Number((random.unit() * 1e6).round() / 1e3),
        4 => Json::Text(
            (0..random.below(20))
                .map(|_| (b' ' + random.below(90) as u8) as char)
                .filter(|c| *c != '\\')
                .collect(),
        ),
        5 | 6 => Json::List((0..random.below(8)).map(|_| make(random, depth - 1)).collect()),
        _ => Json::Object(
            (0..random.below(8)).map(|i| (format!("key{i}"), make(random, depth - 1))).collect(),
        ),
    }
}

/// Parses and writes JSON.
#[unsafe(no_mangle)]
extern "C" fn json(n: i32) -> i64 {
    let mut random = Random::new(31);
    let value = Json::List((0..30).map(|_| make(&mut random, 5)).collect());
    let mut text = String::new();
    write(&value, &mut text);
    let mut sum = mix(0, text.len() as u64);
    for _ in 0..n {
        let value = Parser { text: text.as_bytes(), at: 0 }.value();
        let mut again = String::new();
        write(&value, &mut again);
        assert!(again == text);
        sum = again.bytes().step_by(61).fold(sum, |sum, b| mix(sum, u64::from(b)));
    }
    sum
}

/// Formats numbers and counts words in a tree.
#[unsafe(no_mangle)]
extern "C" fn words(n: i32) -> i64 {
    use std::collections::BTreeMap;
    let text = String::from_utf8(crate::codec::prose(16 << 10, 6)).unwrap();
    let mut sum = 0;
    for round in 0..n {
        let mut counts: BTreeMap<&str, u32> = BTreeMap::new();
        for word in text.split_ascii_whitespace() {
            *counts.entry(word).or_default() += 1;
        }
        let mut report = String::new();
        for (i, (word, count)) in counts.iter().enumerate() {
            writeln!(report, "{i:>5} {word:<12} {count:04x} {:.3}", f64::from(*count) / 7.0)
                .unwrap();
        }
        sum = report
            .bytes()
            .step_by(31)
            .fold(sum + i64::from(round), |sum, b| mix(sum, u64::from(b)));
    }
    sum
}
