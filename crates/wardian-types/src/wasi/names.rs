//! The names of WASI's numbers, in their order.

/// `errno`.
pub const ERRNO: &[&str] = &[
    "SUCCESS",
    "E2BIG",
    "EACCES",
    "EADDRINUSE",
    "EADDRNOTAVAIL",
    "EAFNOSUPPORT",
    "EAGAIN",
    "EALREADY",
    "EBADF",
    "EBADMSG",
    "EBUSY",
    "ECANCELED",
    "ECHILD",
    "ECONNABORTED",
    "ECONNREFUSED",
    "ECONNRESET",
    "EDEADLK",
    "EDESTADDRREQ",
    "EDOM",
    "EDQUOT",
    "EEXIST",
    "EFAULT",
    "EFBIG",
    "EHOSTUNREACH",
    "EIDRM",
    "EILSEQ",
    "EINPROGRESS",
    "EINTR",
    "EINVAL",
    "EIO",
    "EISCONN",
    "EISDIR",
    "ELOOP",
    "EMFILE",
    "EMLINK",
    "EMSGSIZE",
    "EMULTIHOP",
    "ENAMETOOLONG",
    "ENETDOWN",
    "ENETRESET",
    "ENETUNREACH",
    "ENFILE",
    "ENOBUFS",
    "ENODEV",
    "ENOENT",
    "ENOEXEC",
    "ENOLCK",
    "ENOLINK",
    "ENOMEM",
    "ENOMSG",
    "ENOPROTOOPT",
    "ENOSPC",
    "ENOSYS",
    "ENOTCONN",
    "ENOTDIR",
    "ENOTEMPTY",
    "ENOTRECOVERABLE",
    "ENOTSOCK",
    "ENOTSUP",
    "ENOTTY",
    "ENXIO",
    "EOVERFLOW",
    "EOWNERDEAD",
    "EPERM",
    "EPIPE",
    "EPROTO",
    "EPROTONOSUPPORT",
    "EPROTOTYPE",
    "ERANGE",
    "EROFS",
    "ESPIPE",
    "ESRCH",
    "ESTALE",
    "ETIMEDOUT",
    "ETXTBSY",
    "EXDEV",
    "ENOTCAPABLE",
];

/// `rights`, by bit.
pub const RIGHTS: &[&str] = &[
    "FD_DATASYNC",
    "FD_READ",
    "FD_SEEK",
    "FD_FDSTAT_SET_FLAGS",
    "FD_SYNC",
    "FD_TELL",
    "FD_WRITE",
    "FD_ADVISE",
    "FD_ALLOCATE",
    "PATH_CREATE_DIRECTORY",
    "PATH_CREATE_FILE",
    "PATH_LINK_SOURCE",
    "PATH_LINK_TARGET",
    "PATH_OPEN",
    "FD_READDIR",
    "PATH_READLINK",
    "PATH_RENAME_SOURCE",
    "PATH_RENAME_TARGET",
    "PATH_FILESTAT_GET",
    "PATH_FILESTAT_SET_SIZE",
    "PATH_FILESTAT_SET_TIMES",
    "FD_FILESTAT_GET",
    "FD_FILESTAT_SET_SIZE",
    "FD_FILESTAT_SET_TIMES",
    "PATH_SYMLINK",
    "PATH_REMOVE_DIRECTORY",
    "PATH_UNLINK_FILE",
    "POLL_FD_READWRITE",
    "SOCK_SHUTDOWN",
    "SOCK_ACCEPT",
];

/// `lookupflags`.
pub const LOOKUP: &[&str] = &["SYMLINK_FOLLOW"];

/// `oflags`.
pub const OFLAGS: &[&str] = &["O_CREAT", "O_DIRECTORY", "O_EXCL", "O_TRUNC"];

/// `fdflags`.
pub const FDFLAGS: &[&str] = &["APPEND", "DSYNC", "NONBLOCK", "RSYNC", "SYNC"];

/// `fstflags`.
pub const FSTFLAGS: &[&str] = &["ATIM", "ATIM_NOW", "MTIM", "MTIM_NOW"];

/// `riflags`.
pub const RIFLAGS: &[&str] = &["RECV_PEEK", "RECV_WAITALL"];

/// `roflags`.
pub const ROFLAGS: &[&str] = &["RECV_DATA_TRUNCATED"];

/// `sdflags`.
pub const SDFLAGS: &[&str] = &["SHUT_RD", "SHUT_WR"];

/// `subclockflags`.
pub const CLOCK_FLAGS: &[&str] = &["ABSTIME"];

/// `filetype`.
pub const FILETYPE: &[&str] = &[
    "unknown",
    "block_device",
    "character_device",
    "directory",
    "regular_file",
    "socket_dgram",
    "socket_stream",
    "symbolic_link",
];

/// `clockid`.
pub const CLOCK: &[&str] = &["REALTIME", "MONOTONIC", "PROCESS_CPUTIME", "THREAD_CPUTIME"];

/// `advice`.
pub const ADVICE: &[&str] = &["NORMAL", "SEQUENTIAL", "RANDOM", "WILLNEED", "DONTNEED", "NOREUSE"];

/// `eventtype`.
pub const EVENT: &[&str] = &["CLOCK", "FD_READ", "FD_WRITE"];

/// `whence`, which the two versions number differently.
pub const WHENCE: &[&str] = &["SEEK_SET", "SEEK_CUR", "SEEK_END"];

/// `whence` of `wasi_unstable`.
pub const UNSTABLE_WHENCE: &[&str] = &["SEEK_CUR", "SEEK_END", "SEEK_SET"];
