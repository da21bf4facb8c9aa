//! A view as a page, and as a line.

use crate::live::{Share, View};
use crate::output;
use std::fmt::Write;
use wardian_observe::shorten;

/// Rows that are for other things than functions.
const OTHER: usize = 8;
/// Host functions and files that are shown.
const FEW: usize = 6;
/// Functions on a line.
const NAMED: usize = 3;

/// A page of at most so many columns and rows.
pub(super) fn page(
    pid: u32,
    view: &View,
    printed: &[String],
    columns: usize,
    rows: usize,
) -> String {
    let mut page = String::new();
    let mut row = |text: &str| {
        page.push_str(&shorten(text, columns));
        page.push('\n');
    };
    row(&format!(
        "{} (process {pid}, {} engine), {} s",
        view.program,
        view.engine,
        view.uptime_ms / 1000
    ));
    row(&numbers(view));
    row(&format!("files   {}", some(&view.files, view.open as usize)));
    let host: Vec<String> = view.host.iter().map(named).collect();
    row(&format!("host    {}", some(&host, host.len())));
    row("");
    row("   self   total  function");
    let room = rows.saturating_sub(OTHER + printed.len()).max(1);
    for function in view.functions.iter().take(room) {
        row(&format!(
            "{:>7} {:>7}  {}",
            percent(function.own),
            percent(function.total),
            function.name
        ));
    }
    if view.functions.is_empty() {
        row("                 (the guest did not run)");
    }
    if !printed.is_empty() {
        row("-- printed");
        printed.iter().for_each(|line| row(line));
    }
    // The last row has no line end, which would move the page up.
    page.pop();
    page
}

/// The same in a line.
pub(super) fn line(pid: u32, view: &View) -> String {
    let hot: Vec<String> = view.functions.iter().take(NAMED).map(named).collect();
    let hot = if hot.is_empty() { "idle".to_owned() } else { hot.join(", ") };
    let seconds = view.uptime_ms as f64 / 1000.0;
    format!("{seconds:.1} s  {} ({pid})  {}  {hot}", view.program, numbers(view))
}

fn numbers(view: &View) -> String {
    let mut text = format!("memory {}", output::bytes(view.memory));
    let _ = write!(text, ", threads {}, open files {}", view.threads, view.open);
    let _ = write!(text, ", samples {} in {} ms", view.samples, view.look_ms);
    text
}

fn named(share: &Share) -> String {
    format!("{} {}", percent(share.own), share.name)
}

fn percent(thousandths: u64) -> String {
    format!("{}.{}%", thousandths / 10, thousandths % 10)
}

/// The first of some things.
fn some(things: &[String], all: usize) -> String {
    let few: Vec<&str> = things.iter().take(FEW).map(String::as_str).collect();
    match all.saturating_sub(few.len()) {
        _ if few.is_empty() => "none".into(),
        0 => few.join(", "),
        more => format!("{}, and {more} more", few.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::{line, page};
    use crate::live::{Share, View};

    #[test]
    fn a_page_has_no_more_rows_and_columns_than_there_are() {
        let function = |number: u64| Share {
            name: format!("function_{number}_{}", "x".repeat(number as usize * 20)),
            own: 600 - number,
            total: 1000 - number,
        };
        let view = View {
            program: "p.wasm".into(),
            memory: 3 << 20,
            threads: 2,
            open: 9,
            files: (0..9).map(|fd| format!("{fd} /data/{fd}")).collect(),
            functions: (0..40).map(function).collect(),
            host: vec![Share { name: "[host] wasi:fd_read".into(), own: 55, total: 55 }],
            ..View::default()
        };
        let printed = ["a".to_owned(), "b".repeat(500)];
        for (columns, rows) in [(40, 12), (80, 24), (200, 60)] {
            let text = page(7, &view, &printed, columns, rows);
            assert!(text.lines().count() <= rows, "{text}");
            assert!(text.lines().all(|line| line.chars().count() <= columns), "{text}");
            assert!(text.contains("60.0%  100.0%  function_0_\n"), "{text}");
            assert!(text.ends_with('b'));
        }
        let wide = page(7, &view, &[], 200, 24);
        assert!(wide.contains("3.0 MiB, threads 2, open files 9"), "{wide}");
        assert!(
            wide.contains("5 /data/5, and 3 more") && wide.contains("5.5% [host] wasi:fd_read")
        );
        assert!(line(7, &View::default()).ends_with("idle"));
        assert!(page(7, &View::default(), &[], 80, 24).contains("did not run"));
    }
}
