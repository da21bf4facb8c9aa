//! The host's error codes.

use crate::errno::Errno;

/// The code of an error that has one of the operating system's.
pub(crate) fn errno(error: &std::io::Error) -> Option<Errno> {
    let code = error.raw_os_error()?;
    // std knows the kinds of more than these.
    HOST.iter().find(|(host, _)| *host == code).map(|(_, errno)| *errno)
}

/// System error codes, and those of sockets, and the guest's.
const HOST: &[(i32, Errno)] = &[
    (2, Errno::Noent),
    (3, Errno::Noent),
    (4, Errno::Mfile),
    (5, Errno::Acces),
    (6, Errno::Badf),
    (8, Errno::Nomem),
    (14, Errno::Nomem),
    (17, Errno::Xdev),
    (19, Errno::Rofs),
    (32, Errno::Acces),
    (33, Errno::Acces),
    (39, Errno::Nospc),
    (80, Errno::Exist),
    (87, Errno::Inval),
    (109, Errno::Pipe),
    (112, Errno::Nospc),
    (123, Errno::Inval),
    (131, Errno::Inval),
    (145, Errno::Notempty),
    (170, Errno::Busy),
    (183, Errno::Exist),
    (206, Errno::Nametoolong),
    (223, Errno::Fbig),
    (232, Errno::Pipe),
    (267, Errno::Notdir),
    (336, Errno::Isdir),
    (681, Errno::Loop),
    (1142, Errno::Mlink),
    (1314, Errno::Perm),
    (1450, Errno::Nomem),
    (1455, Errno::Nomem),
    (1921, Errno::Loop),
    (4390, Errno::Inval),
    (10004, Errno::Intr),
    (10013, Errno::Acces),
    (10014, Errno::Fault),
    (10022, Errno::Inval),
    (10024, Errno::Mfile),
    (10035, Errno::Again),
    (10038, Errno::Notsock),
    (10048, Errno::Addrinuse),
    (10049, Errno::Addrnotavail),
    (10050, Errno::Netdown),
    (10051, Errno::Netunreach),
    (10053, Errno::Connaborted),
    (10054, Errno::Connreset),
    (10055, Errno::Nobufs),
    (10057, Errno::Notconn),
    (10058, Errno::Pipe),
    (10060, Errno::Timedout),
    (10061, Errno::Connrefused),
    (10065, Errno::Hostunreach),
];
