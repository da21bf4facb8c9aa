//! Reading and validating a module's bytes.

mod recursive;

use crate::convert::{const_expr, global_type, memory_type, table_type, type_kind};
use crate::validation::{Unvalidated, Validation};
use crate::{
    CustomSection, DataSegment, DecodeError, ElementItems, ElementSegment, Export, Import,
    ItemIndex, ModuleInfo, Section, SegmentMode, features,
};
use std::ops::Range;
use wardian_types::{
    CoreFeatures, DeclaredType, FuncIndex, GlobalIndex, MemoryIndex, ModuleOffset, StructType,
    TableIndex, TagIndex, TypeIndex,
};
use wasmparser::{
    DataKind, ElementKind, FuncToValidate, Parser, Payload, TableInit, TypeRef, ValidPayload,
    Validator,
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

/// Reads `bytes` and validates the declarations. Returns what validates the function bodies, unless they are validated
/// already: a module to which [`recursive`] applies is validated whole.
pub(crate) fn decode_lazily(
    bytes: &[u8],
    features: CoreFeatures,
    threads: usize,
) -> Result<(ModuleInfo, Option<Unvalidated>), DecodeError> {
    check_header(bytes)?;
    if !recursive::applies(features)
        && let Ok((info, validation)) = read_declarations(bytes, features::to_parser(features))
    {
        let unvalidated = validation.map(|validation| Unvalidated::new(validation, &info));
        return Ok((info, unvalidated));
    }
    // With the error that says most.
    decode(bytes, features, threads).map(|info| (info, None))
}

fn read_and_validate(
    bytes: &[u8],
    features: wasmparser::WasmFeatures,
    threads: usize,
) -> Result<ModuleInfo, DecodeError> {
    let (info, validation) = read_declarations(bytes, features)?;
    if let Some(validation) = validation {
        validation.all(bytes, &info, threads).map_err(DecodeError::parser)?;
    }
    Ok(info)
}

/// Reads and validates all but function bodies, whose validation is returned if there are any.
fn read_declarations(
    bytes: &[u8],
    features: wasmparser::WasmFeatures,
) -> Result<(ModuleInfo, Option<Validation>), DecodeError> {
    let mut validator = Validator::new_with_features(features);
    let mut info = ModuleInfo::default();
    let mut validation = None;
    for payload in Parser::new(0).parse_all(bytes) {
        let payload = payload.map_err(DecodeError::parser)?;
        if let ValidPayload::Func(FuncToValidate { resources, features, .. }, _) =
            validator.payload(&payload).map_err(DecodeError::parser)?
            && validation.is_none()
        {
            validation = Some(Validation { resources, features });
        }
        read_payload(&mut info, payload)?;
    }
    Ok((info, validation))
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
pub(crate) fn first_error(bytes: &[u8], features: CoreFeatures) -> Option<ModuleOffset> {
    let mut validator = Validator::new_with_features(features::to_parser(features));
    let error = validator.validate_all(bytes).err()?;
    let valid = recursive::applies(features) && recursive::decode(bytes, features, 1).is_ok();
    (!valid).then(|| ModuleOffset::from_u64(error.offset()))
}

fn check_header(bytes: &[u8]) -> Result<(), DecodeError> {
    let found = &bytes[..bytes.len().min(8)];
    if found == b"\0asm\x01\0\0\0" {
        return Ok(());
    }
    let error = |message: String, offset| {
        Err(DecodeError::new(message, Some(ModuleOffset::from_u64(offset))))
    };
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
        let ty = info.sub_type(&ty).map_err(|error| error.or_at(ModuleOffset::from_u64(offset)))?;
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
