//! The installs that are registered, so that the last one to leave removes LiveChat's webhooks.

use super::keys::{INSTALLS, Key};
use super::{Result, Table};
use crate::ids::InstallId;
use crate::model::session::Install;

impl Table {
    /// Records a registered install.
    pub async fn put_install(&self, install: &Install) -> Result<()> {
        self.put(&Key::install(&install.install_id), "install", install).await
    }

    /// Returns every registered install.
    pub async fn installs(&self) -> Result<Vec<Install>> {
        let items = self.query(INSTALLS, "INSTALL#").await?;
        Ok(items.into_iter().map(serde_dynamo::from_item).collect::<Result<_, _>>()?)
    }

    /// Removes an install and returns how many are left.
    pub async fn remove_install(&self, id: &InstallId) -> Result<usize> {
        self.delete("table remove_install", &Key::install(id)).await?;
        Ok(self.query(INSTALLS, "INSTALL#").await?.len())
    }
}
