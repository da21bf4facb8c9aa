//! What is known of a function before it runs.

use crate::Module;
use crate::testing::TestFunction;
use std::fmt;
use std::sync::Arc;
use wardian_module::{ItemIndex, demangle};
use wardian_runtime::listen::hook::Described;
use wardian_runtime::module::ModuleInner;
use wardian_runtime::store::host::HostDef;
use wardian_types::{CodeOffset, FuncIndex, FuncType, LocalIndex, ValType};

/// The definition of a function: a view into its module, which costs nothing to make and to copy.
///
/// Nothing here allocates but [`FunctionDefinition::demangled_name`], [`FunctionDefinition::display_name`] and
/// [`FunctionDefinition::debug_name`].
#[derive(Clone, Copy)]
pub struct FunctionDefinition<'a>(Source<'a>);

#[derive(Clone, Copy)]
enum Source<'a> {
    /// A function of a module, an import or its own.
    Module { module: &'a Arc<ModuleInner>, func: FuncIndex },
    /// A host function that the module at hand does not import.
    Host(&'a HostDef),
    /// For tests of listeners.
    Double(&'a TestFunction),
}

impl<'a> FunctionDefinition<'a> {
    pub(crate) fn of_module(
        module: &'a Arc<ModuleInner>,
        func: FuncIndex,
    ) -> FunctionDefinition<'a> {
        FunctionDefinition(Source::Module { module, func })
    }

    /// That of a function of the runtime's.
    #[inline]
    pub(crate) fn of(described: Described<'a>) -> FunctionDefinition<'a> {
        match described {
            Described::Module(module, func) => FunctionDefinition::of_module(module, func),
            Described::Host(def) => FunctionDefinition::of_host(def),
        }
    }

    pub(crate) fn of_host(def: &'a HostDef) -> FunctionDefinition<'a> {
        FunctionDefinition(Source::Host(def))
    }

    pub(crate) fn of_double(double: &'a TestFunction) -> FunctionDefinition<'a> {
        FunctionDefinition(Source::Double(double))
    }

    /// The module of the function: the one that defines it, or that imports it.
    pub fn module(&self) -> Option<Module> {
        match self.0 {
            Source::Module { module, .. } => Some(Module::of(module.clone())),
            _ => None,
        }
    }

    /// The name of that module. For an imported function see [`FunctionDefinition::import`] too.
    pub fn module_name(&self) -> Option<&'a str> {
        match self.0 {
            Source::Module { module, .. } => module.decoded.name(),
            Source::Host(_) => None,
            Source::Double(double) => double.module_name.as_deref(),
        }
    }

    /// Its index in that module, imports included. None for a host function that is not imported
    /// there, say one that is called through a table.
    pub fn index(&self) -> Option<u32> {
        match self.0 {
            Source::Module { func, .. } => Some(func.as_u32()),
            Source::Host(_) => None,
            Source::Double(double) => Some(double.index),
        }
    }

    /// Its name: from the tables of Go's runtime, else the name section, else an export or import name.
    pub fn name(&self) -> Option<&'a str> {
        match self.0 {
            Source::Module { module, func } => module.decoded.func_name(func),
            Source::Host(_) => None,
            Source::Double(double) => double.name.as_deref(),
        }
    }

    /// Its name as the author wrote it.
    pub fn demangled_name(&self) -> Option<String> {
        self.name().map(demangle)
    }

    /// A name for people that always exists: demangled, or `func:` and its index. The same name is shown
    /// everywhere, and [`crate::listener::FunctionFilter::name`] understands it.
    pub fn display_name(&self) -> String {
        match (self.demangled_name(), self.index()) {
            (Some(name), _) => name,
            (None, Some(index)) => wardian_module::unnamed(FuncIndex::from_u32(index)),
            (None, None) => "<host function>".to_owned(),
        }
    }

    /// That name after the one of its module, or of the module that it is imported from: `module.name`.
    pub fn debug_name(&self) -> String {
        let module = self.import().map(|i| i.0).or(self.module_name()).unwrap_or_default();
        format!("{module}.{}", self.display_name())
    }

    /// Its signature.
    pub fn ty(&self) -> &'a FuncType {
        match self.0 {
            Source::Module { module, func } => module.decoded.info().func_type(func),
            Source::Host(def) => &def.ty,
            Source::Double(double) => &double.ty,
        }
    }

    /// Types of its parameters: a `v128` takes two raw slots, everything else one.
    pub fn param_types(&self) -> &'a [ValType] {
        self.ty().params()
    }

    /// Types of its results.
    pub fn result_types(&self) -> &'a [ValType] {
        self.ty().results()
    }

    /// Names of its parameters, one for each; none where the module has none.
    pub fn param_names(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> {
        let source = self.0;
        (0..self.ty().params().len()).map(move |i| match source {
            Source::Module { module, func } => {
                let names = module.decoded.names().locals.get(&func)?;
                names.get(&LocalIndex::from_usize(i)).map(String::as_str)
            }
            Source::Host(_) => None,
            Source::Double(double) => double.param_names.get(i).map(String::as_str),
        })
    }

    /// Names of its results. Modules have none; only doubles do.
    pub fn result_names(&self) -> impl ExactSizeIterator<Item = Option<&'a str>> {
        let source = self.0;
        (0..self.ty().results().len()).map(move |i| match source {
            Source::Double(double) => double.result_names.get(i).map(String::as_str),
            _ => None,
        })
    }

    /// Module and name that it is imported by, if it is an import.
    pub fn import(&self) -> Option<(&'a str, &'a str)> {
        match self.0 {
            Source::Module { module, func } => {
                let import = module.decoded.func_import(func)?;
                Some((import.module.as_str(), import.name.as_str()))
            }
            Source::Host(_) => None,
            Source::Double(double) => double.import.as_ref().map(|(m, n)| (m.as_str(), n.as_str())),
        }
    }

    /// The names that its module exports it by.
    pub fn export_names(&self) -> impl Iterator<Item = &'a str> {
        let (exports, index, double): (&[_], _, &[String]) = match self.0 {
            Source::Module { module, func } => (&module.decoded.info().exports, func, &[]),
            Source::Host(_) => (&[], FuncIndex::FIRST, &[]),
            Source::Double(double) => (&[], FuncIndex::FIRST, &double.export_names),
        };
        let of_module = exports.iter().filter(move |e| e.item == ItemIndex::Func(index));
        of_module.map(|e| e.name.as_str()).chain(double.iter().map(String::as_str))
    }

    /// Where its body begins, as offset in the module's code section. None for imports and host
    /// functions.
    pub fn body_offset(&self) -> Option<u32> {
        let Source::Module { module, func } = self.0 else { return None };
        Described::Module(module, func).body_offset().map(CodeOffset::as_u32)
    }
}

impl fmt::Debug for FunctionDefinition<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.debug_name(), self.ty())
    }
}

impl TestFunction {
    /// Its definition, as listeners and factories get it.
    pub fn definition(&self) -> FunctionDefinition<'_> {
        FunctionDefinition::of_double(self)
    }
}
