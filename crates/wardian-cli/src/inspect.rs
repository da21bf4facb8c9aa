//! `wardian inspect`: what is shown; [`text`] and [`json`] say how.

mod abilities;
mod checkpoint;
mod diff;
mod graph;
mod json;
mod profile;
mod sizes;
mod text;

use crate::args::InspectArgs;
use crate::checkpoint::{Key, Place};
use crate::input::Input;
use crate::outfile::OutFile;
use crate::output;
use crate::profile_file::ProfileFile;
use crate::report::{self, Exit, Failure, Result};
use crate::section::{self, Producers};
use graph::{Format, Graph};
use sizes::Sizes;
use std::collections::HashMap;
use std::io::Write;
use std::path::Path;
use wardian::{CoreFeatures, ExternType, FuncType, inspect::DebugInfo};
use wardian_module::{ItemIndex, Module};
use wardian_types::{Index, IndexVec};

pub(crate) fn inspect(args: &InspectArgs) -> Result<Exit> {
    let place = Place::of(&args.file)?;
    let mut input = read(&place)?;
    input.no_artifact()?;
    let key = || Key::of(args.checkpoint_key.as_deref());
    if let Some(other) = &args.diff {
        let other_place = Place::of(other)?;
        let other = read(&other_place)?;
        let (key, sides) = (key()?, ((&input, &place), (&other, &other_place)));
        output::write(diff::show(sides.0, sides.1, key.as_ref(), args.json)?.as_bytes())?;
        return Ok(Exit::SUCCESS);
    }
    if crate::checkpoint::is_checkpoint(&input.bytes) && args.profile_data.is_none() {
        let shown = checkpoint::show(&input, &place, key()?.as_ref(), args.json)?;
        output::write(shown.as_bytes())?;
        return Ok(Exit::SUCCESS);
    }
    match &args.symbols {
        Some(file) => crate::symbols::add(&mut input, file)?,
        // A summary shows the file as it is.
        None if args.sizes || args.graph.is_some() || args.profile_data.is_some() => {
            crate::symbols::follow(&mut input, &args.file)
        }
        None => {}
    }
    if let Some(file) = &args.profile_data {
        let shown = profile::show(&ProfileFile::read(file)?, input, args.json)?;
        output::write(shown.as_bytes())?;
        return Ok(Exit::SUCCESS);
    }
    let module = decode(&input, CoreFeatures::all())?;
    if let Some(path) = &args.graph {
        write_graph(path, args, &module)?;
    }
    let mut summary = Summary::new(&input, &module);
    summary.sizes = args.sizes.then(|| Sizes::of(&module));
    if args.sizes && module.debug_info() == DebugInfo::TooComplex {
        report::note(&DebugInfo::TooComplex.to_string());
    }
    let shown = if args.json { json::render(&summary)? } else { text::render(&summary) };
    output::write(shown.as_bytes())?;
    Ok(Exit::SUCCESS)
}

fn read(place: &Place) -> anyhow::Result<Input> {
    match place {
        Place::File(path) => Input::read(path),
        Place::Object(_) => Input::read_from(place.to_string(), || place.reader()),
    }
}

fn write_graph(path: &Path, args: &InspectArgs, module: &Module) -> Result<()> {
    let Some(format) = Format::of(path) else {
        return Err(Failure::usage(format!(
            "{} does not end in .svg or .dot, the formats of graphs",
            path.display()
        )));
    };
    let most = usize::from(args.graph_limit);
    let graph = Graph::of(module, most, args.graph_from.as_deref()).map_err(Failure::usage)?;
    let graph = graph.render(format);
    Ok(OutFile::open(path.to_owned())?
        .replace("graph", |writer| writer.write_all(graph.as_bytes()))?)
}

/// Validates a module without compiling it.
pub(crate) fn decode(input: &Input, features: CoreFeatures) -> anyhow::Result<Module> {
    input.no_checkpoint()?;
    let binary = wardian_module::to_binary(&input.bytes).map_err(|e| input.invalid(e))?;
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    let error = match Module::decode(binary.into_owned(), features, threads) {
        Err(error) if error.feature().is_none() => error,
        decoded => return decoded.map_err(|e| input.invalid(e)),
    };
    // What a module needs that is not there says more than where validation found out.
    let binary = wardian_module::to_binary(&input.bytes).map_err(|e| input.invalid(e))?;
    let unsupported = wardian_module::unsupported_features(&binary).join(", ");
    Err(match unsupported.is_empty() {
        true => input.invalid(error),
        false => input.invalid(format!(
            "it needs features that wardian does not have: {unsupported}; {error}"
        )),
    })
}

/// What there is to know about a module.
struct Summary<'a> {
    file: &'a str,
    module: &'a Module,
    kind: &'static str,
    features: CoreFeatures,
    sections: Vec<Section<'a>>,
    producers: Producers,
    target_features: Vec<String>,
    /// If they are asked for.
    sizes: Option<Sizes>,
}

/// A section of the file.
struct Section<'a> {
    kind: &'static str,
    /// Of a custom section.
    name: Option<&'a str>,
    offset: usize,
    size: usize,
}

/// A memory, table, global or tag.
struct Item {
    imported: bool,
    /// The first name under which it is exported.
    export: Option<String>,
    ty: ExternType,
}

impl<'a> Summary<'a> {
    fn new(input: &'a Input, module: &'a Module) -> Summary<'a> {
        let custom = |name| module.custom_section(name);
        Summary {
            file: &input.name,
            module,
            kind: kind(module),
            features: module.features_needed(),
            sections: sections(module),
            producers: custom("producers").map(section::producers).unwrap_or_default(),
            target_features: custom("target_features")
                .map(section::target_features)
                .unwrap_or_default(),
            sizes: None,
        }
    }

    /// Bytes of the bodies of all functions.
    fn code_size(&self) -> usize {
        self.module.info().bodies.iter().map(|b| b.len()).sum()
    }

    /// Index and name of the start function.
    fn start(&self) -> Option<(u32, Option<&str>)> {
        let start = self.module.info().start?;
        Some((start.as_u32(), self.module.func_name(start)))
    }

    fn memories(&self) -> Vec<Item> {
        let info = self.module.info();
        self.items(&info.memories, info.imported_memories, ItemIndex::Memory)
    }

    fn tables(&self) -> Vec<Item> {
        let info = self.module.info();
        self.items(&info.tables, info.imported_tables, ItemIndex::Table)
    }

    fn globals(&self) -> Vec<Item> {
        let info = self.module.info();
        self.items(&info.globals, info.imported_globals, ItemIndex::Global)
    }

    fn tags(&self) -> Vec<Item> {
        let info = self.module.info();
        self.items(&info.tags, info.imported_tags, ItemIndex::Tag)
    }

    fn items<I: Index, T>(
        &self,
        space: &IndexVec<I, T>,
        imported: u32,
        index: fn(I) -> ItemIndex,
    ) -> Vec<Item> {
        let info = self.module.info();
        // Of several names the first one.
        let exports = info.exports.iter().rev();
        let names: HashMap<ItemIndex, &str> = exports.map(|e| (e.item, e.name.as_str())).collect();
        let item = |i: I| Item {
            imported: i.index() < imported as usize,
            export: names.get(&index(i)).map(|name| (*name).to_owned()),
            ty: info.item_type(index(i)),
        };
        space.indices().map(item).collect()
    }
}

/// What `wardian run` would make of it.
fn kind(module: &Module) -> &'static str {
    let entry = ExternType::Func(FuncType::new([], []));
    let info = module.info();
    let has = |name| info.exports.iter().any(|e| e.name == name && info.item_type(e.item) == entry);
    if has("_start") {
        "command"
    } else if has("_initialize") {
        "reactor"
    } else {
        "library"
    }
}

fn sections(module: &Module) -> Vec<Section<'_>> {
    let info = module.info();
    let mut customs = info.customs.iter();
    let section = |s: &wardian_module::Section| Section {
        kind: section::name(s.id),
        name: if s.id == 0 { customs.next().map(|c| c.name.as_str()) } else { None },
        offset: s.range.start,
        size: s.range.len(),
    };
    info.sections.iter().map(section).collect()
}
