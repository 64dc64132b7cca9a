//! What a delivery has to know beside its lane, in one call.

use super::keys::Key;
use super::{NamedTime, Result, Session, Table, User};
use crate::ids::{SessionId, UserId};

/// What stands around a lane.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The lane's session.
    pub session: Option<Session>,
    /// Its user, if asked for.
    pub user: Option<User>,
    /// The latest time that each of the vendors has named, past or to come.
    pub named_times: Vec<NamedTime>,
}

impl Table {
    /// Reads a session, the times that these vendors have named, and a user.
    ///
    /// # Errors
    ///
    /// As all reads: see [`Error`](super::Error).
    pub async fn surroundings(
        &self,
        session_id: &SessionId,
        user_id: Option<&UserId>,
        vendors: &[&str],
    ) -> Result<Surroundings> {
        let gates = vendors.iter().map(|vendor| Key::gate(vendor));
        let keys: Vec<_> = [Key::session(session_id)].into_iter().chain(gates).chain(user_id.map(Key::user)).collect();
        let mut around = Surroundings::default();
        for item in self.get_all(&keys).await? {
            let entity = item.get("sk").and_then(|sk| sk.as_s().ok()).map(String::as_str);
            match entity {
                Some("SESSION") => around.session = Some(serde_dynamo::from_item(item)?),
                Some("USER") => around.user = Some(serde_dynamo::from_item(item)?),
                _ => around.named_times.push(serde_dynamo::from_item(item)?),
            }
        }
        Ok(around)
    }
}
