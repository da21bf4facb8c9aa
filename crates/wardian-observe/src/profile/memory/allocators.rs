//! Functions that allocate and free, known by their names and signatures.

use wardian::{ValType, inspect::FunctionDefinition};

/// What an allocator's arguments mean, by their positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Role {
    does: Does,
    /// Which of the arguments and the result have 64 bits.
    wide: u8,
    wide_result: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Does {
    /// Allocates so many bytes.
    Allocate {
        size: usize,
    },
    /// Allocates so many elements of so many bytes.
    AllocateArray {
        count: usize,
        size: usize,
    },
    /// Allocates so many bytes, and frees this.
    Reallocate {
        old: usize,
        size: usize,
    },
    Free {
        old: usize,
    },
}

impl Role {
    /// The role of a function, if its name and signature are an allocator's.
    pub(super) fn of(definition: &FunctionDefinition<'_>) -> Option<Role> {
        if definition.import().is_some() {
            return None;
        }
        let does = named(definition.name()?, &definition.demangled_name()?)?;
        let (needed, gives) = match does {
            Does::Allocate { size } => (size, true),
            Does::AllocateArray { count, size } => (count.max(size), true),
            Does::Reallocate { old, size } => (old.max(size), true),
            Does::Free { old } => (old, false),
        };
        let integer = |ty: &ValType| matches!(ty, ValType::I32 | ValType::I64);
        let params = definition.param_types().get(..=needed)?;
        let fits = params.iter().all(integer)
            && (!gives || matches!(definition.result_types(), [result] if integer(result)));
        let wide = |(i, ty): (usize, &ValType)| u8::from(*ty == ValType::I64) << i;
        fits.then(|| Role {
            does,
            wide: params.iter().enumerate().map(wide).sum(),
            wide_result: definition.result_types() == [ValType::I64],
        })
    }

    /// The bytes that a call asks for, and the address that it frees. None if the size overflows.
    pub(super) fn request(self, params: &[u64]) -> Option<(Option<u64>, Option<u64>)> {
        let param = |at: usize| {
            let value = *params.get(at)?;
            Some(if self.wide & (1 << at) != 0 { value } else { u64::from(value as u32) })
        };
        Some(match self.does {
            Does::Allocate { size } => (Some(param(size)?), None),
            Does::AllocateArray { count, size } => {
                (Some(param(count)?.checked_mul(param(size)?)?), None)
            }
            Does::Reallocate { old, size } => (Some(param(size)?), Some(param(old)?)),
            Does::Free { old } => (None, Some(param(old)?)),
        })
    }

    /// An address from a result's slot.
    pub(super) fn address(self, slot: u64) -> u64 {
        if self.wide_result { slot } else { u64::from(slot as u32) }
    }
}

fn named(raw: &str, demangled: &str) -> Option<Does> {
    let allocate = Does::Allocate { size: 0 };
    let free = Does::Free { old: 0 };
    let c = raw
        .strip_prefix("emscripten_builtin_")
        .or(raw.strip_prefix("__libc_"))
        .or(raw.strip_prefix("internal_"))
        .or(raw.strip_prefix("dl"))
        .unwrap_or(raw);
    match c {
        "malloc" => return Some(allocate),
        "calloc" => return Some(Does::AllocateArray { count: 0, size: 1 }),
        "realloc" => return Some(Does::Reallocate { old: 0, size: 1 }),
        "aligned_alloc" | "memalign" => return Some(Does::Allocate { size: 1 }),
        "free" => return Some(free),
        // TinyGo.
        "runtime.alloc" => return Some(allocate),
        _ => {}
    }
    // C++: operators new, new[], delete, delete[], with or without alignment and size.
    if ["_Znwm", "_Znwj", "_Znam", "_Znaj"].iter().any(|name| raw.starts_with(name)) {
        return Some(allocate);
    }
    if ["_ZdlPv", "_ZdaPv"].iter().any(|name| raw.starts_with(name)) {
        return Some(free);
    }
    let last = demangled.rsplit(['/', ':']).next().unwrap_or(demangled);
    match last {
        // Rust: the global allocator, and what stands behind it.
        "__rust_alloc"
        | "__rust_alloc_zeroed"
        | "__rdl_alloc"
        | "__rdl_alloc_zeroed"
        | "__rg_alloc"
        | "__rg_alloc_zeroed" => Some(allocate),
        "__rust_dealloc" | "__rdl_dealloc" | "__rg_dealloc" => Some(free),
        "__rust_realloc" | "__rdl_realloc" | "__rg_realloc" => {
            Some(Does::Reallocate { old: 0, size: 3 })
        }
        // AssemblyScript.
        "__new" | "__alloc" => Some(allocate),
        "__renew" | "__realloc" => Some(Does::Reallocate { old: 0, size: 1 }),
        "__free" => Some(free),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::Role;
    use wardian::{FuncType, ValType, testing::TestFunction};

    fn role(name: &str, params: &[ValType], results: &[ValType]) -> Option<Role> {
        let ty = FuncType::new(params.to_vec(), results.to_vec());
        Role::of(&TestFunction::new(ty).with_name(name).definition())
    }

    #[test]
    fn allocators_are_known_by_name_and_signature() {
        const I: ValType = ValType::I32;
        let asks = |name: &str, params: &[ValType], args: &[u64]| {
            role(name, params, &[I]).expect(name).request(args)
        };
        let garbage = 7 << 32;
        assert_eq!(asks("malloc", &[I], &[5 | garbage]), Some((Some(5), None)));
        assert_eq!(asks("dlcalloc", &[I, I], &[5, 6]), Some((Some(30), None)));
        assert_eq!(asks("realloc", &[I, I], &[16, 6]), Some((Some(6), Some(16))));
        assert_eq!(asks("_Znwm", &[I], &[3]), Some((Some(3), None)));
        assert_eq!(asks("~lib/rt/itcms/__new", &[I, I], &[3, 1]), Some((Some(3), None)));
        let v0 = "_RNvCsdBezzDwma51_7___rustc14___rust_realloc";
        for name in ["__rust_realloc", v0] {
            assert_eq!(asks(name, &[I; 4], &[8, 1, 1, 9]), Some((Some(9), Some(8))), "{name}");
        }
        let free = role("free", &[I], &[]).expect("it frees");
        assert_eq!(free.request(&[8]), Some((None, Some(8))));
        let wide = role("malloc", &[ValType::I64], &[ValType::I64]).expect("of a 64-bit memory");
        assert_eq!(wide.request(&[garbage]), Some((Some(garbage), None)));
        assert_eq!(wide.address(garbage), garbage);
        for (name, params, results) in [
            ("malloc", &[] as &[ValType], &[I] as &[ValType]),
            ("malloc", &[ValType::F32], &[I]),
            ("malloc", &[I], &[]),
            ("mallocs", &[I], &[I]),
            ("_ZN5arena4free17h0123456789abcdefE", &[I], &[]),
        ] {
            assert_eq!(role(name, params, results), None, "{name}");
        }
    }
}
