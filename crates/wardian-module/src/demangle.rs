//! Mangled names made readable.

/// Bytes of a name that is looked at: of longer ones the beginning is shown, and none is demangled.
const LONGEST: usize = 16 << 10;

/// A function name as its author wrote it: Rust and C++ names demangled, others unchanged.
///
/// Names come from modules that nobody trusts. A name whose demangled form is out of proportion to it, or
/// nests too deep, is not demangled; names of more than 16 KiB are cut. Without the feature `demangle` all are unchanged
/// otherwise.
pub fn demangle(name: &str) -> String {
    if name.len() > LONGEST {
        let cut = name.floor_char_boundary(LONGEST);
        return format!("{}…", &name[..cut]);
    }
    demangled(name, LONGEST.min(256 + 32 * name.len())).unwrap_or_else(|| name.to_owned())
}

#[cfg(feature = "demangle")]
fn demangled(name: &str, room: usize) -> Option<String> {
    languages::rust(name, room).or_else(|| languages::cpp(name, room))
}

#[cfg(not(feature = "demangle"))]
fn demangled(_: &str, _: usize) -> Option<String> {
    None
}

#[cfg(feature = "demangle")]
mod languages {
    use cpp_demangle::{DemangleOptions, ParseOptions};
    use std::fmt::{self, Write as _};

    pub(super) fn rust(name: &str, room: usize) -> Option<String> {
        let symbol = rustc_demangle::try_demangle(name).ok()?;
        let mut text = Text { text: String::new(), room };
        // The alternate form leaves out the hash.
        write!(text, "{symbol:#}").ok()?;
        Some(text.text)
    }

    pub(super) fn cpp(name: &str, room: usize) -> Option<String> {
        if !name.starts_with("_Z") {
            return None;
        }
        // Both recurse, by half a kilobyte and more each time.
        let parse = ParseOptions::default().recursion_limit(96);
        let print = DemangleOptions::default().recursion_limit(128);
        let symbol = cpp_demangle::Symbol::new_with_options(name, &parse).ok()?;
        let mut text = Text { text: String::new(), room };
        symbol.structured_demangle(&mut text, &print).ok()?;
        Some(text.text)
    }

    /// Text of a limited length. Writing more fails: a part that refers twice to another one is no longer than
    /// its mangled form, but doubles the text and the time.
    struct Text {
        text: String,
        room: usize,
    }

    impl fmt::Write for Text {
        fn write_str(&mut self, s: &str) -> fmt::Result {
            self.room = self.room.checked_sub(s.len()).ok_or(fmt::Error)?;
            self.text.push_str(s);
            Ok(())
        }
    }
}

#[cfg(all(test, feature = "demangle"))]
mod tests {
    use super::demangle;

    #[test]
    fn demangles() {
        for (mangled, plain) in [
            ("_ZN4core3fmt9Formatter3pad17h0123456789abcdefE", "core::fmt::Formatter::pad"),
            ("_Z3addii", "add(int, int)"),
            ("main", "main"),
            ("_Zgarbage", "_Zgarbage"),
        ] {
            assert_eq!(demangle(mangled), plain);
        }
    }

    #[test]
    fn names_that_grow_out_of_proportion_stay_mangled() {
        let rust = "_RINvC1a1bTuuETB5_B5_ETBb_Bb_ETBj_Bj_ETBr_Br_ETBz_Bz_ETBH_BH_ETBP_BP_ETBX_BX_ETB15_B15_E\
                    TB1d_B1d_ETB1n_B1n_ETB1x_B1x_ETB1H_B1H_ETB1R_B1R_ETB21_B21_ETB2b_B2b_ETB2l_B2l_EE";
        for hostile in [rust.to_owned(), nested_pairs(40), nested_pairs(1000)] {
            let start = std::time::Instant::now();
            let shown = demangle(&hostile);
            assert!(
                shown.len() <= 256 + 32 * hostile.len(),
                "{} of {}",
                shown.len(),
                hostile.len()
            );
            assert!(start.elapsed().as_secs() < 5);
        }
        for (small, grown) in
            [(nested_pairs(1), nested_pairs(40)), (format!("{}E", &rust[..22]), rust.into())]
        {
            assert_ne!(demangle(&small), small);
            assert_eq!(demangle(&grown), grown);
        }
    }

    /// A C++ function whose argument types are pairs of the type before, each.
    fn nested_pairs(n: usize) -> String {
        let mut name = "_Z1f1aSt4pairIS_S_E".to_owned();
        for i in 0..n {
            let before = base_36(i + 1);
            name += &format!("S0_IS{before}_S{before}_E");
        }
        name
    }

    fn base_36(n: usize) -> String {
        let digit = |d: usize| char::from_digit(d as u32, 36).unwrap().to_ascii_uppercase();
        match n {
            0..36 => digit(n).to_string(),
            _ => format!("{}{}", base_36(n / 36), digit(n % 36)),
        }
    }

    #[test]
    fn long_names_are_cut_at_a_character() {
        let long = "ä".repeat(20_000);
        let shown = demangle(&format!("x{long}"));
        assert!(shown.ends_with("ä…") && shown.len() < 17_000);
    }
}
