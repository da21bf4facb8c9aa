//! Draws a fern: Barnsley's iterated functions, four affine maps chosen at random.
//!
//! Build: `rustc -O -C strip=symbols -C panic=abort --target wasm32-wasip1 fern.rs -o fern.wasm`
//!
//! Arguments: columns (80) and rows (40).

use std::fmt::Write as _;
use std::io::Write as _;

const MAPS: [(f64, [f64; 6]); 4] = [
    (0.01, [0.0, 0.0, 0.0, 0.16, 0.0, 0.0]),
    (0.86, [0.85, 0.04, -0.04, 0.85, 0.0, 1.6]),
    (0.93, [0.2, -0.26, 0.23, 0.22, 0.0, 1.6]),
    (1.00, [-0.15, 0.28, 0.26, 0.24, 0.0, 0.44]),
];
const POINTS: usize = 4_000_000;

fn main() {
    let mut size = std::env::args().skip(1).map(|a| a.parse::<usize>().expect("a number"));
    let columns = size.next().unwrap_or(80);
    let rows = size.next().unwrap_or(40);
    let hits = grow(columns, rows);
    let picture = draw(&hits, columns, rows);
    std::io::stdout().write_all(picture.as_bytes()).expect("standard output");
}

/// How often each cell was hit.
fn grow(columns: usize, rows: usize) -> Vec<u32> {
    let mut hits = vec![0u32; columns * rows];
    let (mut x, mut y) = (0.0, 0.0);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..POINTS {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let dice = (state >> 11) as f64 / (1u64 << 53) as f64;
        let (_, [a, b, c, d, e, f]) = MAPS[MAPS.iter().position(|m| dice < m.0).unwrap_or(3)];
        (x, y) = (a * x + b * y + e, c * x + d * y + f);
        // The fern lies in x from -2.2 to 2.7 and y from 0 to 10.
        let column = ((x + 2.2) / 4.9 * columns as f64) as usize;
        let row = ((10.0 - y) / 10.0 * rows as f64) as usize;
        if column < columns && row < rows {
            hits[row * columns + column] += 1;
        }
    }
    hits
}

/// The denser, the brighter.
fn draw(hits: &[u32], columns: usize, rows: usize) -> String {
    let most = f64::from(*hits.iter().max().unwrap_or(&1)).ln();
    let mut out = String::new();
    for row in 0..rows {
        for hits in &hits[row * columns..(row + 1) * columns] {
            if *hits == 0 {
                out.push(' ');
                continue;
            }
            let shade = f64::from(*hits).ln() / most;
            let letter = b".:-=+*%#@"[(shade * 8.0) as usize] as char;
            let green = 90 + (shade * 165.0) as u32;
            let _ = write!(out, "\x1b[38;2;{};{green};{}m{letter}", green / 4, green / 3);
        }
        out.push_str("\x1b[0m\n");
    }
    out
}
