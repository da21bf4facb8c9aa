//! Units in other files: those of a compiler, damaged ones, and those that are made to cost more than they are worth.

use super::super::tests::{LONG, Random, Sections, abbreviation, ask, read, sections, words};
use super::super::{DebugInfo, Dwarf, Package, PackageError};
use super::{SplitUnit, split_units};
use std::time::Instant;
use wasmparser::{Parser, Payload};

/// The custom sections of a file of the split program.
fn file(version: u8, name: &str) -> Sections {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/programs/split");
    let bytes = std::fs::read(format!("{folder}/v{version}/{name}")).unwrap();
    let payloads = Parser::new(0).parse_all(&bytes);
    let custom = |payload| match payload {
        Ok(Payload::CustomSection(section)) => {
            Some((section.name().to_owned(), section.data().to_vec()))
        }
        _ => None,
    };
    payloads.filter_map(custom).collect()
}

fn units(sections: &Sections) -> Vec<SplitUnit> {
    split_units(|name| sections.get(name).map(Vec::as_slice))
}

fn add(package: &mut Package, file: &Sections) -> Result<(), PackageError> {
    package.add(|name| file.get(name).map(Vec::as_slice))
}

/// The module with a package of these files.
fn packed(module: &Sections, files: &[Sections]) -> Sections {
    let mut package = Package::default();
    files.iter().for_each(|file| add(&mut package, file).unwrap());
    module.clone().into_iter().chain(package.sections()).collect()
}

/// The places of code that have more than one: what is inlined, and where.
fn inlined(sections: &Sections) -> Vec<String> {
    let dwarf = read(sections);
    let mut found: Vec<String> = Vec::new();
    for offset in 0..200 {
        let place = |place: &crate::SourceLocation| {
            let function = place.function.as_deref().unwrap_or("?");
            let file = place.file.rsplit('/').next().unwrap();
            format!("{function} {file}:{}", place.line.unwrap_or(0))
        };
        let places: Vec<String> =
            dwarf.locate(wardian_types::CodeOffset::from_u32(offset)).iter().map(place).collect();
        let text = places.join(" < ");
        if !places.is_empty() && !found.contains(&text) {
            found.push(text);
        }
    }
    assert_eq!(dwarf.info(), DebugInfo::Present);
    found
}

#[test]
fn functions_come_from_the_files_and_from_packages() {
    for version in [4, 5] {
        let module = file(version, "split.wasm");
        let files = ["main.dwo", "part.dwo"].map(|name| file(version, name));
        let names: Vec<_> = units(&module).iter().map(|u| (u.file.clone(), u.found)).collect();
        let name = |name, found| (format!("v{version}/{name}.dwo"), found);
        assert_eq!(names, [name("main", false), name("part", false)]);
        // Lines are in the module.
        let lines = inlined(&module);
        assert!(lines.contains(&"? sum.h:3".to_owned()), "{lines:?}");
        assert!(lines.iter().all(|line| !line.contains('<')), "{lines:?}");
        let whole = module.clone().into_iter().chain(file(version, "split.dwp")).collect();
        let expected = inlined(&whole);
        for place in
            ["divided sum.h:3 < run main.c:13", "divided sum.h:5 < twice part.c:4", "part part.c:8"]
        {
            assert!(expected.contains(&place.to_owned()), "{expected:?}");
        }
        let both = packed(&module, &files);
        assert_eq!(inlined(&both), expected);
        assert!(units(&both).iter().all(|unit| unit.found));
        // One of the two, and one of another build: that of the other version.
        let one = packed(&module, &files[1..]);
        assert_eq!(units(&one).iter().map(|unit| unit.found).collect::<Vec<_>>(), [false, true]);
        assert!(inlined(&one).contains(&"? main.c:13".to_owned()));
        let other = packed(&module, &[file(9 - version, "main.dwo")]);
        assert!(units(&other).iter().all(|unit| !unit.found));
        assert_eq!(inlined(&other), lines);
    }
}

#[test]
fn a_package_can_have_files_of_several_versions() {
    let mut files = [4, 5].map(|version| file(version, "main.dwo")).to_vec();
    files.extend([5, 4].map(|version| file(version, "part.dwo")));
    // Twice is once.
    files.push(files[0].clone());
    for version in [4, 5] {
        let module = file(version, "split.wasm");
        let whole = module.clone().into_iter().chain(file(version, "split.dwp")).collect();
        assert_eq!(inlined(&packed(&module, &files)), inlined(&whole));
    }
    let mut package = Package::default();
    assert_eq!(add(&mut package, &file(5, "split.wasm")), Err(PackageError::Unreadable));
    assert!(package.sections().is_empty());
}

#[test]
fn damaged_files_are_read_without_a_panic() {
    let seeds = std::env::var("WARDIAN_FUZZ_SEEDS").ok().and_then(|n| n.parse().ok());
    let programs = [4, 5].map(|version| {
        let module = file(version, "split.wasm");
        let files = ["main.dwo", "part.dwo", "split.dwp"].map(|name| file(version, name));
        (module, files)
    });
    for seed in 1..=seeds.unwrap_or(3000u64) {
        let mut random = Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let (module, [main, part, package]) = &programs[random.below(2)];
        let start = Instant::now();
        let mut broken = if random.below(2) == 0 { package.clone() } else { main.clone() };
        for _ in 0..1 + random.below(2) {
            let mut names: Vec<_> = broken.keys().cloned().collect();
            names.sort();
            let name = &names[random.below(names.len())];
            random.mutate(broken.get_mut(name).unwrap());
        }
        if broken.contains_key(".debug_cu_index") {
            broken.extend(module.clone());
        } else {
            let mut package = Package::default();
            let _ = add(&mut package, &broken);
            add(&mut package, part).unwrap();
            broken = module.clone().into_iter().chain(package.sections()).collect();
        }
        units(&broken);
        ask(&read(&broken));
        assert!(start.elapsed() < LONG, "seed {seed}: {:?}", start.elapsed());
    }
}

const SKELETON: u8 = 4;
const SPLIT: u8 = 5;
const LOW_PC: [u8; 2] = [0x11, 0x01];
const HIGH_PC: [u8; 2] = [0x12, 0x06];
/// A name in the unit itself.
const FILE: [u8; 2] = [0x76, 0x08];

/// A version 5 unit with an id, and the first table of abbreviations.
fn unit(kind: u8, id: u64, dies: &[u8]) -> Vec<u8> {
    let mut unit = (dies.len() as u32 + 16).to_le_bytes().to_vec();
    unit.extend([5, 0, kind, 4, 0, 0, 0, 0]);
    unit.extend(id.to_le_bytes());
    unit.extend(dies);
    unit
}

/// A module with skeletons of units, and the file of the units: each has a function that inlines calls within each other.
fn made(ids: impl Iterator<Item = u64>, rests: u64, depth: usize) -> (Sections, Sections) {
    let mut abbrev = abbreviation(1, 0x4a, false, &[FILE, LOW_PC, HIGH_PC]);
    abbrev.push(0);
    let range = words(&[0, 1000]);
    let skeleton = [&[1][..], b"a.dwo\0", &range].concat();
    let module = sections([
        (".debug_abbrev", abbrev),
        (".debug_info", ids.flat_map(|id| unit(SKELETON, id, &skeleton)).collect()),
        (".debug_line", Vec::new()),
    ]);
    let mut abbrev = abbreviation(1, 0x11, true, &[]);
    abbrev.extend(abbreviation(2, 0x2e, true, &[LOW_PC, HIGH_PC]));
    abbrev.extend(abbreviation(3, 0x1d, true, &[LOW_PC, HIGH_PC]));
    abbrev.push(0);
    let mut dies = [&[1][..], &[2], &range].concat();
    (0..depth).for_each(|_| dies.extend([&[3][..], &range].concat()));
    dies.extend(vec![0; depth + 2]);
    let rest = sections([
        (".debug_abbrev.dwo", abbrev),
        (".debug_info.dwo", (0..rests).flat_map(|id| unit(SPLIT, id, &dies)).collect()),
    ]);
    (module, rest)
}

#[test]
fn units_cost_no_more_than_they_are_worth() {
    for (name, (module, rest), expected) in [
        ("few", made(0..3, 3, 10), DebugInfo::Present),
        ("deep enough", made(0..1, 1, 256), DebugInfo::Present),
        ("too deep", made(0..1, 1, 257), DebugInfo::TooComplex),
        ("much too deep", made(0..1, 1, 1_000_000), DebugInfo::TooComplex),
        ("one for all", made((0..100_000).map(|_| 0), 1, 200), DebugInfo::TooComplex),
        ("one each", made(0..2000, 2000, 3), DebugInfo::Present),
    ] {
        let start = Instant::now();
        // On a small stack: what is allowed fits there.
        let asked = std::thread::Builder::new().stack_size(1 << 20).spawn(move || {
            let whole = packed(&module, &[rest]);
            let listed = Dwarf::read(|name| whole.get(name).map(Vec::as_slice));
            listed.split_units();
            (listed.info(), ask(&read(&whole)))
        });
        let (listed, asked) = asked.unwrap().join().unwrap();
        assert_eq!(asked, expected, "{name}");
        assert!(listed == expected || name == "one for all", "{name}: {listed:?}");
        assert!(start.elapsed() < LONG, "{name}: {:?}", start.elapsed());
    }
}
