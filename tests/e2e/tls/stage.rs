//! What the tests of TLS play on: the real programs, one proxy, an authority, and a folder for its files.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::Output,
    sync::{Arc, Mutex},
};

use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::Command,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};
use weir_tests::{Backend, Behaviour, Daemons, PATIENCE, Port};

use crate::authority::{Authority, Files};

/// A backend that answers with the head that reached it, a proxy before it, and certificates for the proxy.
pub(super) struct Stage {
    pub(super) daemons: Daemons,
    pub(super) backend: Backend,
    pub(super) authority: Authority,
    /// The authority's own certificate.
    pub(super) root: PathBuf,
    pub(super) folder: TempDir,
    ports: Mutex<Vec<Port>>,
}

impl Stage {
    pub(super) async fn start() -> Self {
        let backend = Backend::with("a", Behaviour::Facts).await;
        let daemons = Daemons::start(1).await;
        let (authority, folder) = (Authority::new("Test Root"), tempfile::tempdir().unwrap());
        let root = authority.write(&folder.path().join("root.crt"));
        Self { daemons, backend, authority, root, folder, ports: Mutex::default() }
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Files with a certificate for these names.
    pub(super) fn files(&self, name: &str, names: &[&str]) -> Files {
        self.authority.issue(names).write(self.path(), name)
    }

    /// Opens a listener with this entry `tls`, and a service `web` of the backend. Its address.
    pub(super) async fn listen(&self, tls: &str) -> SocketAddr {
        let (address, web) = (self.free(), self.backend.address());
        let output = self
            .apply(&format!(
                "listeners: [ {{ name: web, address: \"{address}\", tls: {tls} }} ]\n\
                 services: [ {{ name: web, backends: [ \"{web}\" ] }} ]\n"
            ))
            .await;
        assert!(output.status.success(), "{}", told(&output));
        address
    }

    /// An address on which nobody listens, for as long as the stage stands.
    pub(super) fn free(&self) -> SocketAddr {
        let port = Port::free();
        let address = port.address();
        self.ports.lock().unwrap().push(port);
        address
    }

    /// `weir apply --wait` of this document.
    pub(super) async fn apply(&self, document: &str) -> Output {
        let file = self.path().join("apply.yaml");
        std::fs::write(&file, document).unwrap();
        self.daemons.weir(&["apply", "-f", file.to_str().unwrap(), "--wait"]).await
    }

    /// curl, which trusts the authority, to `https://HOST/` at this address. What it printed.
    pub(super) async fn curl(&self, address: SocketAddr, host: &str, options: &[&str]) -> Output {
        let resolve = format!("{host}:{}:127.0.0.1", address.port());
        let mut command = Command::new("curl");
        command.args(["-sS", "--max-time", "20", "--resolve", &resolve, "--cacert"]).arg(&self.root);
        command.args(options).arg(format!("https://{host}:{}/", address.port()));
        command.output().await.unwrap()
    }
}

/// A handshake, in which the server shows a certificate for this name.
pub(super) async fn shake(
    address: SocketAddr,
    name: &'static str,
    config: &Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let connect = async {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        TlsConnector::from(Arc::clone(config)).connect(ServerName::try_from(name).unwrap(), stream).await
    };
    timeout(PATIENCE, connect).await?
}

/// One request, the last of its connection. The whole answer.
pub(super) async fn ask(stream: &mut TlsStream<TcpStream>, host: &str) -> io::Result<String> {
    let exchange = async {
        let request = format!("GET / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    };
    timeout(PATIENCE, exchange).await?
}

/// The certificate that the server showed.
pub(super) fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

pub(super) fn told(output: &Output) -> String {
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{}: {out} {err}", output.status)
}
