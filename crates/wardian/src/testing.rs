//! Doubles of functions and modules, for tests of listeners that need no guest.

use crate::GlobalType;
use crate::value::Val;
use wardian_types::FuncType;

/// A function for tests, without any code.
///
/// ```
/// use wardian::{FuncType, ValType, testing::TestFunction};
/// let f = TestFunction::new(FuncType::new([ValType::I32], [])).with_name("draw").with_index(3);
/// assert_eq!(f.definition().name(), Some("draw"));
/// ```
#[derive(Clone, Debug)]
pub struct TestFunction {
    pub(crate) ty: FuncType,
    pub(crate) index: u32,
    pub(crate) module_name: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) param_names: Vec<String>,
    pub(crate) result_names: Vec<String>,
    pub(crate) import: Option<(String, String)>,
    pub(crate) export_names: Vec<String>,
}

impl TestFunction {
    /// A function of this signature, with index 0 and no names.
    pub fn new(ty: FuncType) -> TestFunction {
        TestFunction {
            ty,
            index: 0,
            module_name: None,
            name: None,
            param_names: Vec::new(),
            result_names: Vec::new(),
            import: None,
            export_names: Vec::new(),
        }
    }

    /// Sets its name.
    pub fn with_name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets its index in its module.
    pub fn with_index(mut self, index: u32) -> Self {
        self.index = index;
        self
    }

    /// Sets the name of its module.
    pub fn with_module_name(mut self, name: impl Into<String>) -> Self {
        self.module_name = Some(name.into());
        self
    }

    /// Sets the names of its parameters.
    pub fn with_param_names<S: Into<String>>(mut self, names: impl IntoIterator<Item = S>) -> Self {
        self.param_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Sets the names of its results.
    pub fn with_result_names<S: Into<String>>(
        mut self,
        names: impl IntoIterator<Item = S>,
    ) -> Self {
        self.result_names = names.into_iter().map(Into::into).collect();
        self
    }

    /// Makes it an import.
    pub fn with_import(mut self, module: impl Into<String>, name: impl Into<String>) -> Self {
        self.import = Some((module.into(), name.into()));
        self
    }

    /// Adds a name that it is exported by.
    pub fn with_export_name(mut self, name: impl Into<String>) -> Self {
        self.export_names.push(name.into());
        self
    }
}

/// A module for tests, without any code: functions, globals and a memory to look at.
///
/// ```
/// use wardian::{Val, testing::TestModule};
/// let module = TestModule::new("garden").with_global(Val::I32(7)).with_memory(vec![1, 2, 3]);
/// let seen = module.internal();
/// assert_eq!((seen.name(), seen.num_globals()), (Some("garden"), 1));
/// assert_eq!(seen.memory(0).unwrap().data(), Some(&[1u8, 2, 3][..]));
/// ```
#[derive(Clone, Debug, Default)]
pub struct TestModule {
    pub(crate) name: String,
    pub(crate) globals: Vec<(GlobalType, Val)>,
    pub(crate) memory: Option<Vec<u8>>,
    pub(crate) functions: Vec<TestFunction>,
    pub(crate) exit_code: Option<u32>,
}

impl TestModule {
    /// An empty module.
    pub fn new(name: impl Into<String>) -> TestModule {
        TestModule { name: name.into(), ..TestModule::default() }
    }

    /// Adds a mutable global with this value.
    pub fn with_global(mut self, value: Val) -> Self {
        self.globals.push((GlobalType { content: value.ty(), mutable: true }, value));
        self
    }

    /// Sets the contents of its memory.
    pub fn with_memory(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.memory = Some(bytes.into());
        self
    }

    /// Adds a function; its index and module name follow from its place here.
    pub fn with_function(mut self, function: TestFunction) -> Self {
        let index = u32::try_from(self.functions.len()).unwrap_or(u32::MAX);
        self.functions.push(function.with_index(index).with_module_name(self.name.clone()));
        self
    }

    /// Makes it closed, with this exit code.
    pub fn with_exit_code(mut self, code: u32) -> Self {
        self.exit_code = Some(code);
        self
    }

    /// A function by its index.
    pub fn function(&self, index: u32) -> Option<&TestFunction> {
        self.functions.get(index as usize)
    }
}
