//! Register bytecode and its executor.
