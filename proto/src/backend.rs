//! A backend and the terms of its lease: see `config.proto` and `registry.proto`.

use std::{collections::BTreeMap, fmt, net::SocketAddr, time::Duration};

use crate::{
    BackendId, Invalid, ObjectKey, ObjectKind, ServiceName, address::canonical, bounds::number,
    duration::from_wire, v1,
};

/// One address of a service, with the two of its four states that the whole fleet shares.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Its name among all backends.
    pub key: BackendKey,
    /// Where it listens: in its canonical form; the port is never 0.
    pub address: SocketAddr,
    /// Its share in relation to the others: 1 to 256.
    pub weight: u32,
    /// Where it runs; may be empty.
    pub zone: String,
    /// For people and tools.
    pub metadata: BTreeMap<String, String>,
    /// What the operator wants of it.
    pub operator_state: OperatorState,
    /// Whether its promise to live holds.
    pub lease_state: LeaseState,
    /// The lowest number gets the traffic first: 0 to 15.
    pub priority: u32,
    /// The share that an operator gave it in place of its own: 1 to 256.
    pub operator_weight: Option<u32>,
}

impl Backend {
    /// Whether anything may be sent to it, as far as operator and lease are concerned. Health and ejection are each
    /// proxy's own business.
    #[must_use]
    pub fn is_routable(&self) -> bool {
        self.operator_state == OperatorState::Enabled && self.lease_state != LeaseState::Expired
    }

    /// The level of the contract that an object with this backend needs: `Object.level` in `object.proto`.
    #[must_use]
    pub fn level(&self) -> u32 {
        match (self.operator_weight, self.priority) {
            (Some(_), _) => 4,
            (None, 1..) => 3,
            (None, 0) => 1,
        }
    }

    /// The share that counts: the operator's, or its own.
    #[must_use]
    pub fn weight_in_force(&self) -> u32 {
        self.operator_weight.unwrap_or(self.weight)
    }

    /// The same declaration, for which holds what operators want of `standing`, the backend that it replaces: nobody but
    /// an operator changes that.
    #[must_use]
    pub fn in_place_of(self, standing: Option<&Self>) -> Self {
        let operator_state = standing.map(|standing| standing.operator_state).unwrap_or_default();
        let operator_weight = standing.and_then(|standing| standing.operator_weight);
        Self { operator_state, operator_weight, ..self }
    }

    /// As it was declared, with nothing that operators want of it.
    #[must_use]
    pub fn as_declared(self) -> Self {
        self.in_place_of(None)
    }

    /// Whether an operator wants something of it.
    #[must_use]
    pub fn is_as_declared(&self) -> bool {
        self.operator_state == OperatorState::default() && self.operator_weight.is_none()
    }
}

/// What the operator wants of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OperatorState {
    /// It takes traffic.
    #[default]
    Enabled,
    /// It finishes what it has.
    Draining,
    /// It takes nothing.
    Disabled,
}

/// Whether a backend's promise to live holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LeaseState {
    /// It never made one.
    #[default]
    Static,
    /// It does.
    Live,
    /// It does not any more.
    Expired,
}

/// Names a backend among all: `service/id`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendKey {
    /// The service that it belongs to.
    pub service: ServiceName,
    /// Its name within the service.
    pub id: BackendId,
}

/// What a lease promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseTerms {
    /// How long it lasts without a heartbeat.
    pub ttl: Duration,
    /// How long the backend is still listed after that.
    pub deregister_after: Duration,
}

impl From<&BackendKey> for ObjectKey {
    fn from(key: &BackendKey) -> Self {
        Self::new(ObjectKind::Backend, &key.to_string())
    }
}

impl TryFrom<&str> for BackendKey {
    type Error = Invalid;

    fn try_from(text: &str) -> Result<Self, Invalid> {
        let Some((service, id)) = text.split_once('/') else {
            return Err(Invalid::new(
                "",
                format_args!("must be SERVICE/ID, as web/10.0.0.7:8080, not {text:?}"),
            ));
        };
        let within = |part: &'static str| {
            move |e: Invalid| Invalid::new("", format_args!("the {part} in SERVICE/ID {}", e.reason))
        };
        Ok(Self {
            service: ServiceName::try_from(service).map_err(within("service"))?,
            id: BackendId::try_from(id).map_err(within("id"))?,
        })
    }
}

impl fmt::Display for BackendKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.service, self.id)
    }
}

impl TryFrom<v1::Backend> for Backend {
    type Error = Invalid;

    /// Takes states that are not set as ENABLED and STATIC.
    fn try_from(wire: v1::Backend) -> Result<Self, Invalid> {
        let address: SocketAddr = wire.address.parse().map_err(|_| {
            let reason =
                format!("must be IP:port, as 10.0.0.7:8080 or [fd00::7]:8080, not {:?}", wire.address);
            Invalid::new("address", reason)
        })?;
        if address.port() == 0 {
            return Err(Invalid::new("address", "the port must be 1 to 65535, is 0"));
        }
        // However it is spelled, it is one backend.
        let address = canonical(address);
        let id = if wire.id.is_empty() { address.to_string() } else { wire.id };
        if !wire.zone.is_empty() {
            ServiceName::try_from(wire.zone.as_str()).map_err(|e| e.within("zone"))?;
        }
        check_metadata(&wire.metadata)?;
        Ok(Self {
            key: BackendKey {
                service: ServiceName::try_from(wire.service.as_str()).map_err(|e| e.within("service"))?,
                id: BackendId::try_from(id.as_str()).map_err(|e| e.within("id"))?,
            },
            address,
            weight: number("weight", wire.weight, 1, 1, 256)?,
            zone: wire.zone,
            metadata: wire.metadata,
            operator_state: OperatorState::try_from(wire.operator_state)
                .map_err(|e| e.within("operator_state"))?,
            lease_state: LeaseState::try_from(wire.lease_state).map_err(|e| e.within("lease_state"))?,
            priority: number("priority", wire.priority, 0, 0, 15)?,
            operator_weight: wire
                .operator_weight
                .map(|weight| number("operator_weight", Some(weight), 1, 1, 256))
                .transpose()?,
        })
    }
}

fn check_metadata(metadata: &BTreeMap<String, String>) -> Result<(), Invalid> {
    if metadata.len() > 64 {
        return Err(Invalid::new(
            "metadata",
            format_args!("must have at most 64 entries, has {}", metadata.len()),
        ));
    }
    for (key, value) in metadata {
        if key.is_empty() || key.len() > 63 {
            return Err(Invalid::new(
                "metadata",
                format_args!("a key must have 1 to 63 bytes, {key:?} has not"),
            ));
        }
        if value.len() > 1024 {
            let reason =
                format!("a value must have at most 1,024 bytes, that of {key:?} has {}", value.len());
            return Err(Invalid::new("metadata", reason));
        }
    }
    Ok(())
}

impl From<&Backend> for v1::Backend {
    fn from(backend: &Backend) -> Self {
        Self {
            service: backend.key.service.to_string(),
            id: backend.key.id.to_string(),
            address: backend.address.to_string(),
            weight: Some(backend.weight),
            zone: backend.zone.clone(),
            metadata: backend.metadata.clone(),
            operator_state: v1::OperatorState::from(backend.operator_state) as i32,
            lease_state: v1::LeaseState::from(backend.lease_state) as i32,
            // As it is stored and hashed: the default says nothing.
            priority: (backend.priority > 0).then_some(backend.priority),
            operator_weight: backend.operator_weight,
        }
    }
}

impl TryFrom<i32> for OperatorState {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::OperatorState::try_from(wire) {
            Ok(v1::OperatorState::Unspecified | v1::OperatorState::Enabled) => Ok(Self::Enabled),
            Ok(v1::OperatorState::Draining) => Ok(Self::Draining),
            Ok(v1::OperatorState::Disabled) => Ok(Self::Disabled),
            Err(_) => {
                Err(Invalid::new("", format_args!("must be ENABLED, DRAINING or DISABLED, not {wire}")))
            }
        }
    }
}

impl From<OperatorState> for v1::OperatorState {
    fn from(state: OperatorState) -> Self {
        match state {
            OperatorState::Enabled => Self::Enabled,
            OperatorState::Draining => Self::Draining,
            OperatorState::Disabled => Self::Disabled,
        }
    }
}

impl TryFrom<i32> for LeaseState {
    type Error = Invalid;

    fn try_from(wire: i32) -> Result<Self, Invalid> {
        match v1::LeaseState::try_from(wire) {
            Ok(v1::LeaseState::Unspecified | v1::LeaseState::Static) => Ok(Self::Static),
            Ok(v1::LeaseState::Live) => Ok(Self::Live),
            Ok(v1::LeaseState::Expired) => Ok(Self::Expired),
            Err(_) => Err(Invalid::new("", format_args!("must be STATIC, LIVE or EXPIRED, not {wire}"))),
        }
    }
}

impl From<LeaseState> for v1::LeaseState {
    fn from(state: LeaseState) -> Self {
        match state {
            LeaseState::Static => Self::Static,
            LeaseState::Live => Self::Live,
            LeaseState::Expired => Self::Expired,
        }
    }
}

impl TryFrom<v1::LeaseTerms> for LeaseTerms {
    type Error = Invalid;

    fn try_from(wire: v1::LeaseTerms) -> Result<Self, Invalid> {
        const fn seconds(n: u64) -> Duration {
            Duration::from_secs(n)
        }
        let (ttl, after) = (seconds(15), seconds(60));
        Ok(Self {
            ttl: from_wire("ttl", wire.ttl, ttl, seconds(1), seconds(600))?,
            deregister_after: from_wire(
                "deregister_after",
                wire.deregister_after,
                after,
                Duration::ZERO,
                seconds(24 * 3600),
            )?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn backend() -> v1::Backend {
        v1::Backend { service: "web".into(), address: "10.0.0.7:8080".into(), ..Default::default() }
    }

    fn refused(change: impl FnOnce(&mut v1::Backend)) -> String {
        let mut wire = backend();
        change(&mut wire);
        Backend::try_from(wire).expect_err("must be refused").to_string()
    }

    #[test]
    fn defaults_fill_what_is_absent() {
        let backend = Backend::try_from(backend()).expect("valid");
        assert_eq!(backend.key.to_string(), "web/10.0.0.7:8080");
        assert_eq!(backend.weight, 1);
        assert!(backend.is_routable());
    }

    #[test]
    fn refusals_name_the_field() {
        assert_eq!(
            refused(|b| b.address = "nowhere".into()),
            "address: must be IP:port, as 10.0.0.7:8080 or [fd00::7]:8080, not \"nowhere\""
        );
        assert_eq!(
            refused(|b| b.address = "10.0.0.7:0".into()),
            "address: the port must be 1 to 65535, is 0"
        );
        assert_eq!(refused(|b| b.weight = Some(0)), "weight: must be 1 to 256, is 0");
        assert_eq!(refused(|b| b.priority = Some(16)), "priority: must be 0 to 15, is 16");
        assert_eq!(refused(|b| b.service.clear()), "service: must not be empty");
        assert_eq!(refused(|b| b.lease_state = 9), "lease_state: must be STATIC, LIVE or EXPIRED, not 9");
    }

    #[test]
    fn two_spellings_of_an_address_are_one_backend() {
        let of = |address: &str| {
            let backend =
                Backend::try_from(v1::Backend { address: address.into(), ..backend() }).expect("valid");
            (backend.key.to_string(), v1::Backend::from(&backend).address)
        };
        let one = ("web/127.0.0.1:8080".to_owned(), "127.0.0.1:8080".to_owned());
        assert_eq!(of("[::ffff:127.0.0.1]:8080"), one);
        assert_eq!(of("127.0.0.1:08080"), one);
        assert_eq!(of("[0:0:0::1]:80"), of("[::1]:80"));
        assert_eq!(of("[2001:DB8::1%7]:80"), of("[2001:db8::1]:80"));
        assert_ne!(of("[::1]:80"), of("127.0.0.1:80"));
    }

    #[test]
    fn what_operators_want_outlasts_what_is_declared() {
        let standing = Backend {
            operator_state: OperatorState::Draining,
            operator_weight: Some(7),
            ..Backend::try_from(backend()).expect("valid")
        };
        assert_eq!((standing.weight_in_force(), standing.level()), (7, 4));
        let again = Backend::try_from(v1::Backend { weight: Some(3), ..backend() }).expect("valid");
        let next = again.clone().in_place_of(Some(&standing));
        assert_eq!((next.weight, next.weight_in_force()), (3, 7));
        assert_eq!(next.operator_state, OperatorState::Draining);
        assert_eq!(next.as_declared(), again);
        assert!(again.is_as_declared() && !standing.is_as_declared());
        assert_eq!(refused(|b| b.operator_weight = Some(257)), "operator_weight: must be 1 to 256, is 257");
        assert_eq!(refused(|b| b.operator_weight = Some(0)), "operator_weight: must be 1 to 256, is 0");
    }

    #[test]
    fn an_older_proxy_must_not_take_a_backup_for_one_of_many() {
        let of = |priority| Backend::try_from(v1::Backend { priority, ..backend() }).expect("valid");
        assert_eq!((of(None).level(), of(Some(0)).level(), of(Some(1)).level()), (1, 1, 3));
        assert_eq!(v1::Backend::from(&of(Some(0))), v1::Backend::from(&of(None)));
        assert_eq!(v1::Backend::from(&of(Some(15))).priority, Some(15));
    }

    #[test]
    fn routable_is_derived_from_both_states() {
        let mut backend = Backend::try_from(backend()).expect("valid");
        backend.lease_state = LeaseState::Expired;
        assert!(!backend.is_routable());
        backend.lease_state = LeaseState::Live;
        backend.operator_state = OperatorState::Draining;
        assert!(!backend.is_routable());
    }

    #[test]
    fn a_key_needs_both_parts() {
        assert_eq!(BackendKey::try_from("web/a").map(|k| k.to_string()), Ok("web/a".to_owned()));
        for bad in ["web", "/a", "web/", "Web/a", "web/a/b"] {
            assert!(BackendKey::try_from(bad).is_err(), "{bad}");
        }
    }
}
