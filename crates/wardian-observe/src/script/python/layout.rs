//! Where CPython has what, in builds for 32 bits.

/// Offsets of one version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    pub(super) version: (u8, u8),
    pub(super) frame: Frame,
    pub(super) code: CodeObject,
    /// Bytes of a string object before its text: of ASCII, and of other text.
    pub(super) text: (u32, u32),
}

/// Of a frame of the interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) code: u32,
    pub(super) previous: u32,
    pub(super) instruction: u32,
    /// A byte, and from which value on the frame is where the interpreter was entered.
    pub(super) entry: u32,
    pub(super) entry_from: u8,
    /// Whether that is a call of the program; else it only separates.
    pub(super) entry_is_call: bool,
}

/// Of a code object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct CodeObject {
    pub(super) first_line: u32,
    pub(super) filename: u32,
    pub(super) name: u32,
    pub(super) qualified_name: u32,
    pub(super) line_table: u32,
    /// The instructions begin here.
    pub(super) instructions: u32,
}

/// How the thread's state is recognised in versions that have no table, and how it leads to the frames.
#[derive(Clone, Copy, Debug)]
pub(super) struct Threads {
    /// In the interpreter's state: the pointer to the thread's.
    pub(super) head: u32,
    /// From the thread's state to the innermost frame.
    pub(super) path: [u32; 2],
    pub(super) layout: Layout,
}

/// Of a thread's state in all of these versions: the next one, and the interpreter.
pub(super) const THREAD_NEXT: u32 = 4;
pub(super) const THREAD_INTERPRETER: u32 = 8;
/// Of each object: its type. Of each with a length: that.
pub(super) const OBJECT_TYPE: u32 = 4;
pub(super) const LENGTH: u32 = 8;
/// Of a type: its name.
pub(super) const TYPE_NAME: u32 = 12;
/// Of a string: how its text is stored.
pub(super) const TEXT_STATE: u32 = 16;
/// Of bytes: the first one.
pub(super) const BYTES: u32 = 16;

/// The versions without a table.
pub(super) const VERSIONS: [Threads; 2] = [
    Threads {
        head: 16,
        path: [40, 4],
        layout: Layout {
            version: (3, 11),
            frame: Frame {
                code: 16,
                previous: 24,
                instruction: 28,
                entry: 36,
                entry_from: 1,
                entry_is_call: true,
            },
            code: CodeObject {
                first_line: 48,
                filename: 80,
                name: 84,
                qualified_name: 88,
                line_table: 92,
                instructions: 116,
            },
            text: (24, 36),
        },
    },
    Threads {
        head: 64,
        path: [40, 0],
        layout: Layout {
            version: (3, 12),
            frame: Frame {
                code: 0,
                previous: 4,
                instruction: 28,
                entry: 38,
                entry_from: 3,
                entry_is_call: false,
            },
            code: CodeObject {
                first_line: 44,
                filename: 80,
                name: 84,
                qualified_name: 88,
                line_table: 92,
                instructions: 124,
            },
            text: (20, 28),
        },
    },
];
