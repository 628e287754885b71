//! TLS: what listeners and services use of it, made from files on this host, and made anew when those change.
//!
//! The files are read when the configuration comes into force and by the task that looks for changes, never for a
//! connection: a handshake takes the configuration that there is.

mod client;
mod current;
mod in_use;
mod names;
mod pair;
mod pem;
mod reload;
mod roots;
mod server;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod validity;
mod verifier;

use std::sync::{Arc, OnceLock};

use rustls::crypto::{CryptoProvider, aws_lc_rs};

pub(crate) use self::{
    client::Client,
    in_use::{InUse, in_use},
    pair::Presented,
    reload::reload,
    server::Server,
};

/// The names of protocols in ALPN (RFC 7301, RFC 9113 section 3.1).
const ALPN_HTTP1: &[u8] = b"http/1.1";
const ALPN_HTTP2: &[u8] = b"h2";

/// The one implementation of everything cryptographic, with the suites and groups that it offers by itself.
fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: OnceLock<Arc<CryptoProvider>> = OnceLock::new();
    Arc::clone(PROVIDER.get_or_init(|| Arc::new(aws_lc_rs::default_provider())))
}
