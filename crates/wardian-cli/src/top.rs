//! `wardian top`: what a program does while it runs.

mod page;
mod program;

use crate::args::TopArgs;
use crate::control::Peer;
use crate::live::View;
use crate::report::{Exit, Failure, Result};
use program::Program;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

/// How often the page changes.
const EVERY: Duration = Duration::from_secs(1);

pub(crate) fn top(args: &TopArgs) -> Result<Exit> {
    let first = args.command.first().and_then(|first| first.to_str());
    let pid = first.and_then(|first| first.parse::<u32>().ok());
    match (pid, &args.command[..]) {
        (Some(pid), [name]) if !Path::new(name).exists() => {
            let mut peer = Peer::connect(pid)?;
            let mut screen = Screen::new(io::stdout().is_terminal(), io::stdout());
            while let Some(view) = peer.view(EVERY)? {
                if !screen.show(pid, &view, &[]) {
                    return Err(Failure::new(
                        Exit::PIPE,
                        anyhow::anyhow!("nobody reads the output"),
                    ));
                }
            }
            Ok(Exit::SUCCESS)
        }
        (_, command) => start(command),
    }
}

/// Starts a program, and shows what it does.
fn start(command: &[std::ffi::OsString]) -> Result<Exit> {
    let is_page = io::stdout().is_terminal();
    let mut program = Program::start(command, is_page)?;
    let mut screen = Screen::new(is_page, io::stderr());
    if let Some(mut peer) = program.connect()? {
        while let Some(view) = peer.view(EVERY)? {
            // The program continues without anybody who looks.
            if !screen.show(program.pid(), &view, &program.last_lines()) {
                break;
            }
        }
    }
    drop(screen);
    Ok(program.end()?)
}

/// Where views go.
struct Screen<W: Write> {
    is_page: bool,
    output: W,
    /// What was shown last of all, which stays on the screen.
    last: String,
}

impl<W: Write> Screen<W> {
    fn new(is_page: bool, output: W) -> Screen<W> {
        Screen { is_page, output, last: String::new() }
    }

    /// Shows a view. Returns whether anybody reads it.
    fn show(&mut self, pid: u32, view: &View, printed: &[String]) -> bool {
        let written = if self.is_page {
            let size = crate::host::terminal_size(io::stdout());
            let (columns, rows) = size.unwrap_or((80, 24));
            // A terminal that does not know its size says zero.
            let or = |known: u16, usual| if known == 0 { usual } else { usize::from(known) };
            let (columns, rows) = (or(columns, 80).max(40), or(rows, 24).max(10));
            self.last = page::page(pid, view, printed, columns, rows);
            // From the upper left corner on; what is left of the page before is cleared.
            let page = self.last.replace('\n', "\x1b[K\n");
            write!(self.output, "\x1b[H{page}\x1b[J").and_then(|()| self.output.flush())
        } else {
            writeln!(self.output, "{}", page::line(pid, view))
        };
        written.is_ok()
    }
}
