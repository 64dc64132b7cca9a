//! How a vendor is called: credentials, limits, calls in doubt, LiveChat's customers and threads.

pub(super) mod credentials;
pub(super) mod customer;
pub(super) mod doubt;
pub(super) mod groups;
pub(super) mod limits;
pub(super) mod thread;
