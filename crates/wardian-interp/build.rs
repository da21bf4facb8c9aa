//! Sets a cfg for the executor that says whether its handlers' last calls become jumps: only an optimising build makes
//! them so, any other would pile up a native frame for each instruction. Nor does one with a sanitizer,
//! which has something to do when a handler returns. Nor do processors of 32 bits and Windows, where some of what handlers
//! pass to each other is passed on the stack.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tail_dispatch)");
    println!("cargo::rerun-if-env-changed=OPT_LEVEL");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    // Set by nightly compilers only, as are sanitizers.
    let sanitized = std::env::var_os("CARGO_CFG_SANITIZE").is_some();
    let width = std::env::var("CARGO_CFG_TARGET_POINTER_WIDTH").unwrap_or_default();
    let windows = std::env::var_os("CARGO_CFG_WINDOWS").is_some();
    if level != "0" && level != "1" && !sanitized && width == "64" && !windows {
        println!("cargo::rustc-cfg=tail_dispatch");
    }
}
