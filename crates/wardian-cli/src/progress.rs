//! A progress bar for compilations that take long.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// How long a compilation may take without a word.
const PATIENCE: Duration = Duration::from_millis(500);

/// Appears on standard error if that is a terminal and the work takes long; goes when dropped.
pub(crate) struct Bar {
    start: Instant,
    terminal: bool,
    bar: OnceLock<ProgressBar>,
}

impl Bar {
    pub(crate) fn new() -> Bar {
        let terminal = std::io::stderr().is_terminal();
        Bar { start: Instant::now(), terminal, bar: OnceLock::new() }
    }

    /// Called by several threads at once.
    pub(crate) fn report(&self, done: usize, total: usize) {
        if self.terminal && self.start.elapsed() > PATIENCE {
            let bar = self.bar.get_or_init(|| {
                let target = ProgressDrawTarget::stderr();
                let style = "compiling {wide_bar} {pos}/{len} functions, {eta} left";
                // The template is a constant; if it were wrong the plain bar does as well.
                let style = ProgressStyle::with_template(style)
                    .unwrap_or_else(|_| ProgressStyle::default_bar());
                ProgressBar::with_draw_target(Some(total as u64), target).with_style(style)
            });
            bar.set_position(done as u64);
        }
    }
}

/// Makes room for a message where a bar may be, whatever thread has it.
pub(crate) fn erase() {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        // To the first column, and erase the line. If it fails the message is ugly, no more.
        let _ = err.write_all(b"\r\x1b[2K");
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.bar.get() {
            bar.finish_and_clear();
        }
    }
}
