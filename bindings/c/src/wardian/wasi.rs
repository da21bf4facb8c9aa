//! What a program of WASI sees.

use crate::store::Handle;
use crate::{give, take};
use std::ffi::{CStr, OsStr, c_char};
use std::os::unix::ffi::OsStrExt;
use wardian_wasi::{DirPerms, RestoreOptions, WasiCtx, WasiCtxBuilder, WasiState};

/// `wardian_wasi_t`.
pub struct Wasi(Option<WasiCtxBuilder>);

impl Wasi {
    /// Changes the builder, if that works on an empty one.
    fn change<E>(&mut self, change: impl Fn(WasiCtxBuilder) -> Result<WasiCtxBuilder, E>) -> bool {
        if change(WasiCtx::builder()).is_err() {
            return false;
        }
        self.0 = self.0.take().and_then(|builder| change(builder).ok());
        self.0.is_some()
    }

    /// What a program is given that had this state; without streams and directories if there is no description.
    pub(super) fn restored(wasi: Option<Box<Wasi>>, state: &WasiState) -> wardian::Result<WasiCtx> {
        let builder = wasi.and_then(|wasi| wasi.0).unwrap_or_else(WasiCtx::builder);
        builder.restore(state, &RestoreOptions::new()).map_err(wardian::Error::host)
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn wardian_wasi_new() -> *mut Wasi {
    give(Wasi(Some(WasiCtx::builder())))
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_wasi_delete(wasi: *mut Wasi) {
    // SAFETY: see the crate's documentation.
    drop(unsafe { take(wasi) });
}

/// A text, if it is UTF-8.
unsafe fn text(text: *const c_char) -> Option<String> {
    // SAFETY: the caller's promise.
    unsafe { CStr::from_ptr(text) }.to_str().ok().map(str::to_owned)
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_wasi_arg(wasi: *mut Wasi, arg: *const c_char) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let Some(arg) = text(arg) else { return false };
        (*wasi).change(|builder| builder.arg(&arg))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_wasi_env(
    wasi: *mut Wasi,
    name: *const c_char,
    value: *const c_char,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let (Some(name), Some(value)) = (text(name), text(value)) else { return false };
        (*wasi).change(|builder| builder.env(&name, &value))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_wasi_inherit_stdio(wasi: *mut Wasi) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe { (*wasi).change(WasiCtxBuilder::inherit_stdio) }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_wasi_dir(
    wasi: *mut Wasi,
    host: *const c_char,
    guest: *const c_char,
    read_only: bool,
) -> bool {
    // SAFETY: see the crate's documentation.
    unsafe {
        let host = OsStr::from_bytes(CStr::from_ptr(host).to_bytes());
        let Some(guest) = text(guest) else { return false };
        let access = if read_only { DirPerms::ReadOnly } else { DirPerms::ReadWrite };
        (*wasi).change(|builder| builder.preopen_dir(host, &guest, access))
    }
}

#[unsafe(no_mangle)]
pub unsafe extern "C" fn wardian_store_set_wasi(store: *mut Handle, wasi: *mut Wasi) {
    // SAFETY: see the crate's documentation.
    unsafe {
        let builder = take(wasi).and_then(|wasi| wasi.0);
        let wasi = builder.unwrap_or_else(WasiCtx::builder).build();
        (*store).with(|mut context| context.data_mut().wasi = wasi);
    }
}
