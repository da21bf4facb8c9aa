//! A program whose state was saved, changed and restored, and makes any calls then.

use super::guest::Guest;
use super::{builder, wild};
use crate::input::Input;
use crate::outcome::note;
use std::path::Path;
use wardian_wasi::{Changed, RestoreOptions, WasiState};

pub(super) fn run(guest: &mut Guest, input: &mut Input<'_>, folder: &Path) {
    let outside = folder.join("outside");
    let calls = input.below(600);
    wild::run(guest, &mut Input::new(input.take(calls)), &outside);
    let Ok(state) = guest.ctx.save() else { return };
    let mut bytes = state.to_bytes();
    for _ in 0..input.below(6) {
        change(&mut bytes, input);
    }
    let forged = match WasiState::from_bytes(&bytes) {
        Ok(forged) => forged,
        Err(error) => {
            assert!(error.at() <= bytes.len() && error.to_string().len() < 200, "{error}");
            note("not a state".to_owned());
            return;
        }
    };
    assert_eq!(forged.to_bytes(), bytes, "a state has one encoding");
    let shown: usize = forged.descriptors().map(|d| d.to_string().len()).sum();
    assert!(shown < 1 << 20);
    let options = RestoreOptions::new().changed(Changed::Accept);
    match builder(folder).restore(&forged, &options) {
        Ok(ctx) => {
            note("restored".to_owned());
            guest.ctx = ctx;
            wild::run(guest, input, &outside);
        }
        Err(error) => {
            assert!(forged != state, "what was saved is not restored: {error}");
            note("not restored".to_owned());
        }
    }
}

fn change(bytes: &mut Vec<u8>, input: &mut Input<'_>) {
    let at = input.below(bytes.len().max(1));
    match input.below(6) {
        0 => bytes.truncate(at),
        1 => bytes.splice(at..at, input.take(4).iter().copied()).for_each(drop),
        2 => {
            let end = bytes.len().min(at + 4);
            bytes[at..end].fill(input.pick(&[0, 0xff, 1]));
        }
        3 => bytes[at] ^= 1 << input.below(8),
        _ => bytes[at] = input.pick(b"/.\0lm\x01\x02\x03\x05\xff"),
    }
    if bytes.is_empty() {
        bytes.push(0);
    }
}
