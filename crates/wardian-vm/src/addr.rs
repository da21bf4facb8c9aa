//! Addresses as types of their own: an address of code is no address on a stack.
//!
//! Each is a `usize` at run time, in registers and in memory, so layouts that machine code reads have them as fields.

use std::ops::Range;

/// Defines types of addresses.
macro_rules! address_types {
    ($($(#[$meta:meta])* pub struct $name:ident;)*) => {$(
        $(#[$meta])*
        #[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(transparent)]
        pub struct $name(usize);

        impl $name {
            /// No address.
            pub const NULL: $name = $name(0);

            /// The address with this number.
            #[inline(always)]
            pub const fn from_usize(address: usize) -> $name {
                $name(address)
            }

            /// Its number.
            #[inline(always)]
            pub const fn as_usize(self) -> usize {
                self.0
            }

            /// Behind all addresses.
            pub const MAX: $name = $name(usize::MAX);

            /// Whether it is no address.
            #[inline(always)]
            pub const fn is_null(self) -> bool {
                self.0 == 0
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    )*};
}

address_types! {
    /// An address of code: of machine code, or of bytecode that is interpreted.
    pub struct CodeAddr;

    /// What code gets as its context: the words of an instance, or a record that begins as a
    /// [`HostFunc`](crate::layout::HostFunc) does.
    pub struct VmCtxPtr;

    /// An address on a stack: a stack pointer, a frame pointer, an address in or between frames, or a bound of the stack.
    pub struct StackAddr;

    /// Where arguments come from and results go to: raw slots of the embedder's, or in a frame.
    pub struct SlotsPtr;

    /// An address of data in this process, as an instruction that faulted or a guest that waits has it.
    pub struct DataAddr;

    /// A Rust value that belongs to a context or a record. Machine code passes the address on and reads nothing there.
    pub struct OwnerPtr;

    /// The record of a function, [`VmFunc`](crate::layout::VmFunc).
    pub struct FuncPtr;

    /// The place of a function's entry in the context of the instance that defines it, which identifies the function.
    pub struct FuncIdentity;

    /// The handle of a thread that runs guests, by which signals reach it.
    pub struct ThreadPtr;
}

impl CodeAddr {
    /// The address of a function.
    #[inline(always)]
    pub fn of(function: *const ()) -> CodeAddr {
        CodeAddr(function.expose_provenance())
    }

    /// What a function pointer may be transmuted from: a number has no provenance, and a function pointer needs that of
    /// its function.
    ///
    /// ```
    /// use wardian_vm::addr::CodeAddr;
    ///
    /// extern "C" fn double(n: u32) -> u32 { 2 * n }
    ///
    /// let address = CodeAddr::of(double as *const ());
    /// // SAFETY: the address of a function of this type.
    /// let double: extern "C" fn(u32) -> u32 = unsafe { std::mem::transmute(address.to_function()) };
    /// assert_eq!(double(4), 8);
    /// ```
    #[inline(always)]
    pub fn to_function(self) -> *const () {
        std::ptr::with_exposed_provenance(self.0)
    }

    /// The address so many bytes further on.
    #[inline(always)]
    pub const fn add(self, bytes: usize) -> CodeAddr {
        CodeAddr(self.0.wrapping_add(bytes))
    }

    /// How many bytes it is behind `start`; a number that wraps if it is before that.
    #[inline(always)]
    pub const fn bytes_from(self, start: CodeAddr) -> usize {
        self.0.wrapping_sub(start.0)
    }

    /// How many bytes a range has.
    #[inline(always)]
    pub const fn bytes_in(range: &Range<CodeAddr>) -> usize {
        range.end.bytes_from(range.start)
    }

    /// How many bytes it is behind `start`; none if it is before that.
    #[inline(always)]
    pub const fn checked_bytes_from(self, start: CodeAddr) -> Option<usize> {
        self.0.checked_sub(start.0)
    }

    /// The address of the byte behind: of an address inside of a call, as walks give it, the return address.
    #[inline(always)]
    pub const fn after(self) -> CodeAddr {
        CodeAddr(self.0.wrapping_add(1))
    }

    /// The address of the byte before: of a return address, one inside of the call.
    #[inline(always)]
    pub const fn before(self) -> CodeAddr {
        CodeAddr(self.0.wrapping_sub(1))
    }
}

impl VmCtxPtr {
    /// The context in this place.
    #[inline(always)]
    pub fn of<T>(context: *const T) -> VmCtxPtr {
        VmCtxPtr(context.expose_provenance())
    }

    /// A word of it.
    #[inline(always)]
    pub fn word<T>(self, at: CtxOffset) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0.wrapping_add(at.as_usize()))
    }

    /// A pointer to its beginning.
    #[inline(always)]
    pub fn as_ptr<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

/// A place in the frame of a compiled function: how many bytes it is above the frame pointer, or below if they are
/// negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(transparent)]
pub struct FpOffset(i32);

impl FpOffset {
    /// The place so many bytes above the frame pointer.
    #[inline(always)]
    pub const fn from_i32(bytes: i32) -> FpOffset {
        FpOffset(bytes)
    }

    /// How many bytes it is above the frame pointer.
    #[inline(always)]
    pub const fn as_i32(self) -> i32 {
        self.0
    }

    /// The place so many bytes above; one that wraps if there is none.
    #[inline(always)]
    pub const fn above(self, bytes: u32) -> FpOffset {
        FpOffset(self.0.wrapping_add_unsigned(bytes))
    }
}

/// A place in the context of an instance: how many bytes it is from where that begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct CtxOffset(u32);

impl CtxOffset {
    /// The first word, which is the same in all contexts: no place of anything else.
    pub const NONE: CtxOffset = CtxOffset(0);

    /// The place so many bytes from the beginning.
    #[inline(always)]
    pub const fn from_u32(bytes: u32) -> CtxOffset {
        CtxOffset(bytes)
    }

    /// The place of a word that all contexts have: a constant of [`crate::layout::instance`].
    #[inline(always)]
    pub const fn of(constant: i32) -> CtxOffset {
        CtxOffset(constant as u32)
    }

    /// How many bytes it is from the beginning.
    #[inline(always)]
    pub const fn as_u32(self) -> u32 {
        self.0
    }

    /// The same, for an immediate of machine code.
    #[inline(always)]
    pub const fn as_i32(self) -> i32 {
        self.0 as i32
    }

    /// The same, for pointer arithmetic.
    #[inline(always)]
    pub const fn as_usize(self) -> usize {
        self.0 as usize
    }

    /// Whether it is [`CtxOffset::NONE`].
    #[inline(always)]
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl OwnerPtr {
    /// The address of a value.
    #[inline(always)]
    pub fn of<T>(owner: *const T) -> OwnerPtr {
        OwnerPtr(owner.expose_provenance())
    }

    /// A pointer to the value, of whatever type the caller knows it to be.
    #[inline(always)]
    pub fn as_ptr<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

impl FuncPtr {
    /// The address of a record.
    #[inline(always)]
    pub fn of<T>(record: *const T) -> FuncPtr {
        FuncPtr(record.expose_provenance())
    }

    /// The reference to the function, as guests hold it.
    #[inline(always)]
    pub const fn as_word(self) -> u64 {
        self.0 as u64
    }
}

impl FuncIdentity {
    /// The identity of the function whose entry is at this place of this instance.
    #[inline(always)]
    pub fn new(instance: VmCtxPtr, entry: CtxOffset) -> FuncIdentity {
        FuncIdentity(instance.0.wrapping_add(entry.as_usize()))
    }

    /// The place of the function's entry, if this instance defines the function. Otherwise the result means nothing.
    #[inline(always)]
    pub const fn entry_in(self, instance: VmCtxPtr) -> CtxOffset {
        CtxOffset(self.0.wrapping_sub(instance.0) as u32)
    }
}

impl ThreadPtr {
    /// The address of a handle.
    #[inline(always)]
    pub fn of<T>(handle: &'static T) -> ThreadPtr {
        ThreadPtr(std::ptr::from_ref(handle).expose_provenance())
    }

    /// A pointer to the handle.
    #[inline(always)]
    pub fn as_ptr<T>(self) -> *const T {
        std::ptr::with_exposed_provenance(self.0)
    }
}

impl StackAddr {
    /// The address of this place.
    #[inline(always)]
    pub fn of<T>(place: *const T) -> StackAddr {
        StackAddr(place.expose_provenance())
    }

    /// What is there.
    #[inline(always)]
    pub fn as_ptr<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }

    /// The address so many bytes above.
    #[inline(always)]
    pub const fn above(self, bytes: usize) -> StackAddr {
        StackAddr(self.0.wrapping_add(bytes))
    }

    /// The address so many bytes below.
    #[inline(always)]
    pub const fn below(self, bytes: usize) -> StackAddr {
        StackAddr(self.0.wrapping_sub(bytes))
    }

    /// The address of a place in the frame whose frame pointer this is.
    #[inline(always)]
    pub const fn in_frame(self, place: FpOffset) -> StackAddr {
        StackAddr(self.0.wrapping_add_signed(place.0 as isize))
    }

    /// The address so many bytes above, or below if they are negative.
    #[inline(always)]
    pub const fn offset(self, bytes: isize) -> StackAddr {
        StackAddr(self.0.wrapping_add_signed(bytes))
    }

    /// How many bytes it is above `lower`; a number that wraps if it is below that.
    #[inline(always)]
    pub const fn bytes_from(self, lower: StackAddr) -> usize {
        self.0.wrapping_sub(lower.0)
    }

    /// Whether it is a multiple of `alignment`.
    #[inline(always)]
    pub const fn is_aligned_to(self, alignment: usize) -> bool {
        self.0.is_multiple_of(alignment)
    }

    /// Whether so many bytes from it on are between `start` and `end`. Right for any address, and any number of bytes.
    ///
    /// ```
    /// use wardian_vm::addr::StackAddr;
    ///
    /// let [start, last, end] = [64, 112, 128].map(StackAddr::from_usize);
    /// assert!(start.is_within(start, end, 64) && last.is_within(start, end, 16));
    /// assert!(!last.is_within(start, end, 17) && !StackAddr::MAX.is_within(start, end, 16));
    /// ```
    #[inline(always)]
    pub const fn is_within(self, start: StackAddr, end: StackAddr, bytes: usize) -> bool {
        let left = end.bytes_from(self);
        left >= bytes && left <= end.bytes_from(start)
    }
}

impl SlotsPtr {
    /// The slots here.
    #[inline(always)]
    pub fn of(slots: *const u64) -> SlotsPtr {
        SlotsPtr(slots.expose_provenance())
    }

    /// The first of them.
    #[inline(always)]
    pub fn as_ptr(self) -> *mut u64 {
        std::ptr::with_exposed_provenance_mut(self.0)
    }
}

impl DataAddr {
    /// The address of this.
    #[inline(always)]
    pub fn of<T>(data: *const T) -> DataAddr {
        DataAddr(data.expose_provenance())
    }

    /// What is there.
    #[inline(always)]
    pub fn as_ptr<T>(self) -> *mut T {
        std::ptr::with_exposed_provenance_mut(self.0)
    }

    /// The address so many bytes further on.
    #[inline(always)]
    pub const fn add(self, bytes: usize) -> DataAddr {
        DataAddr(self.0.wrapping_add(bytes))
    }

    /// How many bytes it is behind `start`; a number that wraps if it is before that.
    #[inline(always)]
    pub const fn bytes_from(self, start: DataAddr) -> usize {
        self.0.wrapping_sub(start.0)
    }
}
