//! What toolchains write into custom sections, and the names of sections.

use wasmparser::{BinaryReader, ProducersSectionReader};

/// Fields of the `producers` section: for each (`language`, `processed-by`, …) names and versions.
pub(crate) type Producers = Vec<(String, Vec<(String, String)>)>;

/// Reads the `producers` section. A custom section may be broken; what comes before is used.
pub(crate) fn producers(section: &[u8]) -> Producers {
    let Ok(fields) = ProducersSectionReader::new(BinaryReader::new(section, 0)) else {
        return Producers::new();
    };
    let read = |field: wasmparser::ProducersField<'_>| {
        let values = field.values.into_iter().map_while(Result::ok);
        let values = values.map(|v| (v.name.to_owned(), v.version.to_owned()));
        (field.name.to_owned(), values.collect())
    };
    fields.into_iter().map_while(Result::ok).map(read).collect()
}

/// Reads the `target_features` section: the features that the compiler was asked to use, with a sign: `+`
/// used, `-` not to be linked with, `=` required.
pub(crate) fn target_features(section: &[u8]) -> Vec<String> {
    let mut reader = BinaryReader::new(section, 0);
    let count = reader.read_var_u32().unwrap_or(0);
    let mut feature = || {
        let sign = char::from(reader.read_u8().ok()?);
        Some(format!("{sign}{}", reader.read_string().ok()?))
    };
    (0..count).map_while(|_| feature()).collect()
}

/// The name of a section by its number (core specification, "Sections").
pub(crate) fn name(id: u8) -> &'static str {
    const NAMES: [&str; 14] = [
        "custom",
        "type",
        "import",
        "function",
        "table",
        "memory",
        "global",
        "export",
        "start",
        "element",
        "code",
        "data",
        "data count",
        "tag",
    ];
    NAMES.get(usize::from(id)).copied().unwrap_or("unknown")
}
