//! One module per bot platform.

pub mod botcopy;
pub mod botpress;
