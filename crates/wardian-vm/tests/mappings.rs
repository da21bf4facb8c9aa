//! The error when the system allows no more mappings. In a process of its own, for nobody else gets any
//! either.

use wardian_vm::stack::WasmStack;

#[test]
fn too_many_mappings_are_called_that() {
    let most = std::fs::read_to_string("/proc/sys/vm/max_map_count").unwrap_or_default();
    let most: usize = most.trim().parse().unwrap_or(usize::MAX);
    if most > 300_000 {
        // It would take gigabytes of the kernel's memory to find out.
        return;
    }
    let mut stacks = Vec::with_capacity(most);
    let error = loop {
        assert!(stacks.len() < most);
        match WasmStack::new(64 << 10, 0) {
            Ok(stack) => stacks.push(stack),
            Err(error) => break error.to_string(),
        }
    };
    drop(stacks);
    assert!(error.contains("mappings") && error.contains("vm.max_map_count"), "{error}");
    WasmStack::new(64 << 10, 0).unwrap();
}
