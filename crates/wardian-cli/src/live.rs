//! Looking at a guest that runs: what `wardian top` and `wardian attach` are answered with.
//!
//! A look samples the guest for a while, or listens to its calls. Between looks no sample is taken and nobody listens,
//! so that a guest at which nobody looks runs as without.

mod listen;

use crate::args::{EngineArg, RunArgs};
use crate::observe::Observer;
use crate::wasi::Host;
use listen::Listening;
use serde::{Deserialize, Serialize};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use wardian::Store;
use wardian_observe::{FunctionKind, Profile, Profiler, ProfilerOptions, printable, shorten};
use wardian_wasi::WasiCtx;

/// Functions that are listed.
const FUNCTIONS: usize = 40;
/// Open files that are listed.
const FILES: usize = 40;
/// Columns of a name.
const COLUMNS: usize = 160;
/// How often it is found out whether a look is still wanted.
const AGAIN: Duration = Duration::from_millis(200);
/// How often samples are taken.
const INTERVAL: Duration = Duration::from_millis(1);
/// Looks at once.
const LOOKS: usize = 8;
/// How long the end of the guest waits for those who look, to write down what they saw.
const LAST_LOOK: Duration = Duration::from_secs(5);

/// A guest that can be looked at. Clones are the same.
#[derive(Clone)]
pub(crate) struct Live(Arc<Inner>);

struct Inner {
    profiler: Profiler,
    program: String,
    engine: EngineArg,
    began: Instant,
    wasi: Mutex<Option<WasiCtx>>,
    looks: Mutex<Looks>,
    listening: Mutex<Listening>,
    changed: Condvar,
}

#[derive(Default)]
struct Looks {
    /// Why there can be none.
    refused: Option<String>,
    /// How many are under way.
    active: usize,
    ended: bool,
}

/// What a guest did during a look.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    pub(crate) program: String,
    pub(crate) engine: String,
    /// How long the process has run, and how long the look took.
    pub(crate) uptime_ms: u64,
    pub(crate) look_ms: u64,
    /// Bytes of linear memories that are known.
    pub(crate) memory: u64,
    pub(crate) threads: u64,
    pub(crate) open: u64,
    /// The first of what is open.
    pub(crate) files: Vec<String>,
    pub(crate) samples: u64,
    /// Where time went, the most first.
    pub(crate) functions: Vec<Share>,
    /// How much of it host functions took, such as those of WASI.
    pub(crate) host: Vec<Share>,
}

/// A function's share of the time of all threads.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Share {
    pub(crate) name: String,
    /// In thousandths: of the function itself, and with all that it called.
    pub(crate) own: u64,
    pub(crate) total: u64,
}

impl Live {
    pub(crate) fn new(args: &RunArgs) -> Live {
        let file = args.file();
        let name = file.file_name().unwrap_or(file.as_os_str()).to_string_lossy();
        let options = ProfilerOptions::sampling().with_program(&*name);
        // A program that is looked at runs for long enough.
        let options = options.with_guest_frames(args.guest_frames).with_interval(INTERVAL);
        Live(Arc::new(Inner {
            profiler: Profiler::new(options),
            program: name.into_owned(),
            engine: EngineArg::of(args.engine()),
            began: Instant::now(),
            wasi: Mutex::default(),
            looks: Mutex::default(),
            listening: Mutex::default(),
            changed: Condvar::new(),
        }))
    }

    /// Guests of a store can be looked at from now on.
    pub(crate) fn watch(&self, store: &mut Store<Host>) {
        let wasi = store.data().wasi.clone();
        self.0.wasi.lock().unwrap_or_else(|e| e.into_inner()).get_or_insert(wasi);
        if let Err(error) = self.0.profiler.watch_store_paused(&mut *store) {
            self.looks().refused = Some(error.to_string());
        }
        self.add_guest(store.checkpoint_request());
    }

    /// The same for the stores of the guest's other threads, which an observer sees too.
    pub(crate) fn with_threads(
        live: Option<&Live>,
        observer: Arc<dyn Observer>,
    ) -> Arc<dyn Observer> {
        match live {
            Some(live) => Arc::new(Threads { live: live.clone(), observer }),
            None => observer,
        }
    }

    fn looks(&self) -> MutexGuard<'_, Looks> {
        self.0.looks.lock().unwrap_or_else(|e| e.into_inner())
    }

    /// Somebody is about to look: when the guest ends it is waited until this is dropped.
    ///
    /// None if it has ended.
    pub(crate) fn visit(&self) -> Result<Option<Visit>, String> {
        let mut looks = self.looks();
        if looks.ended {
            return Ok(None);
        }
        if looks.active >= LOOKS {
            return Err("too many look at the guest already".into());
        }
        looks.active += 1;
        Ok(Some(Visit(self.clone())))
    }

    /// Samples the guest for so long, or until it ends or nobody wants it any more. Others may look meanwhile.
    pub(crate) fn look(
        &self,
        time: Duration,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<Profile, String> {
        let inner = &*self.0;
        if let Some(refused) = &self.looks().refused {
            return Err(format!("the guest cannot be sampled: {refused}"));
        }
        inner.profiler.resume().map_err(|error| error.to_string())?;
        let mark = inner.profiler.mark();
        self.wait(time, is_wanted);
        let profile = mark.map(|mark| inner.profiler.profile_since(&mark));
        inner.profiler.pause();
        profile.ok_or_else(|| "the guest is not sampled".into())
    }

    /// Waits for so long, or until the guest ends or nobody wants to wait any more.
    fn wait(&self, time: Duration, is_wanted: &dyn Fn() -> bool) {
        let began = Instant::now();
        let mut looks = self.looks();
        loop {
            let left = time.saturating_sub(began.elapsed());
            if looks.ended || left.is_zero() || !is_wanted() {
                return;
            }
            let waits = self.0.changed.wait_timeout(looks, left.min(AGAIN));
            looks = waits.unwrap_or_else(|e| e.into_inner()).0;
        }
    }

    /// An empty profile of another kind than samples, which becomes one of calls by its listeners.
    pub(crate) fn profiler(&self, options: ProfilerOptions) -> Profiler {
        Profiler::new(options.with_program(&*self.0.program))
    }

    /// What the guest does for so long.
    pub(crate) fn view(
        &self,
        time: Duration,
        is_wanted: &dyn Fn() -> bool,
    ) -> Result<View, String> {
        let began = Instant::now();
        let profile = self.look(time, is_wanted)?;
        let inner = &*self.0;
        let wasi = inner.wasi.lock().unwrap_or_else(|e| e.into_inner()).clone();
        let open = wasi.as_ref().map(WasiCtx::open_files).unwrap_or_default();
        let (_, memory) = inner.profiler.stores();
        let (functions, host) = shares(&profile);
        let milliseconds = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        Ok(View {
            program: shown(&inner.program),
            engine: inner.engine.name().into(),
            uptime_ms: milliseconds(inner.began.elapsed()),
            look_ms: milliseconds(began.elapsed()),
            memory,
            threads: 1 + wasi.map_or(0, |wasi| wasi.threads() as u64),
            open: open.len() as u64,
            files: open
                .iter()
                .take(FILES)
                .map(|(fd, name)| format!("{fd} {}", shown(name)))
                .collect(),
            samples: profile.meta().samples,
            functions,
            host,
        })
    }

    /// The guest has ended: those who look write down what they saw.
    pub(crate) fn end(&self) {
        let mut looks = self.looks();
        looks.ended = true;
        self.0.changed.notify_all();
        let waits = self.0.changed.wait_timeout_while(looks, LAST_LOOK, |looks| looks.active > 0);
        drop(waits);
    }
}

/// A look that is under way.
pub(crate) struct Visit(Live);

impl Drop for Visit {
    fn drop(&mut self) {
        self.0.looks().active -= 1;
        self.0.0.changed.notify_all();
    }
}

struct Threads {
    live: Live,
    observer: Arc<dyn Observer>,
}

impl Observer for Threads {
    fn store(&self, store: &mut Store<Host>) -> wardian::Result<()> {
        self.observer.store(store)?;
        self.live.watch(store);
        Ok(())
    }
}

fn shown(name: &str) -> String {
    shorten(&printable(name), COLUMNS)
}

/// The shares of the functions in which most time was spent, and those of host functions.
fn shares(profile: &Profile) -> (Vec<Share>, Vec<Share>) {
    let samples = profile.value_index("samples").unwrap_or(0);
    let all = profile.total(samples).max(1);
    let mut functions = profile.summary().functions;
    functions.retain(|function| function.total[samples] > 0);
    functions.sort_by_key(|function| {
        std::cmp::Reverse((function.own[samples], function.total[samples]))
    });
    let share = |function: &wardian_observe::FunctionSummary| Share {
        name: shown(&function.name),
        own: function.own[samples] * 1000 / all,
        total: function.total[samples] * 1000 / all,
    };
    let is_host = |function: &&wardian_observe::FunctionSummary| {
        profile.functions()[function.function].kind == FunctionKind::Host
    };
    let host = functions.iter().filter(is_host).take(FUNCTIONS).map(share).collect();
    (functions.iter().take(FUNCTIONS).map(share).collect(), host)
}
