//! The operations that callers request, one file each.

pub(super) mod availability;
pub(super) mod botcopy;
pub(super) mod create_user;
pub(super) mod operate;
pub(super) mod rate;
pub(super) mod receive;
pub(super) mod register;
pub(super) mod report;
pub(super) mod send;
pub(super) mod start;
pub(super) mod stop;
