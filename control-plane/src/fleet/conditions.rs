//! What one proxy finds of its backends: as it reported last, and what of it is news.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use tokio::time::Instant;
use weir_proto::{
    duration_read, duration_to_wire,
    v1::{self, EjectionState, HealthState},
};

use super::bounds::{self, MOST_KEPT};

/// The backends of one proxy that are in trouble, or not known to be well.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Conditions {
    by_backend: BTreeMap<String, v1::BackendCondition>,
    /// Whether it names all there are: what is not named is well then.
    complete: bool,
    heard: Instant,
}

impl Conditions {
    /// As reported now.
    pub(super) fn heard(mut list: Vec<v1::BackendCondition>) -> Self {
        // A proxy names so many at most. One that names as many may have more.
        let complete = list.len() < MOST_KEPT;
        list.truncate(MOST_KEPT);
        list.iter_mut().for_each(bounds::condition);
        let by_backend = list.into_iter().map(|condition| (condition.backend.clone(), condition)).collect();
        Self { by_backend, complete, heard: Instant::now() }
    }

    /// Forgets those of which `keep` says no.
    pub(super) fn retain(&mut self, keep: impl Fn(&str) -> bool) {
        self.by_backend.retain(|backend, _| keep(backend));
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.by_backend.is_empty()
    }

    /// The condition of a backend, as old as it is by now.
    pub(crate) fn of(&self, backend: &str) -> Option<v1::BackendCondition> {
        let reported = self.by_backend.get(backend)?;
        let age = self.heard.elapsed();
        let older = |time: Option<prost_types::Duration>, by: fn(Duration, Duration) -> Duration| {
            time.and_then(duration_read).map(|time| duration_to_wire(by(time, age)))
        };
        Some(v1::BackendCondition {
            health_for: older(reported.health_for, Duration::saturating_add),
            ejected_for: older(reported.ejected_for, Duration::saturating_add),
            ejection_left: older(reported.ejection_left, Duration::saturating_sub),
            ..reported.clone()
        })
    }

    /// Whether the proxy finds the backend unhealthy.
    pub(super) fn is_unhealthy(&self, backend: &str) -> bool {
        self.by_backend.get(backend).is_some_and(|condition| condition.health() == HealthState::Unhealthy)
    }

    /// All that it finds unhealthy.
    pub(super) fn unhealthy(&self) -> impl Iterator<Item = &str> {
        self.by_backend.keys().map(String::as_str).filter(|backend| self.is_unhealthy(backend))
    }

    /// What backends are, each condition by its word; a backend may be in two of them.
    pub(super) fn words(&self) -> impl Iterator<Item = &'static str> {
        self.by_backend.values().flat_map(|condition| {
            let health = match condition.health() {
                HealthState::Unknown => Some("unknown"),
                HealthState::Unhealthy => Some("unhealthy"),
                HealthState::Degraded => Some("degraded"),
                HealthState::Unspecified | HealthState::Healthy => None,
            };
            let ejection = match condition.ejection() {
                EjectionState::Ejected => Some("ejected"),
                EjectionState::Probation => Some("probation"),
                EjectionState::Unspecified | EjectionState::None => None,
            };
            health.into_iter().chain(ejection)
        })
    }
}

/// The words of [`Conditions::words`], each a series of a gauge.
pub(crate) const WORDS: [&str; 5] = ["unknown", "unhealthy", "degraded", "ejected", "probation"];

/// What is known to everybody of the backends of one proxy.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Told(BTreeMap<String, Trouble>);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Trouble {
    health: Trend,
    ejected: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Trend {
    #[default]
    Well,
    Degraded,
    Unhealthy,
}

/// A change of one backend that somebody may want to know of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct News {
    /// `service/id`.
    pub backend: String,
    /// For people, after the proxy's name: `finds web/x unhealthy: connection refused`.
    pub text: String,
}

impl Told {
    /// Takes over what the proxy reports, of the backends that exist; what of it is new.
    ///
    /// A probe that has not been answered says nothing about health, so it is no change; a probation belongs to the
    /// ejection before it.
    pub(super) fn follow(&mut self, reported: &Conditions, exists: impl Fn(&str) -> bool) -> Vec<News> {
        let mut news = Vec::new();
        let named: BTreeSet<String> = self.0.keys().chain(reported.by_backend.keys()).cloned().collect();
        for backend in named {
            let before = self.0.get(&backend).copied().unwrap_or_default();
            let condition = reported.by_backend.get(&backend);
            let after = match condition {
                _ if !exists(&backend) => {
                    self.0.remove(&backend);
                    continue;
                }
                Some(condition) => before.with(condition),
                None if reported.complete => Trouble::default(),
                None => before,
            };
            if after == before {
                continue;
            }
            let changes = before.changes(after, &backend, condition);
            news.extend(changes.map(|text| News { backend: backend.clone(), text }));
            if after == Trouble::default() {
                self.0.remove(&backend);
            } else {
                self.0.insert(backend, after);
            }
        }
        news
    }
}

impl Trouble {
    fn with(self, condition: &v1::BackendCondition) -> Self {
        let health = match condition.health() {
            HealthState::Unspecified | HealthState::Healthy => Trend::Well,
            HealthState::Unknown => self.health,
            HealthState::Degraded => Trend::Degraded,
            HealthState::Unhealthy => Trend::Unhealthy,
        };
        let ejected = match condition.ejection() {
            EjectionState::Unspecified | EjectionState::None => false,
            EjectionState::Ejected => true,
            EjectionState::Probation => self.ejected,
        };
        Self { health, ejected }
    }

    fn changes(
        self,
        after: Self,
        backend: &str,
        condition: Option<&v1::BackendCondition>,
    ) -> impl Iterator<Item = String> {
        let because = |reason: Option<&String>| match reason.filter(|reason| !reason.is_empty()) {
            Some(reason) => format!(": {reason}"),
            None => String::new(),
        };
        let health = (self.health != after.health).then(|| {
            let why = because(condition.map(|c| &c.health_reason));
            match after.health {
                Trend::Well => format!("finds {backend} healthy again"),
                Trend::Degraded => format!("finds {backend} degraded{why}"),
                Trend::Unhealthy => format!("finds {backend} unhealthy{why}"),
            }
        });
        let ejection = (self.ejected != after.ejected).then(|| {
            if after.ejected {
                format!("ejected {backend}{}", because(condition.map(|c| &c.ejection_reason)))
            } else {
                format!("took {backend} back after its ejection")
            }
        });
        health.into_iter().chain(ejection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(backend: &str, health: HealthState, ejection: EjectionState) -> v1::BackendCondition {
        v1::BackendCondition {
            backend: backend.to_owned(),
            health: health as i32,
            health_reason: "connection refused".to_owned(),
            ejection: ejection as i32,
            ejection_reason: "consecutive_5xx".to_owned(),
            ..Default::default()
        }
    }

    /// The texts of what is new when the proxy reports these.
    fn follow(told: &mut Told, list: &[(&str, HealthState, EjectionState)]) -> Vec<String> {
        let list = list.iter().map(|(b, h, e)| condition(b, *h, *e)).collect();
        told.follow(&Conditions::heard(list), |_| true).into_iter().map(|news| news.text).collect()
    }

    #[test]
    fn each_real_change_is_told_once() {
        use EjectionState::{Ejected, None as In, Probation};
        use HealthState::{Degraded, Healthy, Unhealthy, Unknown};
        let told = &mut Told::default();
        assert_eq!(follow(told, &[("web/x", Unknown, In)]), [""; 0], "nobody has said anything about it");
        assert_eq!(follow(told, &[("web/x", Unhealthy, In)]), ["finds web/x unhealthy: connection refused"]);
        assert_eq!(follow(told, &[("web/x", Unhealthy, In)]), [""; 0]);
        assert_eq!(follow(told, &[("web/x", Unknown, In)]), [""; 0]);
        assert_eq!(follow(told, &[("web/x", Degraded, In)]), ["finds web/x degraded: connection refused"]);
        assert_eq!(
            follow(told, &[("web/x", Healthy, Ejected)]),
            ["finds web/x healthy again", "ejected web/x: consecutive_5xx"]
        );
        assert_eq!(follow(told, &[("web/x", Healthy, Probation)]), [""; 0], "it is not back yet");
        assert_eq!(follow(told, &[("web/x", Healthy, Ejected)]), [""; 0], "it never was");
        assert_eq!(follow(told, &[]), ["took web/x back after its ejection"]);
        assert_eq!(*told, Told::default(), "nothing is kept of what is well");
    }

    #[test]
    fn a_backend_that_is_gone_is_no_news_and_forgotten() {
        let told = &mut Told::default();
        follow(told, &[("web/x", HealthState::Unhealthy, EjectionState::None)]);
        assert_eq!(told.follow(&Conditions::heard(Vec::new()), |_| false), []);
        assert_eq!(*told, Told::default());
    }

    #[test]
    fn who_names_as_many_as_it_may_says_nothing_about_the_others() {
        let told = &mut Told::default();
        follow(told, &[("web/x", HealthState::Unhealthy, EjectionState::None)]);
        let names: Vec<_> = (0..MOST_KEPT).map(|n| format!("web/{n}")).collect();
        let full: Vec<_> =
            names.iter().map(|n| (n.as_str(), HealthState::Unhealthy, EjectionState::None)).collect();
        let news = follow(told, &full);
        assert_eq!(news.len(), MOST_KEPT);
        assert!(!news.iter().any(|text| text.contains("web/x ")), "it may be left out only");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_reported_ages() {
        let seconds = |n| Some(prost_types::Duration { seconds: n, nanos: 0 });
        let ejected = v1::BackendCondition {
            health_for: Some(prost_types::Duration { seconds: -1, nanos: 0 }),
            ejected_for: seconds(10),
            ejection_left: seconds(3),
            ..condition("web/x", HealthState::Healthy, EjectionState::Ejected)
        };
        let conditions = Conditions::heard(vec![ejected]);
        tokio::time::advance(Duration::from_secs(4)).await;
        let now = conditions.of("web/x").expect("reported");
        assert_eq!((now.health_for, now.ejected_for, now.ejection_left), (None, seconds(14), seconds(0)));
        assert_eq!(conditions.of("web/y"), None);
        assert_eq!(conditions.words().collect::<Vec<_>>(), ["ejected"]);
    }
}
