//! Vectors as arrays of lanes.

/// An array of lanes that makes up a vector.
pub(super) trait Lanes: Sized {
    fn of(vector: u128) -> Self;
    fn vector(self) -> u128;
}

macro_rules! lanes {
    ($($lane:ty, $count:literal;)*) => {$(
        impl Lanes for [$lane; $count] {
            #[inline(always)]
            fn of(vector: u128) -> Self {
                let bytes = vector.to_le_bytes();
                std::array::from_fn(|i| {
                    let mut lane = [0; size_of::<$lane>()];
                    lane.copy_from_slice(&bytes[i * size_of::<$lane>()..][..size_of::<$lane>()]);
                    <$lane>::from_le_bytes(lane)
                })
            }

            #[inline(always)]
            fn vector(self) -> u128 {
                let mut bytes = [0; 16];
                for i in 0..$count {
                    let lane = self[i].to_le_bytes();
                    bytes[i * size_of::<$lane>()..][..size_of::<$lane>()].copy_from_slice(&lane);
                }
                u128::from_le_bytes(bytes)
            }
        }
    )*};
}

lanes! {
    i8, 16;
    u8, 16;
    i16, 8;
    u16, 8;
    i32, 4;
    u32, 4;
    i64, 2;
    u64, 2;
}

/// `f` of each lane.
#[inline(always)]
pub(super) fn map<T: Copy, U: Copy, const N: usize>(a: u128, f: impl Fn(T) -> U) -> u128
where
    [T; N]: Lanes,
    [U; N]: Lanes,
{
    let a = <[T; N]>::of(a);
    <[U; N] as Lanes>::vector(std::array::from_fn(|i| f(a[i])))
}

/// `f` of each two lanes in the same place.
#[inline(always)]
pub(super) fn zip<T: Copy, U: Copy, const N: usize>(a: u128, b: u128, f: impl Fn(T, T) -> U) -> u128
where
    [T; N]: Lanes,
    [U; N]: Lanes,
{
    let (a, b) = (<[T; N]>::of(a), <[T; N]>::of(b));
    <[U; N] as Lanes>::vector(std::array::from_fn(|i| f(a[i], b[i])))
}

/// A vector of what `f` gives for each place.
#[inline(always)]
pub(super) fn build<U, const N: usize>(f: impl FnMut(usize) -> U) -> u128
where
    [U; N]: Lanes,
{
    std::array::from_fn::<U, N, _>(f).vector()
}

/// Functions of one vector: `name: lane, lanes, function of a lane`.
macro_rules! unary {
    ($($name:ident: $lane:ty, $count:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128) -> u128 {
            super::lanes::map::<$lane, _, $count>(a, $f)
        }
    )*};
}

/// Functions of two vectors: `name: lane, lanes, function of two lanes`.
macro_rules! binary {
    ($($name:ident: $lane:ty, $count:literal, $f:expr;)*) => {$(
        #[inline]
        pub(crate) fn $name(a: u128, b: u128) -> u128 {
            super::lanes::zip::<$lane, _, $count>(a, b, $f)
        }
    )*};
}

pub(super) use {binary, unary};
