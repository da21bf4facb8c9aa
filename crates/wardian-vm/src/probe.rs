//! What this system gives, and which lesser way is taken where it lacks something.
//!
//! Every answer comes from doing it: a page is made executable, a range is reserved, a file is made. Nothing is
//! inferred from versions. The ways themselves are where they are needed; this module only asks for the same things.

use crate::mapping::Mapping;
use crate::memory::GUARDED_SIZE;
use crate::system::{self, signals};
use crate::{code_memory, heap};

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
    Ability::new("memory files", system::memory_files(), system::FILES_INSTEAD)
}

fn written_pages() -> Ability {
    Ability::new("written pages", system::written_pages(), system::WRITTEN_INSTEAD)
}

fn barriers() -> Ability {
    Ability::new(
        "barriers",
        system::barriers(),
        "who stops a guest of another thread waits for 50 µs",
    )
}

fn trap_signals() -> Ability {
    Ability::new("signals of traps", signals::disposition(), signals::INSTEAD)
}

fn mappings() -> Ability {
    Ability::new(
        "mappings",
        system::mappings(),
        "fewer instances at a time; what is refused says so",
    )
}

fn address_space() -> Ability {
    Ability::new(
        "address space",
        system::address_space(),
        "smaller reservations; memories move when they grow past theirs",
    )
}

fn gib(bytes: usize) -> String {
    format!("{:.1} GiB", bytes as f64 / (1_u64 << 30) as f64)
}
