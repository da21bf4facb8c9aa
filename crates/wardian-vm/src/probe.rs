//! What this system gives, and which lesser way is taken where it lacks something.
//!
//! Every answer comes from doing it: a page is made executable, a range is reserved, a file is made. Nothing is
//! inferred from versions. The ways themselves are where they are needed; this module only asks for the same things.

use crate::mapping::Mapping;
use crate::memory::{GUARDED_SIZE, anonymous_file};
use crate::{code_memory, heap, signals};
use rustix::process::Resource;

/// Something that the runtime uses of the system.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Ability {
    /// What it is, in a few words that never change: `executable memory`.
    pub name: &'static str,
    /// Whether it is there.
    pub is_there: bool,
    /// What was found: a size, a limit, why it was refused.
    pub found: String,
    /// What the runtime does without it.
    pub instead: &'static str,
}

impl Ability {
    fn new(
        name: &'static str,
        found: Result<String, impl std::fmt::Display>,
        instead: &'static str,
    ) -> Ability {
        let is_there = found.is_ok();
        let found = found.unwrap_or_else(|error| error.to_string());
        Ability { name, is_there, found, instead }
    }
}

/// What the system gives to this process now. Takes less than a millisecond, and leaves nothing behind.
pub fn abilities() -> Vec<Ability> {
    vec![
        executable_memory(),
        guard_pages(),
        object_heap(),
        memory_files(),
        written_pages(),
        barriers(),
        trap_signals(),
        mappings(),
        address_space(),
    ]
}

fn executable_memory() -> Ability {
    let found = code_memory::may_execute().map(|()| "pages can be made executable".to_owned());
    let instead =
        "guests are interpreted; an engine that was asked to compile everything is refused";
    Ability::new("executable memory", found, instead)
}

fn guard_pages() -> Ability {
    let found =
        Mapping::reserve(GUARDED_SIZE).map(|_| format!("{} can be reserved", gib(GUARDED_SIZE)));
    Ability::new("guard pages", found, "code checks each access to a memory")
}

fn object_heap() -> Ability {
    let size = heap::REACH + heap::GUARD;
    let found = Mapping::reserve(size).map(|_| format!("{} can be reserved", gib(size)));
    Ability::new("object heap", found, "modules that make structs or arrays cannot be instantiated")
}

fn memory_files() -> Ability {
    match anonymous_file::in_memory("wardian-probe") {
        Ok(_) => Ability::new("memory files", Ok::<_, &str>("memfd_create".into()), FILES_INSTEAD),
        Err(error) => {
            let other = match anonymous_file::on_disk() {
                Ok((folder, _)) => {
                    format!("memfd_create: {error}; files without a name in {folder}")
                }
                Err(other) => format!("memfd_create: {error}; files without a name: {other}"),
            };
            Ability::new("memory files", Err(other), FILES_INSTEAD)
        }
    }
}

const FILES_INSTEAD: &str = "files without a name in /dev/shm or the folder for temporary files; without those too, \
                             instances copy their data, and memories cannot be captured";

fn written_pages() -> Ability {
    let (scan, words) = crate::memory::ways_to_find_written();
    let found = match (scan, words) {
        (true, _) => Ok("PAGEMAP_SCAN"),
        (false, true) => Err("no PAGEMAP_SCAN; /proc/self/pagemap can be read"),
        (false, false) => Err("neither PAGEMAP_SCAN nor /proc/self/pagemap"),
    };
    let instead =
        "the words of /proc/self/pagemap are read; without those, snapshots compare all pages";
    Ability::new("written pages", found.map(str::to_owned), instead)
}

fn barriers() -> Ability {
    let found = if signals::has_barrier() {
        Ok("membarrier, private and expedited".to_owned())
    } else {
        Err("membarrier is refused")
    };
    Ability::new("barriers", found, "who stops a guest of another thread waits for 50 µs")
}

fn trap_signals() -> Ability {
    let found = signals::disposition().map(|()| "default, and not blocked".to_owned());
    let instead = "a thread that runs guests unblocks them, and the handler that was there gets what is no trap";
    Ability::new("signals of traps", found, instead)
}

fn mappings() -> Ability {
    /// What a process with some hundred instances needs.
    const ENOUGH: usize = 16 << 10;
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count");
    let found = match most.map(|text| text.trim().parse::<usize>()) {
        Ok(Ok(most)) if most < ENOUGH => Err(format!("vm.max_map_count is {most}")),
        Ok(Ok(most)) => Ok(format!("vm.max_map_count is {most}")),
        _ => Ok("the limit is not known".into()),
    };
    Ability::new("mappings", found, "fewer instances at a time; what is refused says so")
}

fn address_space() -> Ability {
    /// What the reservations of one guest take: memory, heap, code and stack.
    const ENOUGH: u64 = 16 << 30;
    let limit = rustix::process::getrlimit(Resource::As).current;
    let found = match limit {
        _ if usize::BITS < 64 => Err("addresses of 32 bits".into()),
        None => Ok("no limit".to_owned()),
        Some(limit) if limit < ENOUGH => Err(format!("limited to {limit} bytes (RLIMIT_AS)")),
        Some(limit) => Ok(format!("limited to {limit} bytes (RLIMIT_AS)")),
    };
    Ability::new(
        "address space",
        found,
        "smaller reservations; memories move when they grow past theirs",
    )
}

fn gib(bytes: usize) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
