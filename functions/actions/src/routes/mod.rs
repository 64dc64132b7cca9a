//! One module per bot platform.

pub mod botpress;
