//! The HTTP API of a stack: its routes, and API Gateway's form of requests and responses.

pub mod event;
pub mod route;
