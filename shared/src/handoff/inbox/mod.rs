//! Items are made durable in their lane; only then does their sender receive a success.

pub(super) mod accept;
pub(super) mod content;
pub(super) mod find;
pub(super) mod replays;

use std::ops::Deref;

use super::vendors::Vendors;

/// The part of a handoff that makes items durable. It calls vendors and delivers nothing.
#[derive(Debug)]
pub struct Inbox {
    pub(super) vendors: Vendors,
    pub(super) memory: find::Memory,
}

impl Inbox {
    pub(super) fn new(vendors: Vendors) -> Self {
        Self { vendors, memory: find::Memory::default() }
    }
}

impl Deref for Inbox {
    type Target = Vendors;

    fn deref(&self) -> &Vendors {
        &self.vendors
    }
}
