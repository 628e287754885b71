//! DNS, as clients use it: with `dig`, and with a resolver that keeps answers for as long as they hold.

mod dev;
mod dig;
mod follows;
mod protocol;
mod rolling;
mod stub;
mod types;

pub(super) use self::stub::proxies;
