//! The whole stack on one machine.

pub mod faults;
pub mod function;
pub mod gateway;
pub mod journal;
pub mod runtime;
pub mod secrets_manager;
pub mod server;
pub mod table;
