//! The whole stack on one machine.

pub mod faults;
pub mod journal;
pub mod server;
