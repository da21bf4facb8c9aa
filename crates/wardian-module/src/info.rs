//! What a module declares: everything but the code of its functions.

use std::ops::Range;
use wardian_types::{
    CodeOffset, Counts, DataIndex, DeclaredType, DefinedFuncIndex, DefinedGlobalIndex,
    DefinedTableIndex, ElemIndex, ExternType, FuncIndex, FuncType, GlobalIndex, GlobalType,
    IndexVec, MemoryIndex, MemoryType, ModuleOffset, RefType, StructLayout, SubType, TableIndex,
    TableType, TagIndex, TagType, TypeIndex, TypeKind, TypeNumber,
};

/// The declarations of a module, in its index spaces (core specification, "Modules").
///
/// In each index space the imports come first.
#[derive(Clone, Debug, Default)]
pub struct ModuleInfo {
    /// Declared types: functions, structs and arrays.
    pub types: IndexVec<TypeIndex, SubType>,
    /// Their kinds, which are known before the types of a group are.
    pub(crate) kinds: IndexVec<TypeIndex, TypeKind>,
    /// How many supertypes each has.
    pub depths: IndexVec<TypeIndex, u8>,
    /// Where structs have their fields.
    pub(crate) layouts: IndexVec<TypeIndex, Option<StructLayout>>,
    /// The recursive groups (core specification, "Recursive Types"), as ranges of `types`: all of them, in
    /// order. Most groups have one type.
    pub type_groups: Vec<Range<TypeIndex>>,
    /// Imports in the order of the module.
    pub imports: Vec<Import>,
    /// Signatures of the functions.
    pub functions: IndexVec<FuncIndex, TypeIndex>,
    /// Tables.
    pub tables: IndexVec<TableIndex, TableType>,
    /// Memories.
    pub memories: IndexVec<MemoryIndex, MemoryType>,
    /// Globals.
    pub globals: IndexVec<GlobalIndex, GlobalType>,
    /// Signatures of the tags.
    pub tags: IndexVec<TagIndex, TypeIndex>,
    /// Initial values of the elements of tables, as far as they are not null.
    pub table_inits: IndexVec<DefinedTableIndex, Option<ConstExpr>>,
    /// Initial values of globals.
    pub global_inits: IndexVec<DefinedGlobalIndex, ConstExpr>,
    /// How many of `functions` are imported.
    pub imported_functions: u32,
    /// How many of `tables` are imported.
    pub imported_tables: u32,
    /// How many of `memories` are imported.
    pub imported_memories: u32,
    /// How many of `globals` are imported.
    pub imported_globals: u32,
    /// How many of `tags` are imported.
    pub imported_tags: u32,
    /// Exports in the order of the module.
    pub exports: Vec<Export>,
    /// The start function.
    pub start: Option<FuncIndex>,
    /// Element segments.
    pub elements: IndexVec<ElemIndex, ElementSegment>,
    /// Data segments.
    pub data: IndexVec<DataIndex, DataSegment>,
    /// Ranges of function bodies in the module's bytes.
    pub bodies: IndexVec<DefinedFuncIndex, Range<usize>>,
    /// Where the contents of the code section begin: code offsets count from here.
    pub code_section: usize,
    /// Custom sections in the order of the module.
    pub customs: Vec<CustomSection>,
    /// Sections of the module, for those who look at its shape.
    pub sections: Vec<Section>,
}

/// A section of a module's file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Section {
    /// The section's number (core specification, "Sections"); 0 is a custom section.
    pub id: u8,
    /// The range of its contents in the module's bytes.
    pub range: Range<usize>,
}

/// A custom section.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomSection {
    /// Its name.
    pub name: String,
    /// The range of its contents, after the name, in the module's bytes.
    pub range: Range<usize>,
}

/// Something that a module needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Import {
    /// The module it is asked of.
    pub module: String,
    /// Its name there.
    pub name: String,
    /// Its kind, with its index in the index space of that kind.
    pub item: ItemIndex,
}

/// Something that a module offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Export {
    /// Its name.
    pub name: String,
    /// Its kind, with its index in the index space of that kind.
    pub item: ItemIndex,
}

/// An index into one of the index spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemIndex {
    /// A function.
    Func(FuncIndex),
    /// A table.
    Table(TableIndex),
    /// A memory.
    Memory(MemoryIndex),
    /// A global.
    Global(GlobalIndex),
    /// A tag.
    Tag(TagIndex),
}

/// A constant expression, in postfix order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConstExpr {
    /// Its instructions.
    pub ops: Vec<ConstOp>,
}

/// An instruction of a constant expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConstOp {
    /// `i32.const`
    I32(i32),
    /// `i64.const`
    I64(i64),
    /// `f32.const`, as bits
    F32(u32),
    /// `f64.const`, as bits
    F64(u64),
    /// `v128.const`, as bits
    V128(u128),
    /// `ref.null`
    RefNull,
    /// `ref.func`
    RefFunc(FuncIndex),
    /// `global.get`
    GlobalGet(GlobalIndex),
    /// `i32.add`
    I32Add,
    /// `i32.sub`
    I32Sub,
    /// `i32.mul`
    I32Mul,
    /// `i64.add`
    I64Add,
    /// `i64.sub`
    I64Sub,
    /// `i64.mul`
    I64Mul,
    /// `struct.new`
    StructNew(TypeIndex),
    /// `struct.new_default`
    StructNewDefault(TypeIndex),
    /// `array.new`
    ArrayNew(TypeIndex),
    /// `array.new_default`
    ArrayNewDefault(TypeIndex),
    /// `array.new_fixed`
    ArrayNewFixed {
        /// The type.
        ty: TypeIndex,
        /// How many elements are on the stack.
        len: u32,
    },
    /// `ref.i31`
    RefI31,
    /// `any.convert_extern`
    AnyConvertExtern,
    /// `extern.convert_any`
    ExternConvertAny,
}

/// Elements with which a table can be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ElementSegment {
    /// What the elements are.
    pub element: RefType,
    /// When they are used, in which table.
    pub mode: SegmentMode<TableIndex>,
    /// The elements.
    pub items: ElementItems,
}

/// The elements of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ElementItems {
    /// Functions.
    Functions(Vec<FuncIndex>),
    /// Constant expressions.
    Expressions(Vec<ConstExpr>),
}

impl ElementItems {
    /// How many elements there are.
    pub fn len(&self) -> usize {
        match self {
            ElementItems::Functions(f) => f.len(),
            ElementItems::Expressions(e) => e.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// Bytes with which a memory can be filled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataSegment {
    /// When they are used, in which memory.
    pub mode: SegmentMode<MemoryIndex>,
    /// Their range in the module's bytes.
    pub range: Range<usize>,
}

/// When a segment is used. `I` is the index of what it is used in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SegmentMode<I> {
    /// At instantiation, at `offset` of the table or memory `index`.
    Active {
        /// The table or memory.
        index: I,
        /// Where in it.
        offset: ConstExpr,
    },
    /// When an instruction asks for it.
    Passive,
    /// Never: it only declares that functions are referred to.
    Declared,
}

impl ModuleInfo {
    /// A place in the code section as debug information counts it. Places before that section get its first offset.
    pub fn code_offset(&self, place: ModuleOffset) -> CodeOffset {
        let bytes = place.bytes_from(ModuleOffset::from_usize(self.code_section));
        CodeOffset::from_u32(u32::try_from(bytes).unwrap_or(u32::MAX))
    }

    /// Where the body of a function that the module defines lies in the code section.
    pub fn body_offsets(&self, defined: DefinedFuncIndex) -> Option<Range<CodeOffset>> {
        let body = self.bodies.get(defined)?;
        let [start, end] = [body.start, body.end].map(ModuleOffset::from_usize);
        Some(self.code_offset(start)..self.code_offset(end))
    }

    /// Names types by the numbers of an engine where they are named by their indices.
    ///
    /// `number` is called for each recursive group and returns the number of its first type; the other types
    /// have the numbers that follow. In its argument, earlier types are named by their numbers, and types of
    /// the same group by [`DeclaredType::Group`]. Two groups are equal if these arguments are.
    ///
    /// # Errors
    ///
    /// Those of `number`.
    pub fn number_types<E>(
        &mut self,
        mut number: impl FnMut(&[SubType]) -> Result<TypeNumber, E>,
    ) -> Result<(), E> {
        let mut numbers: IndexVec<TypeIndex, TypeNumber> =
            IndexVec::with_capacity(self.types.len());
        for group in &self.type_groups {
            let types = &mut self.types[group.clone()];
            let key = types.iter().map(|ty| {
                ty.renamed(|index| match index {
                    DeclaredType::Module(index) if group.contains(&index) => {
                        DeclaredType::Group(index.as_u32() - group.start.as_u32())
                    }
                    other => numbered(&numbers, other),
                })
            });
            let key: Vec<SubType> = key.collect();
            let first = number(&key)?;
            numbers.extend((first.as_u32()..).map(TypeNumber::from_u32).take(key.len()));
            for (ty, key) in types.iter_mut().zip(&key) {
                *ty = key.in_group(first);
            }
        }
        let mut rename = |index| numbered(&numbers, index);
        for table in &mut self.tables {
            table.element = table.element.renamed(&mut rename);
        }
        for global in &mut self.globals {
            global.content = global.content.renamed(&mut rename);
        }
        for segment in &mut self.elements {
            segment.element = segment.element.renamed(&mut rename);
        }
        Ok(())
    }

    /// A declared function type.
    pub fn signature(&self, ty: TypeIndex) -> Option<&FuncType> {
        self.types.get(ty)?.func()
    }

    /// How many supertypes a declared type has.
    pub fn type_depth(&self, ty: TypeIndex) -> Option<u32> {
        self.depths.get(ty).map(|depth| u32::from(*depth))
    }

    /// Where a declared struct type has its fields.
    pub fn struct_layout(&self, ty: TypeIndex) -> Option<&StructLayout> {
        self.layouts.get(ty)?.as_ref()
    }

    /// The signature of a function.
    ///
    /// # Panics
    ///
    /// There is no such function.
    pub fn func_type(&self, index: FuncIndex) -> &FuncType {
        let ty = self.functions[index];
        self.signature(ty).expect("validated: a function has a function type")
    }

    /// The signature of a tag: its parameters are the values that exceptions carry.
    pub fn tag_type(&self, index: TagIndex) -> &FuncType {
        let ty = self.tags[index];
        self.signature(ty).expect("validated: a tag has a function type")
    }

    /// The signature of a function that the module defines.
    ///
    /// # Panics
    ///
    /// There is no such function.
    pub fn defined_type(&self, defined: DefinedFuncIndex) -> &FuncType {
        self.func_type(self.func_index(defined))
    }

    /// Which of the functions that the module defines it is; none if it is imported.
    #[inline]
    pub fn defined_function(&self, index: FuncIndex) -> Option<DefinedFuncIndex> {
        index.as_u32().checked_sub(self.imported_functions).map(DefinedFuncIndex::from_u32)
    }

    /// The index of a function that the module defines.
    #[inline]
    pub fn func_index(&self, defined: DefinedFuncIndex) -> FuncIndex {
        FuncIndex::from_u32(self.imported_functions + defined.as_u32())
    }

    /// Which of the tables that the module defines it is; none if it is imported.
    pub fn defined_table(&self, index: TableIndex) -> Option<DefinedTableIndex> {
        index.as_u32().checked_sub(self.imported_tables).map(DefinedTableIndex::from_u32)
    }

    /// Which of the globals that the module defines it is; none if it is imported.
    pub fn defined_global(&self, index: GlobalIndex) -> Option<DefinedGlobalIndex> {
        index.as_u32().checked_sub(self.imported_globals).map(DefinedGlobalIndex::from_u32)
    }

    /// How many of each thing there are: what the layout of instances depends on.
    pub fn counts(&self) -> Counts {
        let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        let defined = |all: usize, imported: u32| count(all).saturating_sub(imported);
        Counts {
            defined_globals: defined(self.globals.len(), self.imported_globals),
            globals: count(self.globals.len()),
            memories: count(self.memories.len()),
            defined_tables: defined(self.tables.len(), self.imported_tables),
            tables: count(self.tables.len()),
            imported_functions: self.imported_functions,
            defined_functions: defined(self.functions.len(), self.imported_functions),
        }
    }

    /// The type of something in an index space.
    pub fn item_type(&self, item: ItemIndex) -> ExternType {
        match item {
            ItemIndex::Func(i) => ExternType::Func(self.func_type(i).clone()),
            ItemIndex::Table(i) => ExternType::Table(self.tables[i]),
            ItemIndex::Memory(i) => ExternType::Memory(self.memories[i]),
            ItemIndex::Global(i) => ExternType::Global(self.globals[i]),
            ItemIndex::Tag(i) => ExternType::Tag(TagType { ty: self.tag_type(i).clone() }),
        }
    }

    /// Whether a memory is the module's own and not shared, so that its bounds are in the instance.
    pub fn owns_memory(&self, index: MemoryIndex) -> bool {
        index.as_u32() >= self.imported_memories && !self.memories[index].shared
    }
}

fn numbered(numbers: &IndexVec<TypeIndex, TypeNumber>, named: DeclaredType) -> DeclaredType {
    let number = match named {
        DeclaredType::Module(index) => numbers.get(index).copied(),
        _ => None,
    };
    number.map_or(named, DeclaredType::Engine)
}
