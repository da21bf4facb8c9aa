//! WebAssembly values as text. What [`show`] writes [`parse`] reads, except for references.

use wardian::{Val, ValType};

/// The value that `text` is, or what it should look like.
pub(crate) fn parse(ty: ValType, text: &str) -> Result<Val, &'static str> {
    const INTEGER: &str = "it should be a decimal number, or a hexadecimal one with 0x, in range";
    const FLOAT: &str = "it should be a number, inf, nan or nan:0x and the payload";
    match ty {
        ValType::I32 => {
            let v = integer(text, 32).ok_or(INTEGER)?;
            Ok(Val::I32(v as u32 as i32))
        }
        ValType::I64 => Ok(Val::I64(integer(text, 64).ok_or(INTEGER)? as i64)),
        ValType::F32 => {
            if let Some(bits) = nan(text, &F32) {
                return Ok(Val::F32(bits as u32));
            }
            text.parse().map(|v: f32| Val::F32(v.to_bits())).map_err(|_| FLOAT)
        }
        ValType::F64 => {
            if let Some(bits) = nan(text, &F64) {
                return Ok(Val::F64(bits));
            }
            text.parse().map(|v: f64| Val::F64(v.to_bits())).map_err(|_| FLOAT)
        }
        ValType::V128 => {
            hex(text).map(Val::V128).ok_or("it should be hexadecimal with 0x, of at most 32 digits")
        }
        ValType::Ref(_) if text == "null" => Ok(Val::zero(ty)),
        ValType::Ref(_) => Err("only null can be given"),
    }
}

/// A value as text.
pub(crate) fn show(value: &Val) -> String {
    match value {
        Val::I32(v) => v.to_string(),
        Val::I64(v) => v.to_string(),
        Val::F32(bits) => show_nan(u64::from(*bits), &F32)
            .unwrap_or_else(|| format!("{:?}", f32::from_bits(*bits))),
        Val::F64(bits) => {
            show_nan(*bits, &F64).unwrap_or_else(|| format!("{:?}", f64::from_bits(*bits)))
        }
        Val::V128(v) => format!("{v:#034x}"),
        Val::FuncRef(None) | Val::ExternRef(None) | Val::AnyRef(None) | Val::ExnRef(None) => {
            "null".to_owned()
        }
        Val::FuncRef(Some(_)) => "funcref".to_owned(),
        Val::ExternRef(Some(_)) => "externref".to_owned(),
        Val::AnyRef(Some(_)) => "anyref".to_owned(),
        Val::ExnRef(Some(_)) => "exnref".to_owned(),
        other => other.ty().to_string(),
    }
}

/// An integer of `width` bits, signed or unsigned, in two's complement.
fn integer(text: &str, width: u32) -> Option<u64> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text),
    };
    let magnitude = match hex(digits) {
        Some(v) => v,
        None if digits.starts_with(|c: char| c.is_ascii_digit()) => digits.parse().ok()?,
        None => return None,
    };
    let limit = if negative { 1u128 << (width - 1) } else { (1u128 << width) - 1 };
    let magnitude = u64::try_from(Some(magnitude).filter(|m| *m <= limit)?).ok()?;
    Some(if negative { magnitude.wrapping_neg() } else { magnitude })
}

fn hex(text: &str) -> Option<u128> {
    let digits = text.strip_prefix("0x").or_else(|| text.strip_prefix("0X"))?;
    // `from_str_radix` would let a sign pass.
    let digits = Some(digits).filter(|d| d.bytes().all(|b| b.is_ascii_hexdigit()))?;
    u128::from_str_radix(digits, 16).ok()
}

/// The shape of a float's bits.
struct Format {
    width: u32,
    /// Bits of the fraction.
    fraction: u32,
}

const F32: Format = Format { width: 32, fraction: 23 };
const F64: Format = Format { width: 64, fraction: 52 };

impl Format {
    fn sign(&self) -> u64 {
        1 << (self.width - 1)
    }

    fn infinity(&self) -> u64 {
        self.sign() - (1 << self.fraction)
    }

    /// The payload of the NaN that operators give.
    fn canonical(&self) -> u64 {
        1 << (self.fraction - 1)
    }
}

/// `nan` or `nan:0xPAYLOAD`, with or without a sign.
fn nan(text: &str, format: &Format) -> Option<u64> {
    let (sign, text) = match text.strip_prefix('-') {
        Some(text) => (format.sign(), text),
        None => (0, text),
    };
    let payload = if text.eq_ignore_ascii_case("nan") {
        format.canonical()
    } else {
        let payload = u64::try_from(hex(text.strip_prefix("nan:")?)?).ok()?;
        Some(payload).filter(|p| *p > 0 && *p < 1 << format.fraction)?
    };
    Some(sign | format.infinity() | payload)
}

fn show_nan(bits: u64, format: &Format) -> Option<String> {
    let magnitude = bits & !format.sign();
    let payload = magnitude.checked_sub(format.infinity()).filter(|p| *p > 0)?;
    let sign = if bits & format.sign() != 0 { "-" } else { "" };
    Some(if payload == format.canonical() {
        format!("{sign}nan")
    } else {
        format!("{sign}nan:{payload:#x}")
    })
}

#[cfg(test)]
mod tests {
    use super::{parse, show};
    use wardian::ValType;

    #[test]
    fn shown_values_parse_back() {
        for (ty, text, shown) in [
            (ValType::I32, "-1", "-1"),
            (ValType::I32, "4294967295", "-1"),
            (ValType::I32, "0xffffffff", "-1"),
            (ValType::I32, "-0x80000000", "-2147483648"),
            (ValType::I64, "18446744073709551615", "-1"),
            (ValType::I64, "-9223372036854775808", "-9223372036854775808"),
            (ValType::F32, "1", "1.0"),
            (ValType::F32, "0.1", "0.1"),
            (ValType::F32, "nan", "nan"),
            (ValType::F32, "-nan", "-nan"),
            (ValType::F32, "nan:0x200000", "nan:0x200000"),
            (ValType::F64, "-inf", "-inf"),
            (ValType::F64, "-0", "-0.0"),
            (ValType::F64, "1e300", "1e300"),
            (ValType::F64, "nan:0x1", "nan:0x1"),
            (ValType::V128, "0x1", "0x00000000000000000000000000000001"),
            (ValType::FUNCREF, "null", "null"),
            (ValType::EXTERNREF, "null", "null"),
        ] {
            let first = show(&parse(ty, text).unwrap_or_else(|e| panic!("{text}: {e}")));
            assert_eq!(first, shown, "{ty} {text}");
            assert_eq!(show(&parse(ty, &first).unwrap()), shown, "{ty} {first}");
        }
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (ty, text) in [
            (ValType::I32, "4294967296"),
            (ValType::I32, "-2147483649"),
            (ValType::I32, ""),
            (ValType::I32, "-"),
            (ValType::I32, "0x"),
            (ValType::I32, "0x-1"),
            (ValType::I32, "1.5"),
            (ValType::I32, "+-1"),
            (ValType::I64, "18446744073709551616"),
            (ValType::F32, "nan:0x0"),
            (ValType::F32, "nan:0x800000"),
            (ValType::F64, "one"),
            (ValType::V128, "1"),
            (ValType::V128, "0x100000000000000000000000000000000"),
            (ValType::FUNCREF, "0"),
        ] {
            assert!(parse(ty, text).is_err(), "{ty} {text}");
        }
    }
}
