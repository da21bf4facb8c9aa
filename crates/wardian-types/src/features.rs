//! Which parts of WebAssembly a module may use.

use std::fmt;

bitflags::bitflags! {
    /// A set of WebAssembly features. A module that uses one that is off is rejected, and the
    /// error names the feature.
    ///
    /// ```
    /// use wardian_types::CoreFeatures;
    /// let features = CoreFeatures::V2 | CoreFeatures::TAIL_CALL;
    /// assert!(features.contains(CoreFeatures::SIMD));
    /// assert!(!features.contains(CoreFeatures::THREADS));
    /// ```
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
    pub struct CoreFeatures: u64 {
        /// Import and export of mutable globals.
        const MUTABLE_GLOBAL = 1 << 0;
        /// `i32.extend8_s` and its kin.
        const SIGN_EXTENSION_OPS = 1 << 1;
        /// Conversions from float to integer that saturate rather than trap.
        const NON_TRAPPING_FLOAT_TO_INT = 1 << 2;
        /// Several results for functions and blocks, and parameters for blocks.
        const MULTI_VALUE = 1 << 3;
        /// `memory.copy`, `memory.fill`, passive segments.
        const BULK_MEMORY = 1 << 4;
        /// `funcref` and `externref` as values, several tables.
        const REFERENCE_TYPES = 1 << 5;
        /// 128-bit vectors.
        const SIMD = 1 << 6;
        /// Integer addition, subtraction and multiplication in constant expressions.
        const EXTENDED_CONST = 1 << 7;
        /// `return_call` and `return_call_indirect`.
        const TAIL_CALL = 1 << 8;
        /// Vector instructions whose results may differ between machines.
        const RELAXED_SIMD = 1 << 9;
        /// Several memories in a module.
        const MULTI_MEMORY = 1 << 10;
        /// 64-bit memories and tables.
        const MEMORY64 = 1 << 11;
        /// Memories with pages of one byte.
        const CUSTOM_PAGE_SIZES = 1 << 12;
        /// Shared memories and atomic instructions.
        const THREADS = 1 << 13;
        /// References to functions of one type, which may exclude null: `call_ref`, `br_on_null` and
        /// their kin, tables with an initial value.
        const FUNCTION_REFERENCES = 1 << 14;
        /// `i64.add128`, `i64.sub128`, `i64.mul_wide_s` and `i64.mul_wide_u`.
        const WIDE_ARITHMETIC = 1 << 15;
        /// Exceptions: tags, `throw`, `try_table`, `throw_ref` and `exnref`.
        const EXCEPTIONS = 1 << 16;
        /// The instructions that exceptions had before WebAssembly 3.0, which many compilers emit: `try`,
        /// `catch`, `catch_all`, `delegate` and `rethrow`.
        const LEGACY_EXCEPTIONS = 1 << 17;
        /// Structs, arrays and `i31ref`, which a collector frees, and types with subtypes. Needs
        /// [`CoreFeatures::FUNCTION_REFERENCES`].
        const GC = 1 << 18;

        /// WebAssembly 1.0, as finished in 2019 (with mutable globals).
        const V1 = Self::MUTABLE_GLOBAL.bits();
        /// WebAssembly 2.0.
        const V2 = Self::V1.bits()
            | Self::SIGN_EXTENSION_OPS.bits()
            | Self::NON_TRAPPING_FLOAT_TO_INT.bits()
            | Self::MULTI_VALUE.bits()
            | Self::BULK_MEMORY.bits()
            | Self::REFERENCE_TYPES.bits()
            | Self::SIMD.bits();
        /// WebAssembly 3.0.
        const V3 = Self::V2.bits()
            | Self::EXTENDED_CONST.bits()
            | Self::TAIL_CALL.bits()
            | Self::RELAXED_SIMD.bits()
            | Self::MULTI_MEMORY.bits()
            | Self::MEMORY64.bits()
            | Self::FUNCTION_REFERENCES.bits()
            | Self::EXCEPTIONS.bits()
            | Self::GC.bits();
    }
}

impl Default for CoreFeatures {
    /// Everything that Wardian implements.
    fn default() -> Self {
        CoreFeatures::all()
    }
}

impl CoreFeatures {
    /// The names of the features in the set, in kebab case as the command line takes them.
    pub fn names(self) -> impl Iterator<Item = String> {
        // The sets are declared behind the features that they consist of, so that these are found.
        self.iter_names().map(|(name, _)| name.to_ascii_lowercase().replace('_', "-"))
    }
}

impl fmt::Display for CoreFeatures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, name) in self.names().enumerate() {
            write!(f, "{}{name}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::CoreFeatures;

    #[test]
    fn names_are_single_features() {
        let names: Vec<_> = CoreFeatures::V2.names().collect();
        assert_eq!(
            names,
            [
                "mutable-global",
                "sign-extension-ops",
                "non-trapping-float-to-int",
                "multi-value",
                "bulk-memory",
                "reference-types",
                "simd"
            ]
        );
        assert_eq!(CoreFeatures::all().names().count(), 19);
    }
}
