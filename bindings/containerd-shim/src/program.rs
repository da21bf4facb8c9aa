//! The program of a container: its module, and the function that is called.

use anyhow::{Context, anyhow, bail};
use containerd_shim_wasm::sandbox::context::{Entrypoint, RuntimeContext, Source};
use wardian::{CompileOptions, Engine, ErrorKind, ExternType, FuncType, Module};

/// What a container runs, before it is compiled.
#[derive(Debug, PartialEq)]
pub(crate) struct Program {
    /// For messages.
    pub(crate) name: String,
    pub(crate) bytes: Vec<u8>,
    /// The exported function that is called.
    pub(crate) function: String,
    /// All arguments, the entry point first.
    pub(crate) arguments: Vec<String>,
}

/// The function that `file.wasm` without a name means.
pub(crate) const START: &str = "_start";
/// What modules that are no commands have to be called before their functions.
pub(crate) const INITIALIZE: &str = "_initialize";

impl Program {
    /// Reads the module that the entry point names, `file.wasm` or `file.wasm#function`, or that is a layer of the image.
    ///
    /// # Errors
    ///
    /// There is no entry point, no such file, or not one layer.
    pub(crate) fn read(container: &impl RuntimeContext) -> anyhow::Result<Program> {
        let Entrypoint { func, source, .. } = container.entrypoint();
        let name = match &source {
            Source::File(path) if path.as_os_str().is_empty() => bail!(
                "the image has no entry point: ENTRYPOINT or the container's command should be the path of a module, as \
                 /app.wasm or /app.wasm#function"
            ),
            Source::File(path) => path.display().to_string(),
            Source::Oci([layer]) => format!("the layer {}", layer.config.digest()),
            Source::Oci(layers) => bail!(
                "the image has {} layers that are modules, and there should be one",
                layers.len()
            ),
        };
        let bytes = source.as_bytes().with_context(|| format!("cannot read {name}"))?.into_owned();
        let (function, arguments) = (func, container.args().to_vec());
        if bytes.is_empty() {
            bail!("{name} is empty");
        }
        Ok(Program { name, bytes, function, arguments })
    }

    /// The module, with the function in it.
    ///
    /// # Errors
    ///
    /// It is no module, or a component; or it has no such function.
    pub(crate) fn compile(self, engine: &Engine) -> anyhow::Result<Compiled> {
        let Program { name, bytes, function, .. } = self;
        if wardian::cache::is_artifact(&bytes) {
            bail!("{name} is a precompiled module; the module it was made from is needed");
        }
        let module = Module::from_vec(engine, bytes, &CompileOptions::new());
        let module = module.map_err(|error| match error.kind() {
            ErrorKind::Decode(error) => anyhow!("{name} is not a module that can be run: {error}"),
            _ => anyhow::Error::new(error).context(format!("{name} cannot be used")),
        })?;
        check_function(&module, &function).with_context(|| format!("cannot run {name}"))?;
        let initialize = function != START && function != INITIALIZE && has(&module, INITIALIZE);
        Ok(Compiled { name, module, function, initialize })
    }
}

/// A program whose module was found valid.
#[derive(Debug)]
pub(crate) struct Compiled {
    pub(crate) name: String,
    pub(crate) module: Module,
    pub(crate) function: String,
    /// Whether `_initialize` is called before.
    pub(crate) initialize: bool,
}

fn has(module: &Module, function: &str) -> bool {
    matches!(module.export(function), Some(ExternType::Func(ty)) if ty == FuncType::new([], []))
}

fn check_function(module: &Module, function: &str) -> anyhow::Result<()> {
    match module.export(function) {
        _ if has(module, function) => Ok(()),
        Some(other) => bail!("it exports `{function}` as a {other}, not a function () -> ()"),
        None => {
            let others: Vec<String> = (module.exports())
                .map(|(name, _)| name)
                .filter(|name| has(module, name))
                .map(|name| format!("`{name}`"))
                .collect();
            let others = match others.is_empty() {
                true => "none".to_owned(),
                false => others.join(", "),
            };
            bail!(
                "it exports no function `{function}`; functions () -> () that it exports: {others}"
            )
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Program;
    use containerd_shim_wasm::sandbox::context::{Entrypoint, RuntimeContext, Source, WasmLayer};
    use oci_spec::image::{Descriptor, Digest, MediaType};
    use std::path::PathBuf;
    use wardian::Engine;

    /// A container with these arguments and layers, which says of its entry point what `containerd-shim-wasm` would.
    struct Container {
        args: Vec<String>,
        layers: Vec<WasmLayer>,
    }

    impl Container {
        fn new(args: &[&str], layers: &[(&str, &str)]) -> Container {
            let layer = |(media_type, text): &(&str, &str)| WasmLayer {
                config: Descriptor::new(
                    MediaType::from(*media_type),
                    text.len() as u64,
                    Digest::try_from(format!("sha256:{:064}", 7)).unwrap(),
                ),
                precompiled: false,
                layer: text.as_bytes().to_vec(),
            };
            Container {
                args: args.iter().map(|arg| arg.to_string()).collect(),
                layers: layers.iter().map(layer).collect(),
            }
        }
    }

    impl RuntimeContext for Container {
        fn args(&self) -> &[String] {
            &self.args
        }

        fn envs(&self) -> &[String] {
            &[]
        }

        fn entrypoint(&self) -> Entrypoint<'_> {
            let arg0 = self.args.first().map(String::as_str).unwrap_or_default();
            let (path, func) = arg0.split_once('#').unwrap_or((arg0, "_start"));
            let source = match self.layers.is_empty() {
                true => Source::File(PathBuf::from(path)),
                false => Source::Oci(&self.layers),
            };
            Entrypoint { func: func.into(), name: None, arg0: None, source }
        }
    }

    const COMPONENT: &[u8] = b"\0asm\x0d\0\x01\0";
    const MODULE: &str = r#"(module (func (export "_start")) (func (export "run"))
        (func (export "_initialize")) (func (export "add") (param i32)) (memory (export "memory") 1))"#;

    #[test]
    fn entry_points_are_files_with_functions() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.wasm");
        std::fs::write(&path, MODULE).unwrap();
        let path = path.to_str().unwrap();
        let engine = Engine::default();
        for (suffix, function, initialize) in
            [("", "_start", false), ("#run", "run", true), ("#_initialize", "_initialize", false)]
        {
            let arg0 = format!("{path}{suffix}");
            let program = Program::read(&Container::new(&[&arg0, "x", "y"], &[])).unwrap();
            assert_eq!(program.arguments, [&arg0, "x", "y"]);
            let program = program.compile(&engine).unwrap();
            assert_eq!((program.function.as_str(), program.initialize), (function, initialize));
        }
    }

    #[test]
    fn a_layer_is_a_module_whatever_its_media_type() {
        for media_type in crate::WASM_LAYERS {
            let container = Container::new(&["anything#run", "x"], &[(media_type, MODULE)]);
            let program = Program::read(&container).unwrap();
            assert_eq!(program.arguments, ["anything#run", "x"]);
            assert!(program.name.starts_with("the layer sha256:0"), "{}", program.name);
            let program = program.compile(&Engine::default()).unwrap();
            assert_eq!(program.function, "run", "{media_type}");
        }
    }

    #[test]
    fn what_is_wrong_is_said_with_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, bytes: &[u8]| {
            let path = folder.path().join(name);
            std::fs::write(&path, bytes).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let module = file("a.wasm", MODULE.as_bytes());
        let gone = folder.path().join("gone.wasm").to_str().unwrap().to_owned();
        let layer = ("application/wasm", MODULE);
        for (args, layers, expected) in [
            (vec![], vec![], "the image has no entry point".to_owned()),
            (vec!["#run".into()], vec![], "the image has no entry point".into()),
            (vec![gone.clone()], vec![], format!("cannot read {gone}: ")),
            (vec![file("empty.wasm", b"")], vec![], "empty.wasm is empty".into()),
            (vec![file("text.wasm", b"hello")], vec![], "text.wasm is not a module".into()),
            (
                vec![file("half.wasm", b"\0asm\x01\0\0\0\x01")],
                vec![],
                "half.wasm is not a module".into(),
            ),
            (
                vec![file("component.wasm", COMPONENT)],
                vec![],
                "this is a WebAssembly component".into(),
            ),
            (
                vec![format!("{module}#walk")],
                vec![],
                format!(
                    "cannot run {module}: it exports no function `walk`; functions () -> () that it exports: \
                    `_start`, `run`, `_initialize`"
                ),
            ),
            (vec![format!("{module}#add")], vec![], "it exports `add` as a".into()),
            (vec![format!("{module}#memory")], vec![], "it exports `memory` as a".into()),
            (vec![], vec![layer, layer], "the image has 2 layers that are modules".into()),
        ] {
            let container =
                Container::new(&args.iter().map(String::as_str).collect::<Vec<_>>(), &layers);
            let program = Program::read(&container);
            let error =
                program.and_then(|program| program.compile(&Engine::default())).unwrap_err();
            let error = format!("{error:#}");
            assert!(error.contains(&expected), "{args:?}: {error}");
        }
    }
}
