//! The whole stack on one machine: simulated vendors, an embedded table, and both functions behind a gateway.

pub mod account;
pub mod botcopy;
pub mod botpress;
pub mod cause;
mod console;
pub mod demo;
pub mod deployed;
pub mod error;
pub mod faults;
pub mod function;
pub mod gateway;
mod instances;
pub mod invocation;
pub mod journal;
pub mod livechat;
pub mod runtime;
pub mod secrets_manager;
pub mod serve;
pub mod server;
pub mod stack;
pub mod table;
pub mod table_proxy;
pub mod underway;
pub mod verdict;
pub mod wire;
