//! Who calls: what the history and the audit log show of this program.

use std::{
    fs::File,
    io::{BufRead, BufReader, Read},
};

use tonic::{
    Request, Status,
    metadata::{Ascii, MetadataValue},
    service::Interceptor,
};
use weir_proto::CALLER;

/// The longest name that the control plane takes.
const MOST_BYTES: usize = 253;
/// The users of this machine by their numbers.
const USERS: &str = "/etc/passwd";
/// As much as is read of that.
const MOST_USERS: u64 = 1 << 20;
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
        let named = |name| std::env::var_os(name).filter(|user| !user.is_empty());
        let user = match ["USER", "LOGNAME"].into_iter().find_map(named) {
            Some(user) => user.to_string_lossy().into_owned(),
            None => user(rustix::process::getuid().as_raw()),
        };
        let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
        Self::named(&format!("{user}@{host}"))
    }
}

impl Interceptor for Caller {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        request.metadata_mut().insert(CALLER, self.0.clone());
        Ok(request)
    }
}

/// The user of this number, as far as the machine itself knows it; the environment of a daemon or a container often
/// names none. Directories of users are not asked: that may take long, and needs a libc that loads modules.
fn user(number: u32) -> String {
    let known = File::open(USERS).map(|users| BufReader::new(users.take(MOST_USERS)));
    let known = known.ok().and_then(|users| user_in(users, number));
    known.unwrap_or_else(|| format!("uid-{number}"))
}

/// By the form of `passwd(5)`: `name:password:uid:...`.
fn user_in(users: impl BufRead, number: u32) -> Option<String> {
    let number = number.to_string();
    users.lines().map_while(Result::ok).find_map(|line| {
        let mut fields = line.split(':');
        let (name, uid) = (fields.next()?, fields.nth(1)?);
        (uid == number && !name.is_empty()).then(|| name.to_owned())
    })
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
    fn a_user_without_a_name_in_the_environment_is_looked_up() {
        let users = "root:x:0:0::/root:/bin/sh\n\n# none\n:x:7:\nbob:x:1000:1000:Bob:/home/bob:/bin/sh\n";
        let found = [0, 1000, 100, 7].map(|number| user_in(users.as_bytes(), number));
        assert_eq!(found, [Some("root".to_owned()), Some("bob".to_owned()), None, None]);
        assert_eq!(user(u32::MAX - 1), "uid-4294967294");
    }
}
