//! Writing profiles in the formats of tools, and for people.

mod firefox;
mod folded;
#[cfg(test)]
mod golden;
mod html;
mod pprof;
mod svg;
mod table;
#[cfg(test)]
mod tests;

use super::model::Profile;
use std::fmt;
use std::io::{self, Write};
use std::path::Path;
use std::str::FromStr;

/// A format that profiles can be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Format {
    /// pprof's protocol buffers, compressed: for `go tool pprof` and everything that reads its files.
    Pprof,
    /// JSON of the Firefox Profiler, for <https://profiler.firefox.com>.
    Firefox,
    /// A line for each stack, with functions separated by semicolons, and its value.
    Folded,
    /// A flame graph.
    Svg,
    /// A report to be read in a browser, which needs nothing else.
    Html,
    /// The functions that matter most, for a terminal.
    Table,
}

/// A name, or the extension of a file, that is no format.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownFormat(String);

const FORMATS: [(Format, &str, &[&str]); 6] = [
    (Format::Pprof, "pprof", &["pb.gz", "pprof"]),
    (Format::Firefox, "firefox", &["json"]),
    (Format::Folded, "folded", &["folded", "txt"]),
    (Format::Svg, "svg", &["svg"]),
    (Format::Html, "html", &["html", "htm"]),
    (Format::Table, "table", &["table"]),
];

impl Format {
    /// All of them.
    pub const ALL: [Format; 6] =
        [Format::Pprof, Format::Firefox, Format::Folded, Format::Svg, Format::Html, Format::Table];

    /// The format of a file with this extension: `.pb.gz` and `.pprof`, `.json`, `.folded` and `.txt`,
    /// `.svg`, `.html`, `.table`.
    ///
    /// # Errors
    ///
    /// There is none.
    pub fn of_path(path: impl AsRef<Path>) -> Result<Format, UnknownFormat> {
        let path = path.as_ref();
        let name = path.file_name().map(|n| n.to_string_lossy().to_lowercase());
        let name = name.unwrap_or_default();
        let ends = |ending: &&str| name.strip_suffix(*ending).is_some_and(|n| n.ends_with('.'));
        let found = FORMATS.iter().find(|(_, _, endings)| endings.iter().any(ends));
        found.map(|f| f.0).ok_or_else(|| UnknownFormat(path.display().to_string()))
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        self.row().1
    }

    /// The ending of its files, without a dot in front.
    pub fn extension(self) -> &'static str {
        self.row().2[0]
    }

    fn row(self) -> &'static (Format, &'static str, &'static [&'static str]) {
        FORMATS.iter().find(|f| f.0 == self).expect("each format has a row")
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Format, UnknownFormat> {
        let found = FORMATS.iter().find(|f| f.1 == name);
        found.map(|f| f.0).ok_or_else(|| UnknownFormat(name.to_owned()))
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for UnknownFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` names no format of profiles. They are", self.0)?;
        for (i, (_, name, endings)) in FORMATS.iter().enumerate() {
            write!(f, "{} {name} (.{})", if i == 0 { "" } else { "," }, endings.join(", ."))?;
        }
        Ok(())
    }
}

impl std::error::Error for UnknownFormat {}

impl Profile {
    /// Writes the profile, showing [`Profile::main_value`] in formats that have one quantity.
    ///
    /// A report in HTML shows the source lines that matter, read from the files that the debug
    /// information names as far as they are there and look like source code.
    ///
    /// # Errors
    ///
    /// The writer's.
    pub fn write(&self, format: Format, writer: impl Write) -> io::Result<()> {
        self.write_value(format, self.main_value(), writer)
    }

    /// Writes the profile, showing one of its quantities: an index into [`Profile::value_types`]. The
    /// formats `pprof` and `html` have all of them, and begin with this one.
    ///
    /// # Errors
    ///
    /// The writer's; or there is no such quantity.
    pub fn write_value(
        &self,
        format: Format,
        value: usize,
        mut writer: impl Write,
    ) -> io::Result<()> {
        if value >= self.value_types().len() {
            let problem = format!("{} profiles have no value {value}", self.kind());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, problem));
        }
        match format {
            Format::Pprof => pprof::write(self, value, &mut writer)?,
            Format::Firefox => firefox::write(self, value, &mut writer)?,
            Format::Folded => folded::write(self, value, &mut writer)?,
            Format::Svg => svg::write(self, value, &mut writer)?,
            Format::Html => html::write(self, value, &mut writer)?,
            Format::Table => writer.write_all(self.table(30, 100, value).as_bytes())?,
        }
        writer.flush()
    }
}

/// How many samples or calls a profile has, and what is missing, for people.
fn describe(profile: &Profile) -> String {
    let meta = profile.meta();
    let mut parts = Vec::new();
    let mut say = |count: u64, what: &str| {
        if count > 0 {
            parts.push(format!("{count} {what}"));
        }
    };
    if meta.interval.is_some() {
        say(meta.samples.max(1), "samples");
        say(meta.dropped, "dropped");
        say(meta.missed, "missed");
    }
    say(meta.truncated, "stacks cut off");
    say(meta.overflow, "beyond the number of stacks");
    if meta.interval.is_some() && meta.samples == 0 {
        parts[0] = "no samples".to_owned();
    }
    parts.join(", ")
}
