//! Tells the executor whether its handlers' last calls become jumps: only an optimising build makes
//! them so, any other would pile up a native frame for each instruction.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(tail_dispatch)");
    println!("cargo::rerun-if-env-changed=OPT_LEVEL");
    let level = std::env::var("OPT_LEVEL").unwrap_or_default();
    if level != "0" && level != "1" {
        println!("cargo::rustc-cfg=tail_dispatch");
    }
}
