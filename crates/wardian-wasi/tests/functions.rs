//! Every function of both WASI versions, called through the tables, with
//! memory that can be borrowed and with memory that cannot.

#[path = "functions/support.rs"]
mod support;

#[path = "functions/blocking.rs"]
mod blocking;
#[path = "functions/carry.rs"]
mod carry;
#[path = "functions/carry_forged.rs"]
mod carry_forged;
#[path = "functions/carry_model.rs"]
mod carry_model;
#[path = "functions/carry_stores.rs"]
mod carry_stores;
#[path = "functions/carry_streams.rs"]
mod carry_streams;
#[path = "functions/carry_time.rs"]
mod carry_time;
#[path = "functions/descriptors.rs"]
mod descriptors;
#[path = "functions/directories.rs"]
mod directories;
#[path = "functions/faults.rs"]
mod faults;
#[path = "functions/files.rs"]
mod files;
#[path = "functions/paths.rs"]
mod paths;
#[path = "functions/polling.rs"]
mod polling;
#[path = "functions/processes.rs"]
mod processes;
#[path = "functions/read_only.rs"]
mod read_only;
#[path = "functions/rights.rs"]
mod rights;
#[path = "functions/sandbox.rs"]
mod sandbox;
#[path = "functions/sockets.rs"]
mod sockets;
#[path = "functions/streams.rs"]
mod streams;
#[path = "functions/tables.rs"]
mod tables;
