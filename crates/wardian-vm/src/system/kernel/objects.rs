//! The object files of this process: the program and its shared libraries.
//!
//! ```text
//!   dl_iterate_phdr ──> object ── program headers ── PT_LOAD: where it lies
//!                                                 └─ PT_NOTE: [name size │ size │ type │ name │ bytes] ...
//! ```

use crate::addr::CodeAddr;
use crate::object::Object;
use std::ffi::{CStr, OsStr};
use std::os::unix::ffi::OsStrExt;

/// The object in which an address lies; an empty one if there is none.
pub(crate) fn object_at(address: CodeAddr) -> Object {
    let mut search = Search { address, found: Object::default() };
    // SAFETY: `visit` is called during this call only, with the pointer to `search`.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

struct Search {
    address: CodeAddr,
    found: Object,
}

/// Looks at one object; other than zero if it is the one.
unsafe extern "C" fn visit(
    info: *mut libc::dl_phdr_info,
    _: libc::size_t,
    search: *mut libc::c_void,
) -> libc::c_int {
    // SAFETY: the system gives valid records of an object that stays loaded meanwhile, and the pointer
    // that it was given; segments are mapped where the headers say.
    unsafe {
        let (info, search) = (&*info, &mut *search.cast::<Search>());
        let headers = std::slice::from_raw_parts(info.dlpi_phdr, usize::from(info.dlpi_phnum));
        let start =
            |h: &Header| CodeAddr::from_usize(info.dlpi_addr as usize).add(h.p_vaddr as usize);
        let holds = |h: &Header| search.address.bytes_from(start(h)) < h.p_memsz as usize;
        if !headers.iter().any(|h| h.p_type == libc::PT_LOAD && holds(h)) {
            return 0;
        }
        let name = CStr::from_ptr(info.dlpi_name).to_bytes();
        search.found.path = (!name.is_empty()).then(|| OsStr::from_bytes(name).into());
        let notes = headers.iter().filter(|h| h.p_type == libc::PT_NOTE);
        search.found.build_id = notes
            .map(|h| {
                std::slice::from_raw_parts(start(h).as_usize() as *const u8, h.p_memsz as usize)
            })
            .find_map(build_id);
        1
    }
}

#[cfg(target_pointer_width = "64")]
type Header = libc::Elf64_Phdr;
#[cfg(target_pointer_width = "32")]
type Header = libc::Elf32_Phdr;

/// The linker's build number among the notes of a segment.
fn build_id(mut notes: &[u8]) -> Option<Vec<u8>> {
    const BUILD_ID: u32 = 3;
    const NAME: &[u8] = b"GNU\0";
    let word = |bytes: &[u8], at: usize| {
        bytes.get(at..at + 4).map(|w| u32::from_ne_bytes([w[0], w[1], w[2], w[3]]))
    };
    loop {
        let (name_size, size) = (word(notes, 0)? as usize, word(notes, 4)? as usize);
        let kind = word(notes, 8)?;
        let rest = notes.get(12..)?;
        let (name, padded) = (rest.get(..name_size)?, name_size.checked_next_multiple_of(4)?);
        let bytes = rest.get(padded..)?.get(..size)?;
        if kind == BUILD_ID && name == NAME {
            return Some(bytes.to_vec());
        }
        notes = rest.get(padded.checked_add(size.checked_next_multiple_of(4)?)?..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(kind: u32, name: &[u8], bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        for word in [name.len() as u32, bytes.len() as u32, kind] {
            out.extend_from_slice(&word.to_ne_bytes());
        }
        for part in [name, bytes] {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(4), 0);
        }
        out
    }

    #[test]
    fn build_numbers_are_found_among_other_notes() {
        let others = [note(1, b"GNU\0", b"12345"), note(3, b"Go\0", b"x")].concat();
        let notes = [others.clone(), note(3, b"GNU\0", b"id")].concat();
        assert_eq!(build_id(&notes), Some(b"id".to_vec()));
        assert_eq!(build_id(&others), None);
        for len in 0..notes.len() - 4 {
            assert_eq!(build_id(&notes[..len]), None, "{len} bytes");
        }
        assert_eq!(build_id(&[0xff; 64]), None, "sizes that overflow");
    }
}
