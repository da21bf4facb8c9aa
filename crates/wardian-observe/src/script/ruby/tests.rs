//! Ruby's structures in a synthetic image: its fields lie where CRuby 3.2 to 3.4 for 32 bits has them, but no Ruby made
//! them. Real builds are too large for this repository.

use super::find;
use crate::script::Bytes;
use crate::script::image::{Image, check_not_yet, check_unknown};

const THREAD: u32 = 0x900;
const CONTEXT: u32 = 0xa00;
const STACK: u32 = 0x1000;
const WORDS: u32 = 1024;
const SIZE: usize = 0x8000;

impl Image {
    /// Calls: the program's code outside of methods calls `each`, whose block calls `sell`.
    fn ruby(version: &str, frame: u32) -> Image {
        let mut image = Image::empty(SIZE, 0x3000);
        let version = format!("ruby {version} (2024-12-25 revision 48d4efcb85) [wasm32-wasi]\0");
        image.place(0x100, b"ruby - Copyright (C) 1993-2024 Yukihiro Matsumoto\0");
        image.place(0x140, b"ruby is no version\0");
        image.place(0x180, version.as_bytes());
        let file = image.ruby_string("/app/shop.rb", true);
        let pair = image.room(16);
        image.put(pair, 0x2007);
        image.put(pair + 8, file);
        let sell = image.iseq("sell", file, 2, &[(0, 3), (4, 4), (60, 6), (200, 9)], 700);
        let block = image.iseq("block in <main>", pair, 12, &[(0, 12)], 8);
        let main = image.iseq("<main>", pair, 1, &[(0, 1), (5, 12)], 30);
        // The next instruction, and whether the virtual machine was entered with the frame.
        // The outermost frame is of nothing that is executed.
        let calls =
            [(sell, 61, false), (block, 4, true), (0, 0, false), (main, 9, true), (main, 1, true)];
        let first = STACK + 4 * WORDS - frame * calls.len() as u32;
        for (at, (iseq, next, entered)) in (0..).zip(calls) {
            let (at, ep) = (first + frame * at, STACK + 16 * at);
            let code = if iseq == 0 { 0 } else { image.code_of(iseq) };
            image.put_all(at, &[(0, code + 4 * next), (8, iseq), (16, ep)]);
            image.put(ep, if entered { 0x2222_0021 } else { 0x1111_0003 });
        }
        image.put(THREAD + 24, CONTEXT);
        image.put_all(CONTEXT, &[(0, STACK), (4, WORDS), (8, first), (28, THREAD)]);
        image
    }

    fn code_of(&self, iseq: u32) -> u32 {
        self.bytes.word(self.bytes.word(iseq + 8).unwrap() + 8).unwrap()
    }

    fn ruby_string(&mut self, text: &str, elsewhere: bool) -> u32 {
        let (at, length) = (self.room(12 + text.len() as u32), text.len() as u32);
        self.put(at, if elsewhere { 0x2005 } else { 0x5 });
        self.put(at + 8, length);
        match elsewhere {
            true => {
                let characters = self.room(length);
                self.put(at + 12, characters);
                self.place(characters, text.as_bytes());
            }
            false => self.place(at + 12, text.as_bytes()),
        }
        at
    }

    /// An instruction sequence of so many words, with the lines that begin at some of them.
    fn iseq(&mut self, label: &str, path: u32, line: u32, lines: &[(u32, u32)], size: u32) -> u32 {
        let (at, body) = (self.room(32), self.room(192));
        let (label, code) = (self.ruby_string(label, false), self.room(4 * size));
        let ranges = self.room(12 * lines.len() as u32);
        for (number, (_, line)) in (0..).zip(lines) {
            self.put(ranges + 12 * number, *line);
        }
        let table = self.table(lines, size);
        self.put(at, 0x8_707a);
        self.put(at + 8, body);
        let fields = [
            (4, size),
            (8, code),
            (52, path),
            (60, label),
            (64, line),
            (88, ranges),
            (96, lines.len() as u32),
            (100, table),
        ];
        self.put_all(body, &fields);
        at
    }

    /// How many lines have begun at each instruction, as Ruby writes that down.
    fn table(&mut self, lines: &[(u32, u32)], size: u32) -> u32 {
        let begun = |at: u32| lines.iter().filter(|(start, _)| *start <= at).count() as u64;
        let blocks = size.saturating_sub(54).div_ceil(512);
        let table = self.room(48 + 80 * blocks);
        for word in 0..6 {
            let ranks = (0..9).fold(0, |all, at| all | begun(9 * word + at) << (7 * at));
            self.place(table + 8 * word, &ranks.to_le_bytes());
        }
        for block in 0..blocks {
            let (at, first) = (table + 48 + 80 * block, 54 + 512 * block);
            self.put(at, begun(first - 1) as u32);
            let inside = |words: u32| begun(first + 64 * words - 1) - begun(first - 1);
            let ranks = (1..8).fold(0, |all, word| all | inside(word) << (9 * (word - 1)));
            self.place(at + 8, &ranks.to_le_bytes());
            for word in 0..8 {
                let starts = |bit: u32| lines.iter().any(|l| l.0 == first + 64 * word + bit);
                let bits = (0..64).fold(0, |all, bit| all | u64::from(starts(bit)) << bit);
                self.place(at + 16 + 8 * word, &bits.to_le_bytes());
            }
        }
        table
    }
}

#[test]
fn calls_have_names_files_and_lines() {
    let expected = [
        ("sell (shop.rb)".to_owned(), Some(6), false),
        ("block in <main> (shop.rb)".to_owned(), Some(12), true),
        ("<main> (shop.rb)".to_owned(), Some(12), true),
    ];
    for (version, frame) in [("3.2.0", 32), ("3.3.10", 28), ("3.4.1", 28)] {
        let image = Image::ruby(version, frame);
        assert_eq!(image.calls(find), expected, "{version}");
        assert!(super::is_in(&image.bytes));
    }
}

#[test]
fn lines_are_those_of_the_instruction_before_the_next() {
    let mut image = Image::ruby("3.4.1", 28);
    let lines = [(0, 3), (4, 4), (54, 5), (60, 6), (118, 7), (600, 8), (650, 9)];
    let iseq = image.iseq("f", image.free, 1, &lines, 700);
    let path = image.ruby_string("f.rb", false);
    let body = image.bytes.word(iseq + 8).unwrap();
    image.put(body + 52, path);
    let code = super::iseq::read(&image.bytes, iseq).unwrap();
    let start = image.code_of(iseq);
    assert_eq!(code.line(start), Some(3));
    for executed in 0..700 {
        let expected = lines.iter().rfind(|(start, _)| *start <= executed).map(|(_, line)| *line);
        assert_eq!(code.line(start + 4 * (executed + 1)), expected, "{executed}");
    }
}

#[test]
fn other_versions_are_said_to_be_unknown() {
    let versions = [("3.1.4", "3.1"), ("3.5.0", "3.5"), ("4.0.0", "4.0")];
    let images = versions.map(|(all, version)| (Image::ruby(all, 28), version));
    check_unknown(images, "3.2 to 3.4 are known", find);
    // It has not started, is something else, or its frames are not those of its version.
    let versions = [("", 28), ("x", 28), ("3", 28), ("3.2.0", 28)];
    check_not_yet(versions.map(|(version, frame)| Image::ruby(version, frame)), find);
}

#[test]
fn damaged_memory_is_no_reason_to_fail() {
    let whole = Image::ruby("3.4.1", 28);
    let places = (0x3000 / 4..whole.free.div_ceil(4)).chain(THREAD / 4..CONTEXT / 4 + 8);
    let places = places.chain(STACK / 4..(STACK + 4 * WORDS) / 4);
    whole.damage(places.step_by(3), find);
}
