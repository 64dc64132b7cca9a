//! Plain types that the other modules share: they depend on no vendor, no table and no platform's wire format.

pub mod call;
pub mod lane;
pub mod message;
pub mod session;
pub mod user;
pub mod vendor;
pub mod vendor_calls;
