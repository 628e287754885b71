//! The authorities that this host trusts.

use std::sync::{Arc, OnceLock};

use rustls::RootCertStore;

/// Read once, and shared by all services: they are some hundred. A change of theirs takes effect with the next start.
pub(super) fn of_host() -> Result<Arc<RootCertStore>, String> {
    static ROOTS: OnceLock<Arc<RootCertStore>> = OnceLock::new();
    if let Some(roots) = ROOTS.get() {
        return Ok(Arc::clone(roots));
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map(|e| format!(" ({e})")).unwrap_or_default();
        return Err(format!("this host trusts no authority{why}; install ca-certificates or name a file"));
    }
    Ok(Arc::clone(ROOTS.get_or_init(|| Arc::new(roots))))
}
