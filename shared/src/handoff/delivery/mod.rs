//! Delivery: from a lane to the other side.

pub(super) mod addressee;
pub(super) mod alone;
pub(super) mod close;
pub(super) mod drain;
pub(super) mod gathering;
pub(super) mod giving_up;
pub(super) mod media;
pub(super) mod missed;
pub(super) mod outbound;
pub(super) mod park;
pub(super) mod pauses;
pub(super) mod platform;
pub(super) mod to_agent;
pub(super) mod to_bot;
pub(super) mod unheard;
