//! What stands before proxies: passes connections on to those that are in the rotation.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, TcpStream},
    task::{JoinHandle, JoinSet},
};

/// It ends, with all of its connections, when it is dropped.
pub(super) struct Chooser {
    address: SocketAddr,
    rotation: Arc<Mutex<Vec<SocketAddr>>>,
    task: JoinHandle<()>,
}

impl Chooser {
    pub(super) async fn start(proxies: Vec<SocketAddr>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let rotation = Arc::new(Mutex::new(proxies));
        let task = tokio::spawn(accept(listener, rotation.clone()));
        Self { address, rotation, task }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections from now on go to the others.
    pub(super) fn without(&self, proxy: SocketAddr) {
        self.rotation.lock().unwrap().retain(|address| *address != proxy);
    }

    pub(super) fn with(&self, proxy: SocketAddr) {
        self.rotation.lock().unwrap().push(proxy);
    }
}

impl Drop for Chooser {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn accept(listener: TcpListener, rotation: Arc<Mutex<Vec<SocketAddr>>>) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((client, _)) = listener.accept().await else { return };
        let next = {
            let mut rotation = rotation.lock().unwrap();
            rotation.rotate_left(1);
            rotation[0]
        };
        connections.spawn(pass(client, next));
        while connections.try_join_next().is_some() {}
    }
}

async fn pass(mut client: TcpStream, proxy: SocketAddr) {
    // A proxy that cannot be reached is the client's to notice: it should never be.
    let Ok(mut proxy) = TcpStream::connect(proxy).await else { return };
    let _ = (client.set_nodelay(true), proxy.set_nodelay(true));
    let _ = copy_bidirectional(&mut client, &mut proxy).await;
}
