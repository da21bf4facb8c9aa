//! Which locals of a function are read again behind an operator.
//!
//! ```text
//!   local.get 0   call $f   local.get 1   local.set 0   call $g   local.get 1   end
//!                 └ live: 1                             └ live: 1
//! ```
//!
//! The events of a body (reads, writes, branches, calls) are walked backwards, again and again until what is live at
//! the headers of loops does not change any more. The work is bounded: of a function for which it would be too much,
//! every local that is read anywhere counts as live everywhere, which is true if imprecise.

use std::collections::HashMap;
use wardian_types::{IndexVec, LabelIndex, LocalIndex, ModuleOffset, index_types};
use wasmparser::{BinaryReaderError, Catch, FunctionBody, Operator};

/// How many words of sets the analysis may go through, and how many the answer may have.
const MOST_WORK: usize = 1 << 24;
const MOST_WORDS: usize = 1 << 20;
/// How often a body is walked.
const MOST_WALKS: usize = 12;

index_types! {
    /// A local by its position among those that a function reads.
    pub struct ReadIndex;

    /// A loop of a body, by its position among them.
    struct LoopNumber;

    /// An event, by its position.
    struct EventIndex;
}

/// The locals that are live at calls, at the headers of loops, and where the function begins.
#[derive(Debug, Default)]
pub struct Liveness {
    /// The locals that are read anywhere, in ascending order. Sets are of these.
    read: IndexVec<ReadIndex, LocalIndex>,
    points: HashMap<ModuleOffset, Set>,
    /// By the position of a loop.
    loops: HashMap<ModuleOffset, Inside>,
    at_start: Set,
    /// Nothing is known but what is read.
    coarse: bool,
    makes_calls: bool,
}

type Set = Box<[u64]>;

/// What is inside of a loop.
#[derive(Clone, Debug)]
struct Inside {
    /// The locals that are written.
    written: Set,
    /// Those that are live at calls.
    at_calls: Set,
    /// Whether there is a call behind which the function continues.
    has_calls: bool,
}

impl Liveness {
    /// Analyses a valid body.
    ///
    /// # Errors
    ///
    /// The body is malformed.
    pub fn of(body: &FunctionBody<'_>) -> Result<Liveness, BinaryReaderError> {
        let events = Events::read(body)?;
        let mut liveness = Liveness {
            read: events.read.clone().into(),
            makes_calls: events.makes_calls,
            ..Liveness::default()
        };
        liveness.coarse = events.is_too_large() || !liveness.solve(&events);
        Ok(liveness)
    }

    /// The locals that are read anywhere, in ascending order.
    pub fn read(&self) -> &IndexVec<ReadIndex, LocalIndex> {
        &self.read
    }

    /// Where a local is among those that are read.
    pub fn rank(&self, local: LocalIndex) -> Option<ReadIndex> {
        self.read.as_slice().binary_search(&local).ok().map(ReadIndex::from_usize)
    }

    /// Whether the function calls any.
    pub fn makes_calls(&self) -> bool {
        self.makes_calls
    }

    /// The locals that are read behind the call, or inside of or behind the loop, at this position in the module, in
    /// ascending order.
    pub fn live_at(&self, position: ModuleOffset) -> Vec<ReadIndex> {
        match self.points.get(&position) {
            Some(set) if !self.coarse => members(set).collect(),
            _ => self.read.indices().collect(),
        }
    }

    /// The same where the function begins.
    pub fn live_at_start(&self) -> Vec<ReadIndex> {
        if self.coarse { self.read.indices().collect() } else { members(&self.at_start).collect() }
    }

    /// Those that are written inside of the loop at this position.
    pub fn written_in(&self, position: ModuleOffset) -> Vec<ReadIndex> {
        match self.loops.get(&position) {
            Some(inside) if !self.coarse => members(&inside.written).collect(),
            _ => self.read.indices().collect(),
        }
    }

    /// Those that are live at calls inside of the loop at this position, and not written there; none if it has no call
    /// behind which the function continues.
    pub fn kept_for_calls(&self, position: ModuleOffset) -> Option<Vec<ReadIndex>> {
        let inside = self.loops.get(&position).filter(|inside| inside.has_calls && !self.coarse)?;
        let kept: Set =
            inside.at_calls.iter().zip(&inside.written).map(|(live, set)| live & !set).collect();
        Some(members(&kept).collect())
    }

    /// Returns whether an end was found.
    fn solve(&mut self, events: &Events) -> bool {
        let mut headers: IndexVec<LoopNumber, Set> =
            events.loops.iter().map(|_| events.empty()).collect();
        for _ in 0..MOST_WALKS {
            let mut walk = Walk::new(events, &mut headers);
            walk.backwards();
            if walk.changed {
                continue;
            }
            self.at_start = walk.live.clone();
            self.points = walk.points;
            for (position, header) in events.loops.iter().zip(headers) {
                self.points.insert(*position, header);
            }
            self.loops = events.loops(&self.points);
            return true;
        }
        false
    }
}

fn members(set: &[u64]) -> impl Iterator<Item = ReadIndex> + '_ {
    set.iter().enumerate().flat_map(|(word, bits)| {
        (0..64)
            .filter(move |bit| bits & 1 << bit != 0)
            .map(move |bit| ReadIndex::from_usize(word * 64 + bit))
    })
}

fn insert(set: &mut Set, local: ReadIndex) {
    set[local.index() / 64] |= 1 << (local.index() % 64);
}

fn add(to: &mut Set, from: &Set) {
    for (to, from) in to.iter_mut().zip(from) {
        *to |= from;
    }
}

/// What a body does with locals.
enum Event {
    Get(ReadIndex),
    Set(ReadIndex),
    /// A call, by its position.
    Call(ModuleOffset),
    Block,
    Loop(LoopNumber),
    If,
    Else,
    /// A block with handlers at these labels, counted from outside of it.
    TryTable(Vec<LabelIndex>),
    Catch,
    End,
    Branch(Vec<LabelIndex>),
    /// Branches, or continues.
    BranchIf(LabelIndex),
    Leave,
    Throw,
}

/// The events of a body.
struct Events {
    all: IndexVec<EventIndex, Event>,
    /// The locals that are read.
    read: Vec<LocalIndex>,
    /// Positions of the loops.
    loops: IndexVec<LoopNumber, ModuleOffset>,
    makes_calls: bool,
    calls: usize,
    /// How many sets a walk goes through.
    sets: usize,
    has_handlers: bool,
}

impl Events {
    fn read(body: &FunctionBody<'_>) -> Result<Events, BinaryReaderError> {
        let mut events = Events {
            all: IndexVec::new(),
            read: locals_read(body)?,
            loops: IndexVec::new(),
            makes_calls: false,
            calls: 0,
            sets: 0,
            has_handlers: false,
        };
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let position = ModuleOffset::from_u64(reader.original_position());
            let op = reader.read()?;
            events.add(&op, position)?;
        }
        Ok(events)
    }

    fn add(&mut self, op: &Operator<'_>, position: ModuleOffset) -> Result<(), BinaryReaderError> {
        use Operator as O;
        let label = LabelIndex::from_u32;
        let rank = |local| {
            let found = self.read.binary_search(&LocalIndex::from_u32(local));
            found.ok().map(ReadIndex::from_usize)
        };
        let event = match *op {
            O::LocalGet { local_index } => rank(local_index).map(Event::Get),
            O::LocalSet { local_index } | O::LocalTee { local_index } => {
                rank(local_index).map(Event::Set)
            }
            O::Call { .. } | O::CallIndirect { .. } | O::CallRef { .. } => {
                (self.makes_calls, self.calls) = (true, self.calls + 1);
                Some(Event::Call(position))
            }
            // A frame may wait in it, as in a call.
            O::MemoryAtomicWait32 { .. } | O::MemoryAtomicWait64 { .. } => {
                self.calls += 1;
                Some(Event::Call(position))
            }
            O::ReturnCall { .. } | O::ReturnCallIndirect { .. } | O::ReturnCallRef { .. } => {
                self.makes_calls = true;
                Some(Event::Leave)
            }
            O::Return | O::Unreachable => Some(Event::Leave),
            O::Block { .. } | O::Try { .. } => Some(Event::Block),
            O::Loop { .. } => Some(Event::Loop(self.loops.push(position))),
            O::If { .. } => Some(Event::If),
            O::Else => Some(Event::Else),
            O::TryTable { ref try_table } => {
                let labels = try_table.catches.iter().map(|catch| match *catch {
                    Catch::One { label, .. }
                    | Catch::OneRef { label, .. }
                    | Catch::All { label }
                    | Catch::AllRef { label } => label,
                });
                Some(Event::TryTable(labels.map(label).collect()))
            }
            O::Catch { .. } | O::CatchAll => Some(Event::Catch),
            O::End | O::Delegate { .. } => Some(Event::End),
            O::Br { relative_depth } => Some(Event::Branch(vec![label(relative_depth)])),
            O::BrIf { relative_depth }
            | O::BrOnNull { relative_depth }
            | O::BrOnNonNull { relative_depth }
            | O::BrOnCast { relative_depth, .. }
            | O::BrOnCastFail { relative_depth, .. } => {
                Some(Event::BranchIf(label(relative_depth)))
            }
            O::BrTable { ref targets } => {
                let labels = targets.targets().chain([Ok(targets.default())]);
                let labels = labels.map(|found| found.map(label));
                let mut labels: Vec<LabelIndex> = labels.collect::<Result<_, _>>()?;
                labels.sort_unstable();
                labels.dedup();
                Some(Event::Branch(labels))
            }
            O::Throw { .. } | O::ThrowRef | O::Rethrow { .. } => Some(Event::Throw),
            _ => None,
        };
        let Some(event) = event else { return Ok(()) };
        self.has_handlers |= matches!(event, Event::TryTable(_) | Event::Catch);
        self.sets += match &event {
            Event::Get(_) | Event::Set(_) => 0,
            Event::Branch(labels) | Event::TryTable(labels) => labels.len(),
            _ => 1,
        };
        self.all.push(event);
        Ok(())
    }

    fn words(&self) -> usize {
        self.read.len().div_ceil(64)
    }

    fn empty(&self) -> Set {
        vec![0; self.words()].into()
    }

    fn is_too_large(&self) -> bool {
        let loops = 2 * self.loops.len();
        self.sets.saturating_mul(self.words()) > MOST_WORK
            || (self.calls + loops).saturating_mul(self.words()) > MOST_WORDS
    }

    /// What is inside of each loop, given what is live at calls.
    fn loops(&self, points: &HashMap<ModuleOffset, Set>) -> HashMap<ModuleOffset, Inside> {
        let mut found = HashMap::new();
        let none = || Inside { written: self.empty(), at_calls: self.empty(), has_calls: false };
        // The open blocks: of a loop its number, and what is in it.
        let mut open: Vec<(Option<LoopNumber>, Inside)> = vec![(None, none())];
        for (at, event) in self.all.enumerated() {
            match event {
                Event::Set(local) => {
                    if let Some((_, inside)) = open.last_mut() {
                        insert(&mut inside.written, *local);
                    }
                }
                Event::Call(position) => {
                    // Behind one that only panics, as compilers say it, nothing is done.
                    let returns =
                        !matches!(self.all.as_slice().get(at.index() + 1), Some(Event::Leave));
                    if let (true, Some(live), Some((_, inside))) =
                        (returns, points.get(position), open.last_mut())
                    {
                        inside.has_calls = true;
                        add(&mut inside.at_calls, live);
                    }
                }
                Event::Loop(number) => open.push((Some(*number), none())),
                Event::Block | Event::If | Event::TryTable(_) => open.push((None, none())),
                Event::End => {
                    let Some((number, inside)) = open.pop() else { break };
                    if let Some((_, around)) = open.last_mut() {
                        add(&mut around.written, &inside.written);
                        add(&mut around.at_calls, &inside.at_calls);
                        around.has_calls |= inside.has_calls;
                    }
                    if let Some(number) = number {
                        found.insert(self.loops[number], inside);
                    }
                }
                _ => {}
            }
        }
        found
    }
}

fn locals_read(body: &FunctionBody<'_>) -> Result<Vec<LocalIndex>, BinaryReaderError> {
    let mut read = Vec::new();
    let mut reader = body.get_operators_reader()?;
    while !reader.eof() {
        if let Operator::LocalGet { local_index } = reader.read()? {
            let index = local_index as usize;
            if read.len() <= index {
                read.resize(index + 1, false);
            }
            read[index] = true;
        }
    }
    let read = IndexVec::<LocalIndex, bool>::from(read);
    Ok(read.enumerated().filter(|(_, is_read)| **is_read).map(|(local, _)| local).collect())
}

/// A walk through the events, last to first.
struct Walk<'a> {
    events: &'a Events,
    /// What is live at the header of each loop, as far as is known.
    headers: &'a mut IndexVec<LoopNumber, Set>,
    changed: bool,
    live: Set,
    open: Vec<Open>,
    points: HashMap<ModuleOffset, Set>,
    /// For the event that opens each block that was met: which it is.
    openers: IndexVec<EventIndex, Option<EventIndex>>,
}

/// A block that the walk is in.
struct Open {
    /// The number of a loop.
    header: Option<LoopNumber>,
    /// What is live at its end.
    at_end: Set,
    /// What is live where its `else` begins.
    otherwise: Option<Set>,
    /// What is live where an exception that is thrown inside of it may continue.
    handlers: Option<Set>,
}

impl<'a> Walk<'a> {
    fn new(events: &'a Events, headers: &'a mut IndexVec<LoopNumber, Set>) -> Walk<'a> {
        let (live, openers) = (events.empty(), openers(&events.all));
        Walk {
            events,
            headers,
            changed: false,
            live,
            open: Vec::new(),
            points: HashMap::new(),
            openers,
        }
    }

    fn backwards(&mut self) {
        for (at, event) in self.events.all.enumerated().rev() {
            self.step(at, event);
        }
    }

    fn step(&mut self, at: EventIndex, event: &Event) {
        match event {
            Event::Get(local) => insert(&mut self.live, *local),
            Event::Set(local) => self.live[local.index() / 64] &= !(1 << (local.index() % 64)),
            Event::Call(position) => {
                if let Some(handlers) = self.handlers() {
                    add(&mut self.live, &handlers);
                }
                self.points.insert(*position, self.live.clone());
            }
            Event::End => self.begin_block(at),
            Event::Else => {
                if let Some(top) = self.open.last_mut() {
                    let at_end = top.at_end.clone();
                    top.otherwise = Some(std::mem::replace(&mut self.live, at_end));
                }
            }
            Event::Catch => self.begin_catch(),
            Event::If => {
                if let Some(top) = self.open.pop() {
                    add(&mut self.live, &top.otherwise.unwrap_or(top.at_end));
                }
            }
            Event::Loop(number) => {
                self.open.pop();
                let header = &mut self.headers[*number];
                if *header != self.live {
                    add(header, &self.live);
                    self.live.clone_from(header);
                    self.changed = true;
                }
            }
            Event::Block | Event::TryTable(_) => drop(self.open.pop()),
            Event::Branch(labels) => self.live = self.targets(labels),
            Event::BranchIf(label) => {
                let target = self.targets(&[*label]);
                add(&mut self.live, &target);
            }
            Event::Leave => self.live = self.events.empty(),
            Event::Throw => self.live = self.handlers().unwrap_or_else(|| self.events.empty()),
        }
    }

    /// The end of a block, at which the walk enters it.
    fn begin_block(&mut self, at: EventIndex) {
        let opener = self.openers[at].and_then(|opener| self.events.all.get(opener));
        let header = match opener {
            Some(Event::Loop(number)) => Some(*number),
            _ => None,
        };
        let handlers = match opener {
            Some(Event::TryTable(labels)) => {
                let mut handlers = self.targets(labels);
                if let Some(around) = self.handlers() {
                    add(&mut handlers, &around);
                }
                Some(handlers)
            }
            _ => None,
        };
        let at_end = self.live.clone();
        self.open.push(Open { header, at_end, otherwise: None, handlers });
    }

    /// The beginning of a `catch`, at which the walk leaves it for what is before it.
    fn begin_catch(&mut self) {
        let around = self.handlers();
        let Some(top) = self.open.last_mut() else { return };
        let mut handlers = std::mem::replace(&mut self.live, top.at_end.clone());
        if let Some(around) = around {
            add(&mut handlers, &around);
        }
        top.handlers = Some(handlers);
    }

    /// What is live at some labels.
    fn targets(&self, labels: &[LabelIndex]) -> Set {
        let mut live = self.events.empty();
        for label in labels {
            let at = self.open.len().checked_sub(1 + label.index());
            match at.map(|at| &self.open[at]) {
                Some(Open { header: Some(number), .. }) => add(&mut live, &self.headers[*number]),
                Some(Open { at_end, .. }) => add(&mut live, at_end),
                None => {}
            }
        }
        live
    }

    /// What is live where an exception that is thrown here may continue in the function.
    fn handlers(&self) -> Option<Set> {
        if !self.events.has_handlers {
            return None;
        }
        self.open.iter().rev().find_map(|open| open.handlers.clone())
    }
}

/// For each event that ends a block, the event that begins it; the body itself begins with none.
fn openers(events: &IndexVec<EventIndex, Event>) -> IndexVec<EventIndex, Option<EventIndex>> {
    let mut open = vec![None];
    let mut found: IndexVec<EventIndex, _> = events.iter().map(|_| None).collect();
    for (at, event) in events.enumerated() {
        match event {
            Event::Block | Event::Loop(_) | Event::If | Event::TryTable(_) => open.push(Some(at)),
            Event::End => found[at] = open.pop().flatten(),
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests;
