//! What a trace shows, and how.

use std::fmt;
use std::str::FromStr;
use wardian::listener::FunctionFilter;

/// The formats of a trace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TraceFormat {
    /// An indented tree for people.
    #[default]
    Text,
    /// A JSON object on each line.
    Json,
    /// The trace event format of Chrome, which Perfetto reads.
    Chrome,
    /// A line for each beginning and each end: `==> m.f(1)`, `<== (2)`.
    Log,
}

impl TraceFormat {
    const NAMES: [(&'static str, TraceFormat); 4] = [
        ("text", TraceFormat::Text),
        ("json", TraceFormat::Json),
        ("chrome", TraceFormat::Chrome),
        ("log", TraceFormat::Log),
    ];
}

impl FromStr for TraceFormat {
    type Err = UnknownTraceFormat;

    fn from_str(text: &str) -> Result<TraceFormat, UnknownTraceFormat> {
        let mut all = TraceFormat::NAMES.iter();
        let found = all.find(|(name, _)| *name == text).map(|(_, format)| *format);
        found.ok_or_else(|| UnknownTraceFormat(text.into()))
    }
}

/// A name that is no format of a trace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownTraceFormat(String);

impl fmt::Display for UnknownTraceFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` names no format of a trace; there are text, json, chrome and log", self.0)
    }
}

impl std::error::Error for UnknownTraceFormat {}

/// What a [`crate::TraceListener`] shows, and how. By default: all calls, as text, without a limit.
#[derive(Clone, Debug)]
pub struct TraceOptions {
    pub(crate) format: TraceFormat,
    pub(crate) filter: Option<FunctionFilter>,
    pub(crate) only: Option<FunctionFilter>,
    pub(crate) kinds: Option<FunctionFilter>,
    pub(crate) max_depth: usize,
    pub(crate) max_string: usize,
    pub(crate) limit: u64,
    pub(crate) color: bool,
    pub(crate) prompt: bool,
    pub(crate) unbuffered: bool,
    pub(crate) events: bool,
    pub(crate) summary: bool,
    pub(crate) earlier: bool,
}

impl Default for TraceOptions {
    fn default() -> TraceOptions {
        TraceOptions {
            format: TraceFormat::Text,
            filter: None,
            only: None,
            kinds: None,
            max_depth: usize::MAX,
            max_string: 32,
            limit: u64::MAX,
            color: false,
            prompt: false,
            unbuffered: false,
            events: true,
            summary: false,
            earlier: false,
        }
    }
}

fn either(before: Option<FunctionFilter>, more: FunctionFilter) -> Option<FunctionFilter> {
    Some(match before {
        Some(before) => before.or(more),
        None => more,
    })
}

impl TraceOptions {
    /// All calls, as text.
    pub fn new() -> TraceOptions {
        TraceOptions::default()
    }

    /// The format. Default: [`TraceFormat::Text`].
    pub fn with_format(mut self, format: TraceFormat) -> Self {
        self.format = format;
        self
    }

    /// Only functions one of whose names fits this pattern, see [`FunctionFilter::name`], or another
    /// that was given.
    pub fn with_only(mut self, pattern: impl Into<String>) -> Self {
        self.only = either(self.only, FunctionFilter::name(pattern));
        self
    }

    /// Only functions that modules import. With [`TraceOptions::with_exports`]: either.
    pub fn with_host(mut self) -> Self {
        self.kinds = either(self.kinds, FunctionFilter::imported());
        self
    }

    /// Only functions that modules export. With [`TraceOptions::with_host`]: either.
    pub fn with_exports(mut self) -> Self {
        self.kinds = either(self.kinds, FunctionFilter::exported());
        self
    }

    /// Only functions that this chooses, beside what the other options ask for.
    pub fn with_filter(mut self, filter: FunctionFilter) -> Self {
        self.filter = Some(filter);
        self
    }

    /// How many calls inside of each other are shown; only calls of chosen functions count.
    pub fn with_max_depth(mut self, depth: usize) -> Self {
        self.max_depth = depth;
        self
    }

    /// How many bytes of a guest's string are shown. Default: 32.
    pub fn with_max_string(mut self, bytes: usize) -> Self {
        self.max_string = bytes.min(1 << 16);
        self
    }

    /// How many bytes are written. Calls that begin later are only counted; those that had begun still
    /// get their ends. Default: no limit.
    pub fn with_limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }

    /// Colours, in text. Default: none.
    pub fn with_color(mut self, color: bool) -> Self {
        self.color = color;
        self
    }

    /// Writes what was gathered before each call of a host function, which may wait, after it, and ten
    /// times a second: for people who watch. Default: when 64 KiB were gathered.
    pub fn with_prompt_output(mut self, prompt: bool) -> Self {
        self.prompt = prompt;
        self
    }

    /// Writes each line at once.
    pub(crate) fn unbuffered(mut self) -> Self {
        self.unbuffered = true;
        self
    }

    /// Counts and times calls by function, for [`crate::TraceListener::summary`]. Default: off.
    pub fn with_summary(mut self, summary: bool) -> Self {
        self.summary = summary;
        self
    }

    /// Shows chosen calls that began before the first one that listeners are notified of, as they are in a guest that was
    /// running already when the trace was attached: as calls that continue. Their ends are noticed when a later call
    /// begins. As long as some are open, each call that begins walks the stack. Default: off.
    pub fn with_earlier_calls(mut self, earlier: bool) -> Self {
        self.earlier = earlier;
        self
    }

    /// Whether calls are written. Default: on.
    pub fn with_events(mut self, events: bool) -> Self {
        self.events = events;
        self
    }

    /// Whether a function is traced.
    pub(crate) fn chooses(&self, definition: &wardian::inspect::FunctionDefinition<'_>) -> bool {
        let filters = [&self.filter, &self.only, &self.kinds];
        filters.iter().all(|filter| filter.as_ref().is_none_or(|f| f.matches(definition)))
    }
}
