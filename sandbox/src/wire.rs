//! A connection between the functions and another party that breaks unnoticed, as real ones do.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, watch};
use tokio::task::{JoinHandle, JoinSet};

/// A relay on a free port of the loopback interface; it stops when dropped.
///
/// Its target may be set later than its own address is needed; until then connections are refused.
#[derive(Debug)]
pub struct Wire {
    address: SocketAddr,
    end: Arc<OnceCell<SocketAddr>>,
    cuts: watch::Sender<Option<Cut>>,
    accepting: JoinHandle<()>,
}

/// How the present connections end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The other side closes them, as servers do with idle ones.
    Closed,
    /// No data passes any more, without a notification: a gateway on the route has forgotten the connections.
    Silent,
}

impl Wire {
    /// Opens a wire.
    ///
    /// # Errors
    ///
    /// When the machine has no port left.
    pub async fn open() -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let (end, cuts) = (Arc::new(OnceCell::new()), watch::Sender::new(None));
        let accepting = tokio::spawn(accept(listener, Arc::clone(&end), cuts.clone()));
        Ok(Self { address, end, cuts, accepting })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Sets the target of the wire: `http://127.0.0.1:<port>`.
    pub fn lead_to(&self, url: &str) {
        if let Some(address) = url.strip_prefix("http://").and_then(|address| address.parse().ok()) {
            // The first target stays.
            let _ = self.end.set(address);
        }
    }

    /// Cuts every present connection; new ones are unaffected.
    pub fn cut(&self, cut: Cut) {
        self.cuts.send_replace(Some(cut));
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, end: Arc<OnceCell<SocketAddr>>, cuts: watch::Sender<Option<Cut>>) {
    let mut connections = JoinSet::new();
    while let Ok((near, _)) = listener.accept().await {
        while connections.try_join_next().is_some() {}
        // A connection before the target is set is refused, as by a server that is down.
        let Some(end) = end.get().copied() else { continue };
        connections.spawn(relay(near, end, cuts.subscribe()));
    }
}

async fn relay(mut near: TcpStream, end: SocketAddr, mut cuts: watch::Receiver<Option<Cut>>) {
    let Ok(mut far) = TcpStream::connect(end).await else { return };
    // Neither side should wait for the other's small packets.
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    tokio::select! {
        // An error ends one side, which ends the other as well.
        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => return,
        // Fails when the wire is dropped.
        _ = cuts.changed() => {}
    }
    if *cuts.borrow() == Some(Cut::Silent) {
        drop(far);
        std::future::pending().await
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// A server that repeats every byte it receives.
    async fn echo() -> (String, JoinHandle<()>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(async move {
                    let (mut read, mut write) = stream.into_split();
                    drop(tokio::io::copy(&mut read, &mut write).await);
                });
            }
        });
        (url, serving)
    }

    async fn says(connection: &mut TcpStream) -> io::Result<u8> {
        connection.write_all(b"a").await?;
        connection.read_u8().await
    }

    #[tokio::test]
    async fn a_cut_ends_the_connections_of_its_moment_only() {
        let (url, _serving) = echo().await;
        let wire = Wire::open().await.unwrap();
        wire.lead_to(&url);
        for cut in [Cut::Closed, Cut::Silent] {
            let mut before = TcpStream::connect(wire.address).await.unwrap();
            assert_eq!(says(&mut before).await.unwrap(), b'a');
            wire.cut(cut);
            let mut after = TcpStream::connect(wire.address).await.unwrap();
            assert_eq!(says(&mut after).await.unwrap(), b'a');
            match cut {
                Cut::Closed => assert!(says(&mut before).await.is_err(), "the end is seen"),
                Cut::Silent => {
                    before.write_all(b"b").await.unwrap();
                    assert_eq!(says(&mut after).await.unwrap(), b'a', "there was time for an answer");
                    let mut byte = [0];
                    let nothing = std::io::ErrorKind::WouldBlock;
                    assert_eq!(before.try_read(&mut byte).unwrap_err().kind(), nothing, "nobody answers");
                }
            }
        }
    }
}
