//! The HTTP API of a stack: its routes, and requests and answers as API Gateway hands them over.

pub mod event;
pub mod route;
