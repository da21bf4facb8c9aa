//! PHP's structures in a synthetic image: its fields lie where PHP 8.2 for 32 bits has them, but no PHP made them. Real
//! builds are too large for this repository.

use super::find;
use crate::script::Bytes;
use crate::script::image::{Image, check_not_yet, check_unknown};

const GLOBALS: u32 = 0x900;
const PAGE: u32 = 0x1_0000;
const SIZE: usize = 0x6_0000;

impl Image {
    /// Calls: the program's code outside of functions calls `array_map`, which calls `Shop::sell`, which calls `fib`.
    fn php(version: &str) -> Image {
        let mut image = Image::empty(SIZE, 0x2000);
        image.place(0x100, format!("X-Powered-By: PHP/{version}\0").as_bytes());
        for (at, word) in [PAGE + 0x200, PAGE + (256 << 10), PAGE, 256 << 10].iter().enumerate() {
            image.put(GLOBALS + 4 * at as u32, *word);
        }
        let (file, class) = (image.php_string("/app/shop.php"), image.room(64));
        let shop = image.php_string("Shop");
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

    fn php_string(&mut self, text: &str) -> u32 {
        let at = self.room(17 + text.len() as u32);
        self.put(at + 4, 0x16);
        self.put(at + 12, text.len() as u32);
        self.place(at + 16, text.as_bytes());
        at
    }

    fn internal(&mut self, name: &str) -> u32 {
        let (at, name) = (self.room(64), self.php_string(name));
        self.put(at, 1);
        self.put(at + 8, name);
        at
    }

    /// A function with an instruction for each line.
    fn function(&mut self, name: Option<&str>, class: u32, file: u32, lines: &[u32]) -> u32 {
        let (at, code) = (self.room(128), self.room(28 * lines.len() as u32));
        self.put(at, 2);
        let name = name.map_or(0, |name| self.php_string(name));
        let count = lines.len() as u32;
        let fields = [(8, name), (12, class), (52, count), (56, code), (92, file), (96, lines[0])];
        self.put_all(at, &fields);
        for (number, line) in (0..).zip(lines) {
            self.put(code + 28 * number + 20, *line);
        }
        at
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
    assert_eq!(Image::php("8.2.0").calls(find), expected);
    assert!(super::is_in(&Image::php("8.2.30").bytes));
}

#[test]
fn other_versions_are_said_to_be_unknown() {
    let versions = [("8.4.1", "8.4"), ("7.4.33", "7.4"), ("9.0.0-dev", "9.0")];
    check_unknown(versions.map(|(all, version)| (Image::php(all), version)), "8.2 is known", find);
    // It has not started, or is something else.
    let mut idle = Image::php("8.2.0");
    idle.put(GLOBALS + 16, 0);
    check_not_yet(["", "x", "8"].map(Image::php).into_iter().chain([idle]), find);
}

#[test]
fn damaged_memory_is_no_reason_to_fail() {
    let whole = Image::php("8.2.0");
    let places = (0x2000 / 4..whole.free.div_ceil(4)).chain(GLOBALS / 4..GLOBALS / 4 + 5);
    whole.damage(places.chain(PAGE / 4..PAGE / 4 + 0x60), find);
    // A ring.
    let mut ring = Image::php("8.2.0");
    ring.put(PAGE + 0x10 + 32, PAGE + 0x10);
    assert_eq!(ring.calls(find).len(), 64);
}
