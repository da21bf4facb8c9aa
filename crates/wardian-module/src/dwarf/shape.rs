//! What is looked at before debug information is interpreted: how deep it nests, and which units claim
//! which code.

use super::metered::Metered;
use addr2line::gimli::{self, Dwarf, Error, UnitHeader, UnitRef, UnitType};

/// Inlined calls within each other, in one function. The interpreter recurses into them.
const INLINED: usize = 256;

/// Attributes of one entry, and those of them that take no room in `.debug_info`: the limit of what is read
/// does not see these.
const ATTRIBUTES: usize = 256;
const EMPTY_ATTRIBUTES: usize = 32;

/// The debug information nests too deep, or its entries have too many attributes.
pub(super) struct TooComplex;

/// The ranges of code that units claim, in the order in which they are searched for an address.
#[derive(Debug, Default)]
pub(super) struct Claims(Vec<Claim>);

#[derive(Debug)]
struct Claim {
    begin: u64,
    end: u64,
    /// The lowest `begin` of this range and all that follow it.
    min_begin: u64,
}

impl Claims {
    /// How many ranges a search for addresses looks at, and how many of them it finds.
    pub(super) fn searched(&self, low: u64, high: u64) -> (u64, u64) {
        let from = self.0.partition_point(|claim| claim.end <= low);
        let looked_at = self.0[from..].iter().take_while(|claim| claim.min_begin < high);
        let mut counts = (0, 0);
        for claim in looked_at {
            counts = (counts.0 + 1, counts.1 + u64::from(claim.begin < high));
        }
        counts
    }

    fn sorted(mut claims: Vec<Claim>) -> Claims {
        claims.sort_unstable_by_key(|claim| claim.end);
        let mut min = u64::MAX;
        for claim in claims.iter_mut().rev() {
            min = min.min(claim.begin);
            claim.min_begin = min;
        }
        Claims(claims)
    }
}

/// Looks at all units. Those that cannot be read are left to the interpreter, which gives up on them too.
pub(super) fn examine(dwarf: &Dwarf<Metered>) -> Result<Claims, TooComplex> {
    let mut claims = Vec::new();
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        match walk(dwarf, &header) {
            Err(Stop::TooComplex) => return Err(TooComplex),
            Err(Stop::Unreadable) | Ok(()) => {}
        }
        if !matches!(header.type_(), UnitType::Type { .. } | UnitType::SplitType { .. }) {
            // What was found before an error counts.
            let _ = claimed(dwarf, header, &mut claims);
        }
    }
    Ok(Claims::sorted(claims))
}

/// Looks at the units of a file that units of the module are split into. What code they have is said by the module.
pub(super) fn examine_rest(rest: &Dwarf<Metered>) -> Result<(), TooComplex> {
    let mut units = rest.units();
    while let Ok(Some(header)) = units.next() {
        if let Err(Stop::TooComplex) = walk(rest, &header) {
            return Err(TooComplex);
        }
    }
    Ok(())
}

enum Stop {
    TooComplex,
    Unreadable,
}

impl From<Error> for Stop {
    fn from(_: Error) -> Stop {
        Stop::Unreadable
    }
}

/// Walks the entries of a unit.
fn walk(dwarf: &Dwarf<Metered>, header: &UnitHeader<Metered>) -> Result<(), Stop> {
    let abbreviations = dwarf.abbreviations(header)?;
    let mut entries = header.entries_raw(&abbreviations, None)?;
    // The depths of the inlined calls that the entry is in.
    let mut inlined: Vec<isize> = Vec::new();
    while !entries.is_empty() {
        let depth = entries.next_depth();
        while inlined.last().is_some_and(|outer| *outer >= depth) {
            inlined.pop();
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        let attributes = abbreviation.attributes();
        if attributes.len() > ATTRIBUTES
            || attributes.iter().filter(|a| is_empty(a.form())).count() > EMPTY_ATTRIBUTES
        {
            return Err(Stop::TooComplex);
        }
        entries.skip_attributes(attributes)?;
        if abbreviation.tag() == gimli::DW_TAG_inlined_subroutine {
            inlined.push(depth);
            if inlined.len() > INLINED {
                return Err(Stop::TooComplex);
            }
        }
    }
    Ok(())
}

fn is_empty(form: gimli::DwForm) -> bool {
    matches!(form, gimli::DW_FORM_flag_present | gimli::DW_FORM_implicit_const)
}

/// The code that a unit claims; that of its lines if it says nothing else.
fn claimed(
    dwarf: &Dwarf<Metered>,
    header: UnitHeader<Metered>,
    claims: &mut Vec<Claim>,
) -> Result<(), Error> {
    let unit = dwarf.unit(header)?;
    let unit = UnitRef::new(dwarf, &unit);
    let before = claims.len();
    let mut claim = |begin: u64, end: u64| {
        if begin < end {
            claims.push(Claim { begin, end, min_begin: 0 });
        }
    };
    let mut ranges = unit.unit_ranges()?;
    while let Some(range) = ranges.next()? {
        claim(range.begin, range.end);
    }
    if claims.len() == before
        && let Some(program) = unit.line_program.clone()
    {
        let mut rows = program.rows();
        let mut start = None;
        while let Some((_, row)) = rows.next_row()? {
            let first = *start.get_or_insert(row.address());
            if row.end_sequence() {
                start = None;
                if first < row.address() {
                    claims.push(Claim { begin: first, end: row.address(), min_begin: 0 });
                }
            }
        }
    }
    Ok(())
}

/// Whether the addresses of all sequences of lines ascend.
pub(super) fn lines_ascend(dwarf: &Dwarf<Metered>) -> bool {
    let mut units = dwarf.units();
    while let Ok(Some(header)) = units.next() {
        let Ok(unit) = dwarf.unit(header) else { continue };
        let Some(program) = unit.line_program else { continue };
        let mut rows = program.rows();
        let mut last = 0;
        while let Ok(Some((_, row))) = rows.next_row() {
            if row.address() < last {
                return false;
            }
            last = if row.end_sequence() { 0 } else { row.address() };
        }
    }
    true
}
