//! The state of a trace while it is written: for each store the calls that have begun.
//!
//! One lock is taken for each event, so that what is written is in the order in which it happened, and
//! no line is broken up by another store's.

use super::earlier::Earlier;
use super::format::{Beginning, End, Ending, Place, arguments, chrome, json, log, text::Text};
use super::function::Function;
use super::options::{TraceFormat, TraceOptions};
use super::output::Output;
use super::summary::Stats;
use super::value::{Style, duration, integer};
use super::wasi::Reader;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use wardian::listener::Call;

/// When there are so many lanes, those in which nothing has begun are forgotten.
const MANY_LANES: usize = 1024;
/// How long people wait, in nanoseconds.
pub(super) const PROMPT: u64 = 100_000_000;

pub(super) struct State {
    clock: quanta::Clock,
    origin: u64,
    format: TraceFormat,
    max_depth: usize,
    max_string: usize,
    events: bool,
    prompt: bool,
    text: Text,
    output: Output,
    pub(super) lanes: Vec<Lane>,
    by_store: HashMap<u64, usize>,
    /// The lane that was last used.
    last: (u64, usize),
    next_lane: u32,
    calls: u64,
    dropped: u64,
    /// When the first call was not written, in nanoseconds.
    dropped_from: Option<u64>,
    last_flush: u64,
    pub(super) stats: Option<Stats>,
    pub(super) finished: bool,
    /// Functions by number, and their numbers by what is written of them and, of guests' functions, their
    /// indices: there are no more of them however many instances of a module are watched.
    functions: Vec<Arc<Function>>,
    numbers: HashMap<(Vec<u8>, Option<u32>), u32>,
}

/// The calls of a store.
pub(super) struct Lane {
    number: u32,
    pub(super) frames: Vec<Frame>,
    /// Whether no call has begun in it.
    pub(super) is_new: bool,
    /// How many of the frames are of calls that began before the trace.
    pub(super) earlier: usize,
    /// Arguments of the calls as text, and parameters, where they are needed at the end.
    arguments: Vec<u8>,
    slots: Vec<u64>,
}

/// A call that has begun.
pub(super) struct Frame {
    /// The number of its function.
    pub(super) function: u32,
    id: u64,
    start: u64,
    /// Raw time of the calls that it made.
    inner: u64,
    arguments: usize,
    slots: usize,
    written: bool,
    resumed: bool,
    /// If it began before the trace.
    pub(super) earlier: Option<Earlier>,
}

impl State {
    pub(super) fn new(options: &TraceOptions, mut output: Output) -> State {
        let clock = quanta::Clock::new();
        if options.format == TraceFormat::Chrome && options.events {
            output.buffer.extend_from_slice(chrome::BEGIN);
        }
        State {
            origin: clock.raw(),
            clock,
            format: options.format,
            max_depth: options.max_depth,
            max_string: options.max_string,
            events: options.events,
            prompt: options.prompt,
            text: Text::new(options.color),
            output,
            lanes: Vec::new(),
            by_store: HashMap::new(),
            last: (0, usize::MAX),
            next_lane: 1,
            calls: 0,
            dropped: 0,
            dropped_from: None,
            last_flush: 0,
            stats: options.summary.then(Stats::default),
            finished: false,
            functions: Vec::new(),
            numbers: HashMap::new(),
        }
    }

    /// Gives a function its number.
    pub(super) fn number(&mut self, mut function: Function) -> Arc<Function> {
        let next = self.functions.len() as u32;
        function.number =
            *self.numbers.entry((function.head.clone(), function.index)).or_insert(next);
        let function = Arc::new(function);
        if function.number == next {
            self.functions.push(function.clone());
        }
        function
    }

    /// A call begins; without parameters it is resumed.
    #[inline]
    pub(super) fn begin(
        &mut self,
        function: &Arc<Function>,
        call: &Call<'_>,
        params: Option<&[u64]>,
    ) {
        if self.finished {
            return;
        }
        let at = self.lane(call.store_id());
        self.begin_frame(at, function, call, params, None);
    }

    #[inline]
    pub(super) fn begin_frame(
        &mut self,
        at: usize,
        function: &Arc<Function>,
        call: &Call<'_>,
        params: Option<&[u64]>,
        earlier: Option<Earlier>,
    ) {
        let depth = self.lanes[at].frames.len();
        let shown = self.events && depth < self.max_depth;
        self.calls += u64::from(shown);
        let written = shown && self.output.has_room();
        if shown && !written {
            self.drop_call();
        }
        let lane = &mut self.lanes[at];
        let (arguments, slots) = (lane.arguments.len(), lane.slots.len());
        if written {
            self.write_begin(at, function, call, params);
        }
        if let Some(stats) = &mut self.stats {
            stats.begin(self.lanes[at].number, function, params.is_some());
        }
        if self.prompt && written {
            self.write_promptly();
        }
        self.lanes[at].is_new = false;
        // Last, so that what was done here is not in the call's own time.
        self.lanes[at].frames.push(Frame {
            function: function.number,
            // One that began before has none that is known.
            id: if earlier.is_some() { 0 } else { call.id() },
            start: self.clock.raw(),
            inner: 0,
            arguments,
            slots,
            written,
            resumed: params.is_none(),
            earlier,
        });
    }

    #[inline]
    fn write_begin(
        &mut self,
        at: usize,
        function: &Function,
        call: &Call<'_>,
        params: Option<&[u64]>,
    ) {
        let lane = &mut self.lanes[at];
        let place =
            Place { lane: lane.number, several: self.next_lane > 2, depth: lane.frames.len() };
        let reader = function.system.map(|_| Reader::new(call.caller(), self.max_string));
        if function.system.is_some() {
            lane.slots.extend_from_slice(params.unwrap_or_default());
        }
        let beginning = Beginning { function, params, reader, call, place };
        let out = &mut self.output.buffer;
        match self.format {
            TraceFormat::Text => self.text.begin(out, &beginning),
            TraceFormat::Log => log::begin(out, &beginning),
            TraceFormat::Json | TraceFormat::Chrome => {
                arguments(&mut lane.arguments, &beginning, Style::Json);
            }
        }
        if self.prompt && function.host {
            self.output.flush();
        } else {
            self.output.settle();
        }
    }

    /// A call ends.
    #[inline]
    pub(super) fn end(&mut self, function: &Function, call: &Call<'_>, end: End<'_>) {
        let now = self.clock.raw();
        if self.finished {
            return;
        }
        let at = self.lane(call.store_id());
        let id = call.id();
        // The end of every call that begins is notified, so this is the last one, unless it began before.
        if self.lanes[at].frames.last().is_none_or(|f| f.id != id || f.earlier.is_some()) {
            return;
        }
        let Some(frame) = self.lanes[at].frames.pop() else { return };
        let reader = function.system.map(|_| Reader::new(call.caller(), self.max_string));
        self.end_frame(at, function, &frame, now, end, Some((call, reader)));
    }

    #[inline]
    pub(super) fn end_frame(
        &mut self,
        at: usize,
        function: &Function,
        frame: &Frame,
        now: u64,
        end: End<'_>,
        call: Option<(&Call<'_>, Option<Reader<'_>>)>,
    ) {
        let took = now.saturating_sub(frame.start);
        let lane = &mut self.lanes[at];
        let depth = lane.frames.len();
        if let Some(outer) = lane.frames.last_mut() {
            outer.inner += took;
        }
        if let Some(stats) = &mut self.stats {
            stats.end(lane.number, function, took, frame.inner, &end);
        }
        if !frame.written {
            return;
        }
        let start = self.clock.delta_as_nanos(self.origin, frame.start);
        let (call, reader) = call.map_or((None, None), |(call, reader)| (Some(call), reader));
        let ending = Ending {
            function,
            place: Place { lane: lane.number, several: self.next_lane > 2, depth },
            id: frame.id,
            start,
            duration: self.clock.delta_as_nanos(0, took),
            resumed: frame.resumed,
            end,
            arguments: &lane.arguments[frame.arguments..],
            slots: &lane.slots[frame.slots..],
            reader,
            call,
        };
        let out = &mut self.output.buffer;
        match self.format {
            TraceFormat::Text => self.text.end(out, &ending),
            TraceFormat::Log => log::end(out, &ending),
            TraceFormat::Json => json::call(out, &ending),
            TraceFormat::Chrome => chrome::call(out, &ending),
        }
        let ended = start + ending.duration;
        lane.arguments.truncate(frame.arguments);
        lane.slots.truncate(frame.slots);
        self.output.settle();
        let waiting = || function.host || ended.saturating_sub(self.last_flush) > PROMPT;
        if self.prompt && waiting() {
            self.last_flush = ended;
            self.output.flush();
        }
    }

    /// Writes what was gathered, if people wait for it.
    fn write_promptly(&mut self) {
        let now = self.clock.delta_as_nanos(self.origin, self.clock.raw());
        if now.saturating_sub(self.last_flush) > PROMPT {
            self.last_flush = now;
            self.output.flush();
        }
    }

    #[cold]
    fn drop_call(&mut self) {
        self.dropped += 1;
        if self.dropped_from.is_none() {
            self.dropped_from = Some(self.clock.delta_as_nanos(self.origin, self.clock.raw()));
        }
    }

    /// The index of a store's lane.
    #[inline]
    pub(super) fn lane(&mut self, store: u64) -> usize {
        if self.last.0 == store && self.last.1 < self.lanes.len() {
            return self.last.1;
        }
        self.other_lane(store)
    }

    #[inline(never)]
    fn other_lane(&mut self, store: u64) -> usize {
        if self.lanes.len() >= MANY_LANES && !self.by_store.contains_key(&store) {
            self.forget_lanes();
        }
        let at = match self.by_store.get(&store) {
            Some(at) => *at,
            None => self.new_lane(store),
        };
        self.last = (store, at);
        at
    }

    fn new_lane(&mut self, store: u64) -> usize {
        let number = self.next_lane;
        self.next_lane += 1;
        if self.events && self.output.has_room() {
            let current = std::thread::current();
            let unnamed = format!("store {store}");
            let thread = current.name().unwrap_or(&unnamed);
            match self.format {
                TraceFormat::Text | TraceFormat::Log => {}
                TraceFormat::Json => json::lane(&mut self.output.buffer, number, store, thread),
                TraceFormat::Chrome => chrome::lane(&mut self.output.buffer, number, thread),
            }
        }
        let (frames, arguments, slots) = (Vec::new(), Vec::new(), Vec::new());
        self.lanes.push(Lane { number, frames, is_new: true, earlier: 0, arguments, slots });
        self.by_store.insert(store, self.lanes.len() - 1);
        self.lanes.len() - 1
    }

    /// A store that comes back gets a new lane.
    fn forget_lanes(&mut self) {
        let old = std::mem::take(&mut self.by_store);
        let mut lanes: Vec<Option<Lane>> = self.lanes.drain(..).map(Some).collect();
        for (store, at) in old {
            if let Some(lane) = lanes[at].take_if(|lane| !lane.frames.is_empty()) {
                self.by_store.insert(store, self.lanes.len());
                self.lanes.push(lane);
            }
        }
        self.last.1 = usize::MAX;
    }

    /// Writes what was gathered while nobody else does: the guest may hang. Says whether there may be more.
    pub(super) fn watch_over(&mut self) -> bool {
        // Before the first call there may be a beginning that is of no use alone.
        if !self.finished && self.next_lane > 1 && !self.output.buffer.is_empty() {
            self.write_promptly();
        }
        !self.finished
    }

    /// Writes all that was gathered.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        self.output.flush();
        self.output.result()
    }

    /// Ends the trace: what happens from now on is not seen.
    pub(super) fn finish(&mut self) -> io::Result<()> {
        if std::mem::replace(&mut self.finished, true) {
            return self.output.result();
        }
        let now = self.clock.raw();
        for at in 0..self.lanes.len() {
            while let Some(frame) = self.lanes[at].frames.pop() {
                let function = self.function(frame.function);
                self.end_frame(at, &function, &frame, now, End::Unfinished, None);
            }
        }
        if self.events {
            let (dropped, from) = (self.dropped, self.dropped_from);
            let out = &mut self.output.buffer;
            self.text.end_line(out);
            match self.format {
                TraceFormat::Text | TraceFormat::Log => note(out, dropped, from),
                TraceFormat::Json => json::end(out, self.calls, dropped, from),
                TraceFormat::Chrome => chrome::end(out, dropped, from),
            }
        }
        self.flush()
    }

    /// How many calls were shown, or would have been.
    pub(super) fn calls(&self) -> u64 {
        self.calls
    }

    /// How many of them were not written.
    pub(super) fn dropped(&self) -> u64 {
        self.dropped
    }

    /// The function with a number.
    pub(super) fn function(&self, number: u32) -> Arc<Function> {
        self.functions[number as usize].clone()
    }

    /// The time now, raw.
    pub(super) fn now(&self) -> u64 {
        self.clock.raw()
    }

    /// Raw time in nanoseconds.
    pub(super) fn nanoseconds(&self, raw: u64) -> u64 {
        self.clock.delta_as_nanos(0, raw)
    }
}

/// What is missing, for people.
fn note(out: &mut Vec<u8>, dropped: u64, from: Option<u64>) {
    let Some(from) = from else { return };
    out.extend_from_slice("… the limit was reached after ".as_bytes());
    duration(out, from);
    out.extend_from_slice(b": ");
    integer(out, dropped);
    out.extend_from_slice(b" calls that began later are not shown\n");
}
