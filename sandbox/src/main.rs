//! Sandbox.
fn main() {}
