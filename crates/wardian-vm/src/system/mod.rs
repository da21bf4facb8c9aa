//! What depends on the system's library of C functions: one file each, all with the same verbs.
//!
//! | verb | does |
//! |---|---|
//! | `errno` | where the thread has the number of its last error |
//! | `move_pages` | moves the pages of a mapping elsewhere, and leaves the mapping as it is |

#[cfg(target_os = "android")]
mod android;
#[cfg(not(target_os = "android"))]
mod linux;

#[cfg(target_os = "android")]
pub(crate) use android::*;
#[cfg(not(target_os = "android"))]
pub(crate) use linux::*;
