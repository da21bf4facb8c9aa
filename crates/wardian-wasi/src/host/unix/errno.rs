//! The host's error codes.

use crate::errno::Errno;

/// The code of an error that has one of the operating system's.
pub(crate) fn errno(error: &std::io::Error) -> Option<Errno> {
    rustix::io::Errno::from_io_error(error).map(Errno::from)
}

impl From<rustix::io::Errno> for Errno {
    fn from(host: rustix::io::Errno) -> Errno {
        HOST.iter().find(|(code, _)| *code == host).map_or(Errno::Io, |(_, errno)| *errno)
    }
}

type Host = rustix::io::Errno;

/// The host's error codes and the guest's. Codes that are not listed become
/// [`Errno::Io`].
const HOST: &[(Host, Errno)] = &[
    (Host::TOOBIG, Errno::TooBig),
    (Host::ACCESS, Errno::Acces),
    (Host::ADDRINUSE, Errno::Addrinuse),
    (Host::ADDRNOTAVAIL, Errno::Addrnotavail),
    (Host::AFNOSUPPORT, Errno::Afnosupport),
    (Host::AGAIN, Errno::Again),
    (Host::ALREADY, Errno::Already),
    (Host::BADF, Errno::Badf),
    (Host::BADMSG, Errno::Badmsg),
    (Host::BUSY, Errno::Busy),
    (Host::CANCELED, Errno::Canceled),
    (Host::CHILD, Errno::Child),
    (Host::CONNABORTED, Errno::Connaborted),
    (Host::CONNREFUSED, Errno::Connrefused),
    (Host::CONNRESET, Errno::Connreset),
    (Host::DEADLK, Errno::Deadlk),
    (Host::DESTADDRREQ, Errno::Destaddrreq),
    (Host::DOM, Errno::Dom),
    (Host::DQUOT, Errno::Dquot),
    (Host::EXIST, Errno::Exist),
    (Host::FAULT, Errno::Fault),
    (Host::FBIG, Errno::Fbig),
    (Host::HOSTUNREACH, Errno::Hostunreach),
    (Host::IDRM, Errno::Idrm),
    (Host::ILSEQ, Errno::Ilseq),
    (Host::INPROGRESS, Errno::Inprogress),
    (Host::INTR, Errno::Intr),
    (Host::INVAL, Errno::Inval),
    (Host::IO, Errno::Io),
    (Host::ISCONN, Errno::Isconn),
    (Host::ISDIR, Errno::Isdir),
    (Host::LOOP, Errno::Loop),
    (Host::MFILE, Errno::Mfile),
    (Host::MLINK, Errno::Mlink),
    (Host::MSGSIZE, Errno::Msgsize),
    (Host::MULTIHOP, Errno::Multihop),
    (Host::NAMETOOLONG, Errno::Nametoolong),
    (Host::NETDOWN, Errno::Netdown),
    (Host::NETRESET, Errno::Netreset),
    (Host::NETUNREACH, Errno::Netunreach),
    (Host::NFILE, Errno::Nfile),
    (Host::NOBUFS, Errno::Nobufs),
    (Host::NODEV, Errno::Nodev),
    (Host::NOENT, Errno::Noent),
    (Host::NOEXEC, Errno::Noexec),
    (Host::NOLCK, Errno::Nolck),
    (Host::NOLINK, Errno::Nolink),
    (Host::NOMEM, Errno::Nomem),
    (Host::NOMSG, Errno::Nomsg),
    (Host::NOPROTOOPT, Errno::Noprotoopt),
    (Host::NOSPC, Errno::Nospc),
    (Host::NOSYS, Errno::Nosys),
    (Host::NOTCONN, Errno::Notconn),
    (Host::NOTDIR, Errno::Notdir),
    (Host::NOTEMPTY, Errno::Notempty),
    (Host::NOTRECOVERABLE, Errno::Notrecoverable),
    (Host::NOTSOCK, Errno::Notsock),
    (Host::NOTSUP, Errno::Notsup),
    (Host::NOTTY, Errno::Notty),
    (Host::NXIO, Errno::Nxio),
    (Host::OVERFLOW, Errno::Overflow),
    (Host::OWNERDEAD, Errno::Ownerdead),
    (Host::PERM, Errno::Perm),
    (Host::PIPE, Errno::Pipe),
    (Host::PROTO, Errno::Proto),
    (Host::PROTONOSUPPORT, Errno::Protonosupport),
    (Host::PROTOTYPE, Errno::Prototype),
    (Host::RANGE, Errno::Range),
    (Host::ROFS, Errno::Rofs),
    (Host::SPIPE, Errno::Spipe),
    (Host::SRCH, Errno::Srch),
    (Host::STALE, Errno::Stale),
    (Host::TIMEDOUT, Errno::Timedout),
    (Host::TXTBSY, Errno::Txtbsy),
    (Host::XDEV, Errno::Xdev),
    (Host::OPNOTSUPP, Errno::Notsup),
];
