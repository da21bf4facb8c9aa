//! Reading and validating a module's bytes.

mod recursive;

use crate::convert::{const_expr, global_type, memory_type, table_type, type_kind};
use crate::{
    CustomSection, DataSegment, DecodeError, ElementItems, ElementSegment, Export, Import,
    ItemIndex, ModuleInfo, Section, SegmentMode, features,
};
use std::ops::Range;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use wardian_types::{
    CoreFeatures, DeclaredType, DefinedFuncIndex, FuncIndex, GlobalIndex, MemoryIndex, StructType,
    TableIndex, TagIndex, TypeIndex,
};
use wasmparser::{
    BinaryReader, DataKind, ElementKind, FuncToValidate, FunctionBody, Parser, Payload, TableInit,
    TypeRef, ValidPayload, Validator, ValidatorResources,
};

/// Reads `bytes`, validating everything; function bodies on up to `threads` threads.
pub(crate) fn decode(
    bytes: &[u8],
    features: CoreFeatures,
    threads: usize,
) -> Result<ModuleInfo, DecodeError> {
    check_header(bytes)?;
    let mut found = read_and_validate(bytes, features::to_parser(features), threads);
    if found.is_err() && recursive::applies(features) {
        match recursive::decode(bytes, features, threads) {
            Err(error) if error.feature().is_none() => {}
            better => found = better,
        }
    }
    found.map_err(|error| {
        // The parser names garbage collection also for what needs less, or more.
        let named = error.feature().is_some_and(|feature| feature != CoreFeatures::GC);
        let Some(offset) = error.offset().filter(|_| !named) else {
            return error;
        };
        error.with_feature(features::missing(features, offset, |set| first_error(bytes, set)))
    })
}

fn read_and_validate(
    bytes: &[u8],
    features: wasmparser::WasmFeatures,
    threads: usize,
) -> Result<ModuleInfo, DecodeError> {
    let mut validator = Validator::new_with_features(features);
    let mut info = ModuleInfo::default();
    // What all bodies have in common: a large module has half a million of them.
    let mut common = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(DecodeError::parser)?;
        if let ValidPayload::Func(func, _) =
            validator.payload(&payload).map_err(DecodeError::parser)?
            && common.is_none()
        {
            common = Some((func.resources, func.features));
        }
        read_payload(&mut info, payload)?;
    }
    if let Some((resources, features)) = common {
        let bodies = Bodies { bytes, info: &info, resources, features };
        bodies.validate(threads).map_err(DecodeError::parser)?;
    }
    Ok(info)
}

/// Reads `bytes` that are known to be valid: declarations only, no validation of bodies.
pub(crate) fn decode_trusted(bytes: &[u8]) -> Result<ModuleInfo, DecodeError> {
    check_header(bytes)?;
    let mut info = ModuleInfo::default();
    for payload in Parser::new(0).parse_all(bytes) {
        read_payload(&mut info, payload.map_err(DecodeError::parser)?)?;
    }
    Ok(info)
}

/// Whether `bytes` are valid under a set of the parser's features.
pub(crate) fn is_valid(bytes: &[u8], features: wasmparser::WasmFeatures) -> bool {
    Validator::new_with_features(features).validate_all(bytes).is_ok()
}

/// The offset of the first error under a set of features.
pub(crate) fn first_error(bytes: &[u8], features: CoreFeatures) -> Option<u64> {
    let mut validator = Validator::new_with_features(features::to_parser(features));
    let error = validator.validate_all(bytes).err()?;
    let valid = recursive::applies(features) && recursive::decode(bytes, features, 1).is_ok();
    (!valid).then(|| error.offset())
}

fn check_header(bytes: &[u8]) -> Result<(), DecodeError> {
    let found = &bytes[..bytes.len().min(8)];
    if found == b"\0asm\x01\0\0\0" {
        return Ok(());
    }
    let error = |message: String, offset| Err(DecodeError::new(message, Some(offset)));
    if !found.starts_with(b"\0asm") {
        return error(
            format!(
                "not a WebAssembly module: expected it to begin with 00 61 73 6d, found{}",
                hex(found)
            ),
            0,
        );
    }
    match bytes.get(6..8) {
        Some(&[1, 0]) => error(
            "this is a WebAssembly component, which is not supported yet; only core modules are \
             (`wasm-tools component unbundle` extracts them)"
                .into(),
            4,
        ),
        Some(_) => error(
            format!("unknown WebAssembly version: expected 01 00 00 00, found{}", hex(&found[4..])),
            4,
        ),
        None => error("unexpected end of file in the header: 8 bytes are needed".into(), 4),
    }
}

fn hex(bytes: &[u8]) -> String {
    if bytes.is_empty() {
        return " nothing".into();
    }
    bytes.iter().map(|b| format!(" {b:02x}")).collect()
}

/// The bodies of a module whose declarations are valid.
struct Bodies<'a> {
    bytes: &'a [u8],
    info: &'a ModuleInfo,
    resources: ValidatorResources,
    features: wasmparser::WasmFeatures,
}

impl Bodies<'_> {
    /// Validates them in parallel. Of several errors the one that comes first in the module is returned, so
    /// that the message does not depend on the threads.
    fn validate(&self, threads: usize) -> Result<(), wasmparser::Error> {
        const CHUNK: usize = 64;
        /// Bytes of code whose validation takes about half a millisecond.
        const THREAD_BYTES: usize = 128 << 10;
        let total = self.info.bodies.len();
        let next = AtomicUsize::new(0);
        let first: Mutex<Option<wasmparser::Error>> = Mutex::new(None);
        let work = || {
            let mut allocs = wasmparser::FuncValidatorAllocations::default();
            loop {
                let begin = next.fetch_add(CHUNK, Ordering::Relaxed);
                for defined in begin..total.min(begin.saturating_add(CHUNK)) {
                    if let Err(error) =
                        self.validate_one(DefinedFuncIndex::from_usize(defined), &mut allocs)
                    {
                        let mut first = first.lock().unwrap_or_else(|e| e.into_inner());
                        if first.as_ref().is_none_or(|f| error.offset() < f.offset()) {
                            *first = Some(error);
                        }
                        return;
                    }
                }
                if begin >= total {
                    return;
                }
            }
        };
        // What a thread does must take longer than to start it.
        let bytes = self.info.bodies.iter().map(|body| body.len()).sum::<usize>();
        let worthwhile = total.div_ceil(CHUNK).min(1 + bytes / THREAD_BYTES).max(1);
        let threads = threads.clamp(1, worthwhile);
        std::thread::scope(|scope| {
            for _ in 1..threads {
                scope.spawn(work);
            }
            work();
        });
        first.into_inner().unwrap_or_else(|e| e.into_inner()).map_or(Ok(()), Err)
    }

    fn validate_one(
        &self,
        defined: DefinedFuncIndex,
        allocs: &mut wasmparser::FuncValidatorAllocations,
    ) -> Result<(), wasmparser::Error> {
        let range = self.info.bodies[defined].clone();
        let index = self.info.func_index(defined);
        let func = FuncToValidate {
            resources: &self.resources,
            index: index.as_u32(),
            ty: self.info.functions[index].as_u32(),
            features: self.features,
        };
        let start = range.start as u64;
        let body = FunctionBody::new(BinaryReader::new(&self.bytes[range], start));
        let mut validator = func.into_validator(std::mem::take(allocs));
        validator.validate(&body)?;
        *allocs = validator.into_allocations();
        Ok(())
    }
}

/// A range of the parser as one of the module's bytes.
pub(crate) fn range(range: Range<u64>) -> Range<usize> {
    // The bytes are in memory, so their offsets fit `usize`.
    range.start as usize..range.end as usize
}

fn read_payload(info: &mut ModuleInfo, payload: Payload<'_>) -> Result<(), DecodeError> {
    if let Some((id, section)) = payload.as_section() {
        info.sections.push(Section { id, range: range(section) });
    }
    match payload {
        Payload::TypeSection(types) => {
            for group in types {
                read_types(info, group.map_err(DecodeError::parser)?)?;
            }
        }
        Payload::ImportSection(imports) => {
            for import in imports.into_imports() {
                read_import(info, import.map_err(DecodeError::parser)?)?;
            }
        }
        Payload::FunctionSection(functions) => {
            for ty in functions {
                info.functions.push(TypeIndex::from_u32(ty.map_err(DecodeError::parser)?));
            }
        }
        Payload::TableSection(tables) => {
            for table in tables {
                let table = table.map_err(DecodeError::parser)?;
                let ty = table_type(info, &table.ty)?;
                info.tables.push(ty);
                info.table_inits.push(match table.init {
                    TableInit::RefNull => None,
                    TableInit::Expr(init) => Some(const_expr(&init)?),
                });
            }
        }
        Payload::MemorySection(memories) => {
            for memory in memories {
                info.memories.push(memory_type(&memory.map_err(DecodeError::parser)?));
            }
        }
        Payload::TagSection(tags) => {
            for tag in tags {
                let ty = tag.map_err(DecodeError::parser)?.func_type_idx;
                info.tags.push(TypeIndex::from_u32(ty));
            }
        }
        Payload::GlobalSection(globals) => {
            for global in globals {
                let global = global.map_err(DecodeError::parser)?;
                let ty = global_type(info, &global.ty)?;
                info.globals.push(ty);
                info.global_inits.push(const_expr(&global.init_expr)?);
            }
        }
        Payload::ExportSection(exports) => {
            for export in exports {
                let export = export.map_err(DecodeError::parser)?;
                let item = export_item(export.kind, export.index)?;
                info.exports.push(Export { name: export.name.to_owned(), item });
            }
        }
        Payload::StartSection { func, .. } => info.start = Some(FuncIndex::from_u32(func)),
        Payload::ElementSection(elements) => {
            for element in elements {
                read_element(info, element.map_err(DecodeError::parser)?)?;
            }
        }
        Payload::DataSection(data) => {
            for segment in data {
                read_data(info, segment.map_err(DecodeError::parser)?)?;
            }
        }
        Payload::CodeSectionStart { unchecked_range: section, .. } => {
            info.code_section = range(section).start;
        }
        Payload::CodeSectionEntry(body) => {
            info.bodies.push(range(body.range()));
        }
        Payload::CustomSection(custom) => {
            let data = custom.data().len();
            let end = range(custom.range()).end;
            info.customs
                .push(CustomSection { name: custom.name().to_owned(), range: end - data..end });
        }
        _ => {}
    }
    Ok(())
}

fn read_types(info: &mut ModuleInfo, group: wasmparser::RecGroup) -> Result<(), DecodeError> {
    let first = info.types.next_index();
    // Types of a group may name later ones.
    info.kinds.extend(group.types().map(type_kind));
    for (offset, ty) in group.into_types_and_offsets() {
        let ty = info.sub_type(&ty).map_err(|error| error.or_at(offset))?;
        // Validation: it is declared before, and at most 63 deep.
        let depth = match ty.supertype {
            Some(DeclaredType::Module(of)) => {
                info.depths.get(of).map_or(0, |depth| depth.saturating_add(1))
            }
            _ => 0,
        };
        info.depths.push(depth);
        info.layouts.push(ty.structure().map(StructType::layout));
        info.types.push(ty);
    }
    info.type_groups.push(first..info.types.next_index());
    Ok(())
}

fn read_import(info: &mut ModuleInfo, import: wasmparser::Import<'_>) -> Result<(), DecodeError> {
    let item = match import.ty {
        TypeRef::Func(ty) => {
            info.imported_functions += 1;
            ItemIndex::Func(info.functions.push(TypeIndex::from_u32(ty)))
        }
        TypeRef::Table(ty) => {
            let ty = table_type(info, &ty)?;
            info.imported_tables += 1;
            ItemIndex::Table(info.tables.push(ty))
        }
        TypeRef::Memory(ty) => {
            info.imported_memories += 1;
            ItemIndex::Memory(info.memories.push(memory_type(&ty)))
        }
        TypeRef::Global(ty) => {
            let ty = global_type(info, &ty)?;
            info.imported_globals += 1;
            ItemIndex::Global(info.globals.push(ty))
        }
        TypeRef::Tag(ty) => {
            info.imported_tags += 1;
            ItemIndex::Tag(info.tags.push(TypeIndex::from_u32(ty.func_type_idx)))
        }
        TypeRef::FuncExact(_) => {
            return Err(DecodeError::new(
                format!(
                    "import `{}` `{}` is of a kind that is not supported",
                    import.module, import.name
                ),
                None,
            ));
        }
    };
    info.imports.push(Import {
        module: import.module.to_owned(),
        name: import.name.to_owned(),
        item,
    });
    Ok(())
}

fn export_item(kind: wasmparser::ExternalKind, index: u32) -> Result<ItemIndex, DecodeError> {
    use wasmparser::ExternalKind;
    match kind {
        ExternalKind::Func => Ok(ItemIndex::Func(FuncIndex::from_u32(index))),
        ExternalKind::Table => Ok(ItemIndex::Table(TableIndex::from_u32(index))),
        ExternalKind::Memory => Ok(ItemIndex::Memory(MemoryIndex::from_u32(index))),
        ExternalKind::Global => Ok(ItemIndex::Global(GlobalIndex::from_u32(index))),
        ExternalKind::Tag => Ok(ItemIndex::Tag(TagIndex::from_u32(index))),
        ExternalKind::FuncExact => {
            Err(DecodeError::new("an export of a kind that is not supported", None))
        }
    }
}

fn read_element(
    info: &mut ModuleInfo,
    element: wasmparser::Element<'_>,
) -> Result<(), DecodeError> {
    let mode = match element.kind {
        ElementKind::Active { table_index, offset_expr } => SegmentMode::Active {
            index: TableIndex::from_u32(table_index.unwrap_or(0)),
            offset: const_expr(&offset_expr)?,
        },
        ElementKind::Passive => SegmentMode::Passive,
        ElementKind::Declared => SegmentMode::Declared,
    };
    let (ty, items) = match element.items {
        wasmparser::ElementItems::Functions(functions) => {
            let functions = functions.into_iter().map(|index| index.map(FuncIndex::from_u32));
            let functions = functions.collect::<Result<_, _>>().map_err(DecodeError::parser)?;
            (wardian_types::RefType::FUNC, ElementItems::Functions(functions))
        }
        wasmparser::ElementItems::Expressions(ty, expressions) => {
            let expressions = expressions
                .into_iter()
                .map(|e| const_expr(&e.map_err(DecodeError::parser)?))
                .collect::<Result<Vec<_>, _>>()?;
            (info.ref_type(ty)?, ElementItems::Expressions(expressions))
        }
    };
    info.elements.push(ElementSegment { element: ty, mode, items });
    Ok(())
}

fn read_data(info: &mut ModuleInfo, data: wasmparser::Data<'_>) -> Result<(), DecodeError> {
    let mode = match data.kind {
        DataKind::Active { memory_index, offset_expr } => {
            let index = MemoryIndex::from_u32(memory_index);
            SegmentMode::Active { index, offset: const_expr(&offset_expr)? }
        }
        DataKind::Passive => SegmentMode::Passive,
    };
    // The segment's range also covers its header; the contents are at its end.
    let end = range(data.range).end;
    info.data.push(DataSegment { mode, range: end - data.data.len()..end });
    Ok(())
}
