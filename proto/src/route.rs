//! A route: see `config.proto`.

use std::{collections::HashSet, fmt, sync::Arc};

use crate::{Invalid, RateLimit, RouteName, ServiceName, bounds::number, name, service::rate_limits, v1};

/// Which requests go to which services.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Unique among routes.
    pub name: RouteName,
    /// Which hosts it takes.
    pub host: HostMatch,
    /// Which paths it takes: whole segments; `/` takes all. Never ends with `/` but for that one.
    pub path_prefix: Arc<str>,
    /// Where to: never empty unless it is off, no service twice, not all weights 0.
    pub services: Vec<WeightedService>,
    /// A request must be within all of them.
    pub rate_limits: Vec<RateLimit>,
    /// Whether nobody declared it.
    pub implicit: bool,
    /// Whether the service comes first that the host names.
    pub by_host: bool,
    /// Whether it takes no request, and is there as the memory of that.
    pub off: bool,
}

/// Which hosts a route takes; in lower case, without a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum HostMatch {
    /// Every host.
    Any,
    /// This one: `shop.example`.
    Exact(Arc<str>),
    /// Every host that ends with this: `.shop.example`.
    Suffix(Arc<str>),
}

/// A service and its share of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightedService {
    /// The service; it need not exist.
    pub name: ServiceName,
    /// 0 to 1,000,000.
    pub weight: u32,
}

impl Route {
    /// The level of the contract that an object with this route needs: `Object.level` in `object.proto`.
    #[must_use]
    pub fn level(&self) -> u32 {
        if self.implicit {
            4
        } else if self.rate_limits.is_empty() {
            1
        } else {
            3
        }
    }

    /// Whether it takes every request that no other route does, and somebody declared it.
    #[must_use]
    pub fn is_declared_catch_all(&self) -> bool {
        !self.implicit && self.host == HostMatch::Any && &*self.path_prefix == "/"
    }
}

impl fmt::Display for HostMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("*"),
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
        }
    }
}

impl TryFrom<v1::Route> for Route {
    type Error = Invalid;

    fn try_from(wire: v1::Route) -> Result<Self, Invalid> {
        let matching = wire.r#match.unwrap_or_default();
        let host = host(&matching.host).map_err(|e| e.within("match.host"))?;
        let path_prefix = match matching.path {
            None => "/".into(),
            Some(v1::route_match::Path::PathPrefix(prefix)) => {
                path_prefix(&prefix).map_err(|e| e.within("match.path_prefix"))?
            }
        };
        for (field, is_set) in [("by_host", wire.by_host), ("off", wire.off)] {
            if is_set && !wire.implicit {
                return Err(Invalid::new(field, "is for the implicit route only; leave it out"));
            }
        }
        let services =
            if wire.off && wire.services.is_empty() { Vec::new() } else { services(wire.services)? };
        let name = if wire.name.is_empty() { format!("{host}{path_prefix}") } else { wire.name };
        Ok(Self {
            name: RouteName::try_from(name.as_str()).map_err(|e| e.within("name"))?,
            host,
            path_prefix,
            services,
            rate_limits: rate_limits(wire.rate_limits)?,
            implicit: wire.implicit,
            by_host: wire.by_host,
            off: wire.off,
        })
    }
}

fn host(text: &str) -> Result<HostMatch, Invalid> {
    let lower = text.to_ascii_lowercase();
    match lower.strip_prefix('*') {
        _ if lower.is_empty() || lower == "*" => Ok(HostMatch::Any),
        Some(suffix) => match suffix.strip_prefix('.') {
            Some(rest) => named(rest).map(|()| HostMatch::Suffix(suffix.into())),
            None => Err(Invalid::new(
                "",
                format_args!("a wildcard stands for whole labels, as *.shop.example, not {text:?}"),
            )),
        },
        None => named(&lower).map(|()| HostMatch::Exact(lower.into())),
    }
}

fn named(host: &str) -> Result<(), Invalid> {
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    if bare.parse::<std::net::IpAddr>().is_ok() {
        return Ok(());
    }
    if host.contains(':') {
        return Err(Invalid::new("", "is matched without the port; leave it out"));
    }
    name::dns_name(host).map_err(|reason| Invalid::new("", reason))
}

fn path_prefix(text: &str) -> Result<Arc<str>, Invalid> {
    if !text.starts_with('/') {
        return Err(Invalid::new("", format_args!("must start with /, {text:?} does not")));
    }
    if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic() || matches!(c, '?' | '#')) {
        return Err(Invalid::new(
            "",
            format_args!("must be written as in a URL, without {bad:?}; percent-encode it"),
        ));
    }
    if text.len() > 1024 {
        return Err(Invalid::new("", format_args!("must have at most 1,024 characters, has {}", text.len())));
    }
    let trimmed = text.trim_end_matches('/');
    Ok(if trimmed.is_empty() { "/" } else { trimmed }.into())
}

fn services(wire: Vec<v1::WeightedService>) -> Result<Vec<WeightedService>, Invalid> {
    if wire.is_empty() || wire.len() > 64 {
        return Err(Invalid::new(
            "services",
            format_args!("must name 1 to 64 services, names {}", wire.len()),
        ));
    }
    let mut seen = HashSet::new();
    let mut services = Vec::with_capacity(wire.len());
    for (i, wire) in wire.into_iter().enumerate() {
        let at = |e: Invalid| e.within(&format!("services[{i}]"));
        let name = ServiceName::try_from(wire.name.as_str()).map_err(|e| at(e.within("name")))?;
        let weight = number("weight", wire.weight, 1, 0, 1_000_000).map_err(at)?;
        if !seen.insert(name.clone()) {
            return Err(at(Invalid::new("name", format_args!("{name} is named twice"))));
        }
        services.push(WeightedService { name, weight });
    }
    if services.iter().all(|s| s.weight == 0) {
        return Err(Invalid::new("services", "at least one weight must be above 0"));
    }
    Ok(services)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(host: &str, prefix: &str) -> Result<Route, Invalid> {
        Route::try_from(v1::Route {
            name: String::new(),
            r#match: Some(v1::RouteMatch {
                host: host.into(),
                path: (!prefix.is_empty()).then(|| v1::route_match::Path::PathPrefix(prefix.into())),
            }),
            services: vec![v1::WeightedService { name: "web".into(), weight: None }],
            ..Default::default()
        })
    }

    #[test]
    fn the_name_is_the_match() {
        let name = |host, prefix| route(host, prefix).map(|r| r.name.to_string());
        assert_eq!(name("Shop.Example", "/cart/"), Ok("shop.example/cart".to_owned()));
        assert_eq!(name("*.shop.example", ""), Ok("*.shop.example/".to_owned()));
        assert_eq!(name("", "/"), Ok("*/".to_owned()));
    }

    #[test]
    fn an_older_proxy_must_not_let_pass_what_is_limited() {
        let limited = |requests| {
            Route::try_from(v1::Route {
                services: weighted(&[("web", 1)]),
                rate_limits: vec![v1::RateLimit { requests, ..Default::default() }],
                ..Default::default()
            })
        };
        assert_eq!((route("", "").map(|r| r.level()), limited(1).map(|r| r.level())), (Ok(1), Ok(3)));
        assert_eq!(limited(0).map_err(|e| e.field).err().as_deref(), Some("rate_limits[0].requests"));
    }

    #[test]
    fn an_older_proxy_must_not_take_the_implicit_route_for_a_declared_one() {
        let implicit = |services: &[(&str, u32)], off| {
            let services = weighted(services);
            Route::try_from(v1::Route { services, implicit: true, by_host: true, off, ..Default::default() })
        };
        let on = implicit(&[("web", 1)], false).map(|r| (r.level(), r.is_declared_catch_all()));
        assert_eq!(on, Ok((4, false)));
        assert!(implicit(&[], false).is_err() && implicit(&[], true).is_ok());
        let declared = |by_host, off| {
            let services = weighted(&[("web", 1)]);
            Route::try_from(v1::Route { services, by_host, off, ..Default::default() })
        };
        assert_eq!(declared(false, false).map(|r| r.is_declared_catch_all()), Ok(true));
        assert_eq!(declared(true, false).map_err(|e| e.field), Err("by_host".to_owned()));
        assert_eq!(declared(false, true).map_err(|e| e.field), Err("off".to_owned()));
    }

    #[test]
    fn bad_matches_are_refused() {
        for (host, prefix) in [
            ("a b", ""),
            ("shop.example:80", ""),
            ("*shop.example", ""),
            ("", "cart"),
            ("", "/a?b"),
            ("", "/ä"),
        ] {
            assert!(route(host, prefix).is_err(), "{host} {prefix}");
        }
    }

    #[test]
    fn weights_must_lead_somewhere() {
        let refusal = |list: &[(&str, u32)]| services(weighted(list)).map_err(|e| e.to_string()).err();
        assert_eq!(refusal(&[("a", 0), ("b", 1)]), None);
        assert_eq!(refusal(&[("a", 0)]).as_deref(), Some("services: at least one weight must be above 0"));
        assert_eq!(refusal(&[("a", 1), ("a", 1)]).as_deref(), Some("services[1].name: a is named twice"));
        assert_eq!(refusal(&[]).as_deref(), Some("services: must name 1 to 64 services, names 0"));
    }

    fn weighted(list: &[(&str, u32)]) -> Vec<v1::WeightedService> {
        list.iter()
            .map(|(name, weight)| v1::WeightedService { name: (*name).into(), weight: Some(*weight) })
            .collect()
    }
}
