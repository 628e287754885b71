//! Who calls: what the history and the audit log show of this program.

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};
use weir_proto::CALLER;

/// The longest name that the control plane takes.
const MOST_BYTES: usize = 253;
/// Stands for a character that the name may not have.
const REPLACEMENT: char = '_';

/// Puts a name into every call.
#[derive(Debug, Clone)]
pub(crate) struct Caller(MetadataValue<Ascii>);

impl Caller {
    /// Called so. What may not stand in a name is replaced, for no call should fail for it.
    pub(crate) fn named(name: &str) -> Self {
        let name = visible(name);
        Self(name.parse().unwrap_or_else(|_| MetadataValue::from_static("")))
    }

    /// The user and the host of this process: `alice@laptop`.
    pub(crate) fn this_process() -> Self {
        let user = ["USER", "LOGNAME"].into_iter().find_map(std::env::var_os);
        let user = user.map_or_else(String::new, |user| user.to_string_lossy().into_owned());
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::named(&at(&user, &host))
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(CALLER, self.0.clone());
        Ok(request)
    }
}

/// A daemon's environment often names no user.
fn at(user: &str, host: &str) -> String {
    if user.is_empty() { host.to_owned() } else { format!("{user}@{host}") }
}

fn visible(name: &str) -> String {
    name.trim().chars().map(|c| if c.is_ascii_graphic() { c } else { REPLACEMENT }).take(MOST_BYTES).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(name: &str) -> String {
        let request = Caller::named(name).call(Request::new(())).expect("goes on");
        request.metadata().get(CALLER).expect("is there").to_str().expect("ascii").to_owned()
    }

    #[test]
    fn a_name_is_sent_as_it_can_be() {
        assert_eq!(sent("alice@laptop"), "alice@laptop");
        assert_eq!(sent(" Jürgen Müller@pc\n"), "J_rgen_M_ller@pc");
        assert_eq!(sent(&"a".repeat(300)).len(), MOST_BYTES);
        assert_eq!(sent(""), "");
    }

    #[test]
    fn a_process_without_a_user_is_its_host() {
        assert_eq!((at("", "laptop"), at("alice", "laptop")), ("laptop".into(), "alice@laptop".into()));
    }
}
