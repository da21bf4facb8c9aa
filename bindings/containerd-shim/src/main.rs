//! A containerd shim that runs WebAssembly programs with Wardian: see docs/kubernetes.md.
//!
//! containerd starts it under the name `containerd-shim-wardian-v1` and asks for containers. `containerd-shim-wasm` answers:
//! it makes namespaces, control groups and mounts, and in the process of the container, when all of that is in effect, calls
//! [`sandbox::WardianSandbox`].

mod checkpoint;
mod directories;
mod exit;
mod guest;
mod memory;
mod privileges;
mod program;
mod sandbox;
mod settings;
mod stop;
mod threads;

use containerd_shim_wasm::shim::{Cli, Shim, Version, version};
use sandbox::WardianSandbox;

/// What the registries call layers that are modules: the first since the component model, the second by the CNCF's
/// guidance for OCI artifacts. An image of ordinary layers has none of them.
const WASM_LAYERS: &[&str] =
    &["application/vnd.bytecodealliance.wasm.component.layer.v0+wasm", "application/wasm"];

struct WardianShim;

impl Shim for WardianShim {
    type Sandbox = WardianSandbox;

    fn name() -> &'static str {
        "wardian"
    }

    fn version() -> Version {
        version!()
    }

    fn supported_layers_types() -> &'static [&'static str] {
        WASM_LAYERS
    }
}

fn main() {
    WardianShim::run(None);
}

#[cfg(test)]
mod tests {
    use super::{Shim, WardianShim};

    #[test]
    fn layers_of_both_media_types_are_asked_for() {
        let types = WardianShim::supported_layers_types();
        assert!(types.contains(&"application/wasm"));
        assert!(types.contains(&"application/vnd.bytecodealliance.wasm.component.layer.v0+wasm"));
    }
}
