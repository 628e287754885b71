//! A Pingora load balancer as its own quick start builds it: round robin, and a pool of connections.
//! `pingora-lb THREADS LISTEN TLS_LISTEN CERTIFICATE KEY BACKEND...`

use std::error::Error;

use async_trait::async_trait;
use pingora::{
    apps::HttpServerOptions,
    lb::{LoadBalancer, selection::RoundRobin},
    listeners::tls::TlsSettings,
    prelude::*,
    server::configuration::ServerConf,
};

/// Idle connections kept to the backends.
const POOL: usize = 1_024;
/// Most backends that one pick looks at.
const TRIES: usize = 256;

struct Proxy(LoadBalancer<RoundRobin>);

#[async_trait]
impl ProxyHttp for Proxy {
    type CTX = ();

    fn new_ctx(&self) {}

    async fn upstream_peer(&self, _: &mut Session, _: &mut ()) -> pingora::Result<Box<HttpPeer>> {
        let backend = self.0.select(b"", TRIES);
        let backend = backend.ok_or_else(|| pingora::Error::explain(InternalError, "no backend"))?;
        Ok(Box::new(HttpPeer::new(backend, false, String::new())))
    }

    async fn upstream_request_filter(
        &self,
        session: &mut Session,
        request: &mut RequestHeader,
        _: &mut (),
    ) -> pingora::Result<()> {
        match session.client_addr().and_then(|address| address.as_inet()) {
            Some(client) => request.insert_header("x-forwarded-for", client.ip().to_string()),
            None => Ok(()),
        }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [threads, listen, tls_listen, certificate, key, backends @ ..] = &arguments[..] else {
        return Err("usage: pingora-lb THREADS LISTEN TLS_LISTEN CERTIFICATE KEY BACKEND...".into());
    };
    let threads: usize = threads.parse()?;
    let conf = ServerConf {
        threads,
        upstream_keepalive_pool_size: POOL,
        // With one thread there is nobody to steal from.
        work_stealing: threads > 1,
        ..ServerConf::default()
    };
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let proxy = Proxy(LoadBalancer::try_from_iter(backends)?);
    let mut service = http_proxy_service(&server.configuration, proxy);
    service.add_tcp(listen);
    let mut tls = TlsSettings::intermediate(certificate, key)?;
    tls.enable_h2();
    service.add_tls_with_settings(tls_listen, None, tls);
    if let Some(logic) = service.app_logic_mut() {
        let mut options = HttpServerOptions::default();
        options.h2c = true;
        logic.server_options = Some(options);
    }
    server.add_service(service);
    server.run_forever()
}
