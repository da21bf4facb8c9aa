//! Whole outputs that are compared with files, so that no format changes unnoticed.
//!
//! It is part of the tests of several crates, each of which has its files in a folder of its own.

use std::fs;
use std::path::Path;

/// Compares an output with a file in `folder`, or writes the file if `WARDIAN_BLESS` is set.
pub(crate) fn check(folder: &str, name: &str, output: &str) {
    let path = Path::new(folder).join(name);
    if std::env::var_os("WARDIAN_BLESS").is_some() {
        fs::create_dir_all(folder).expect("the folder can be made");
        fs::write(&path, output).expect("the file can be written");
        return;
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    if output == expected {
        return;
    }
    let same = expected.lines().zip(output.lines()).take_while(|(a, b)| a == b).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("the end").to_owned();
    panic!(
        "{name} is another one from line {} on:\n- {}\n+ {}\nIf that is meant: WARDIAN_BLESS=1",
        same + 1,
        line(&expected),
        line(output)
    );
}
