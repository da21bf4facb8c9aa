//! The unsafe heart of Wardian.
#![allow(unsafe_code)]

pub mod layout;
