//! One module per bot platform.

pub(crate) mod botcopy;
pub(crate) mod botpress;
