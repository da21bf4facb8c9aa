//! PHP's structures in a synthetic image: its fields lie where PHP 8.2 for 32 bits has them, but no PHP made them. Real
//! builds are too large for this repository.

use super::{Search, find};
use crate::script::{Bytes, Code};

const GLOBALS: u32 = 0x900;
const PAGE: u32 = 0x1_0000;
const SIZE: usize = 0x6_0000;

struct Image {
    bytes: Vec<u8>,
    free: u32,
}

impl Image {
    /// Calls: the program's code outside of functions calls `array_map`, which calls `Shop::sell`, which calls `fib`.
    fn new(version: &str) -> Image {
        let mut image = Image { bytes: vec![0; SIZE], free: 0x2000 };
        image.place(0x100, format!("X-Powered-By: PHP/{version}\0").as_bytes());
        for (at, word) in [PAGE + 0x200, PAGE + (256 << 10), PAGE, 256 << 10].iter().enumerate() {
            image.put(GLOBALS + 4 * at as u32, *word);
        }
        let (file, class) = (image.string("/app/shop.php"), image.room(64));
        let shop = image.string("Shop");
        image.put(class + 4, shop);
        let main = image.function(None, 0, file, &[20, 21, 21]);
        let map = image.internal("array_map");
        let sell = image.function(Some("sell"), class, file, &[3, 4, 4, 5]);
        let fib = image.function(Some("fib"), 0, file, &[7, 8]);
        let mut before = 0;
        // Bits of the flags: 2 says that the executor was entered with it, others are of no interest here.
        for (at, (func, op, flags)) in
            [(main, 1, 0x13), (map, 0, 0), (sell, 2, 0x22), (fib, 0, 0x21)].iter().enumerate()
        {
            let frame = PAGE + 0x10 + 0x50 * at as u32;
            let code = image.bytes.word(func + 56).unwrap();
            let is_internal = *func == map;
            image.put(frame, if is_internal { 0 } else { code + 28 * op });
            image.put(frame + 12, *func);
            image.place(frame + 26, &[*flags]);
            image.put(frame + 32, before);
            before = frame;
        }
        image.put(GLOBALS + 16, before);
        image
    }

    fn place(&mut self, at: u32, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn put(&mut self, at: u32, number: u32) {
        self.place(at, &number.to_le_bytes());
    }

    fn room(&mut self, size: u32) -> u32 {
        self.free += size.next_multiple_of(16);
        self.free - size.next_multiple_of(16)
    }

    fn string(&mut self, text: &str) -> u32 {
        let at = self.room(17 + text.len() as u32);
        self.put(at + 4, 0x16);
        self.put(at + 12, text.len() as u32);
        self.place(at + 16, text.as_bytes());
        at
    }

    fn internal(&mut self, name: &str) -> u32 {
        let (at, name) = (self.room(64), self.string(name));
        self.put(at, 1);
        self.put(at + 8, name);
        at
    }

    /// A function with an instruction for each line.
    fn function(&mut self, name: Option<&str>, class: u32, file: u32, lines: &[u32]) -> u32 {
        let (at, code) = (self.room(128), self.room(28 * lines.len() as u32));
        self.put(at, 2);
        let name = name.map_or(0, |name| self.string(name));
        for (offset, word) in [
            (8, name),
            (12, class),
            (52, lines.len() as u32),
            (56, code),
            (92, file),
            (96, lines[0]),
        ] {
            self.put(at + offset, word);
        }
        for (number, line) in (0..).zip(lines) {
            self.put(code + 28 * number + 20, *line);
        }
        at
    }

    /// The calls that are found, with their lines, the innermost first.
    fn calls(&self) -> Vec<(String, Option<u32>, bool)> {
        let Search::Found(php) = find(&self.bytes, &mut Vec::new()) else { return Vec::new() };
        let links = php.links(&self.bytes);
        let call = |(func, instruction, marked)| {
            let code: Code = php.code(&self.bytes, func)?;
            Some((code.function.display_name(), code.line(instruction), marked))
        };
        links.into_iter().filter_map(call).collect()
    }
}

#[test]
fn calls_have_names_files_and_lines() {
    let expected = [
        ("fib (shop.php)".to_owned(), Some(7), false),
        ("Shop::sell (shop.php)".to_owned(), Some(4), true),
        ("array_map (internal)".to_owned(), None, false),
        ("{main} (shop.php)".to_owned(), Some(21), true),
    ];
    assert_eq!(Image::new("8.2.0").calls(), expected);
    assert!(super::is_in(&Image::new("8.2.30").bytes));
}

#[test]
fn other_versions_are_said_to_be_unknown() {
    for (version, expected) in [("8.4.1", "8.4"), ("7.4.33", "7.4"), ("9.0.0-dev", "9.0")] {
        let found = find(&Image::new(version).bytes, &mut Vec::new());
        let Search::Unknown(why) = found else { panic!("{found:?}") };
        assert!(why.contains(expected) && why.contains("8.2 is known"), "{why}");
    }
    // It has not started, or is something else.
    for version in ["", "x", "8"] {
        assert!(matches!(find(&Image::new(version).bytes, &mut Vec::new()), Search::NotYet));
    }
    let mut idle = Image::new("8.2.0");
    idle.put(GLOBALS + 16, 0);
    assert!(matches!(find(&idle.bytes, &mut Vec::new()), Search::NotYet));
}

#[test]
fn damaged_memory_is_no_reason_to_fail() {
    let whole = Image::new("8.2.0");
    let used = (whole.free as usize).div_ceil(4);
    let places = (0x2000 / 4..used).chain(GLOBALS as usize / 4..GLOBALS as usize / 4 + 5);
    let places = places.chain(PAGE as usize / 4..PAGE as usize / 4 + 0x60);
    for at in places {
        for word in [0, 1, 6, SIZE as u32 - 2, 0x7fff_ffff, u32::MAX - 3, u32::MAX] {
            let mut damaged = Image { bytes: whole.bytes.clone(), free: whole.free };
            damaged.put(4 * at as u32, word);
            let calls = damaged.calls();
            assert!(calls.len() <= 64);
            assert!(calls.iter().all(|(name, ..)| name.len() < 16_384));
        }
    }
    // A ring.
    let mut ring = Image::new("8.2.0");
    ring.put(PAGE + 0x10 + 32, PAGE + 0x10);
    assert_eq!(ring.calls().len(), 64);
}
