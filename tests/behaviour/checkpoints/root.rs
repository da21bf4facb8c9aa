//! The hash of a checkpoint, for those who forge them: tests here, and the fuzz target.

/// The root hash of a checkpoint: of all but the bytes of modules, of plain chunks, and of the hash itself. None if its
/// lengths do not lead to its end.
pub(crate) fn root(bytes: &[u8]) -> Option<[u8; 32]> {
    let mut hasher = blake3::Hasher::new();
    let mut rest = bytes;
    let mut take = |len: u64, hashed: bool| -> Option<&[u8]> {
        let (part, more) = rest.split_at_checked(usize::try_from(len).ok()?)?;
        rest = more;
        if hashed {
            hasher.update(part);
        }
        Some(part)
    };
    let number = |bytes: &[u8]| bytes.iter().rev().fold(0, |n, byte| n << 8 | u64::from(*byte));
    take(12, true)?;
    loop {
        let header = take(9, true)?;
        let (id, mut len) = (header[0], number(&header[1..]));
        match id {
            0 => return Some(*hasher.finalize().as_bytes()),
            2 => drop(take(len, false)?),
            3 => {
                take(4, true)?;
                len = len.checked_sub(4)?;
                while len > 0 {
                    let header = take(45, true)?;
                    let (packing, packed) = (header[8], number(&header[9..13]));
                    take(packed, packing != 1)?;
                    len = len.checked_sub(45 + packed)?;
                }
            }
            4 => {
                let mut plain = 0;
                let header = take(8, true)?;
                for _ in 0..number(&header[4..]) {
                    plain += number(&take(45, true)?[9..13]);
                    len = len.checked_sub(45)?;
                }
                let padding = number(take(4, true)?);
                take(padding, true)?;
                take(plain, false)?;
                len.checked_sub(12 + padding + plain).filter(|rest| *rest == 0)?;
            }
            _ => drop(take(len, true)?),
        }
    }
}
