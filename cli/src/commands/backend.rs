//! `weir backend`: register, remove and look at backends, and set what operators want of them.

mod heartbeat;
mod register;
mod weight;

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use weir_proto::{BackendKey, Invalid, ObjectKind, OperatorState, duration_read, duration_to_wire, v1};

use crate::{
    Error, Exit,
    commands::{
        Global, TIMEOUT, object,
        wait::{self, WAIT},
    },
    document::Problem,
    output::{self, State, Table},
    units,
};

pub(super) use register::Traits;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Backend {
    /// Register an address under a service; without --ttl it stays until it is removed
    Register(register::Register),
    /// Remove a backend
    Deregister(Deregister),
    /// Let a backend finish what it has and send nothing new to it; `weir drain --wait` also removes it
    Drain(SetState),
    /// Let a backend take traffic again
    Enable(SetState),
    /// Send nothing to a backend
    Disable(SetState),
    /// Give a backend another weight than it was registered with
    Weight(weight::Weight),
    /// Renew the lease of a backend that was registered with --ttl
    Heartbeat(heartbeat::Heartbeat),
    /// Show backends and their states
    List {
        /// Only those of this service
        #[arg(default_value = "", hide_default_value = true)]
        service: String,
    },
    /// Show one with all that is known of it, and what each proxy finds of it
    #[command(visible_alias = "show")]
    Get {
        /// As `weir backend list` shows it
        #[arg(value_name = "SERVICE/ID", value_parser = key)]
        backend: BackendKey,
    },
}

/// A removal.
#[derive(Debug, Args)]
pub(super) struct Deregister {
    /// As `weir backend list` shows it
    #[arg(value_name = "SERVICE/ID", value_parser = key)]
    backend: BackendKey,
    /// First let it finish what it has, for at most this long
    #[arg(long, value_name = "DURATION", value_parser = units::duration)]
    drain: Option<Duration>,
    /// Return when every live proxy has acknowledged that it is gone
    #[arg(long)]
    wait: bool,
    /// That there is no such backend is as good
    #[arg(long)]
    if_exists: bool,
}

/// A change of the operator's state.
#[derive(Debug, Args)]
pub(super) struct SetState {
    /// As `weir backend list` shows it
    #[arg(value_name = "SERVICE/ID", value_parser = key)]
    pub(super) backend: BackendKey,
    /// Change it only if this is the current revision
    #[arg(long, value_name = "N")]
    pub(super) if_revision: Option<u64>,
    /// Return when every live proxy has acknowledged it
    #[arg(long)]
    pub(super) wait: bool,
}

pub(super) async fn run(global: &Global, verb: Backend) -> Result<Exit, Error> {
    match verb {
        Backend::Register(register) => register::run(global, register).await?,
        Backend::Weight(weight) => weight::run(global, &weight).await?,
        Backend::Heartbeat(heartbeat) => heartbeat::run(global, &heartbeat).await?,
        Backend::Deregister(deregister) => self::deregister(global, &deregister).await?,
        Backend::Drain(set) => return set_state(global, &set, OperatorState::Draining).await,
        Backend::Enable(set) => return set_state(global, &set, OperatorState::Enabled).await,
        Backend::Disable(set) => return set_state(global, &set, OperatorState::Disabled).await,
        Backend::List { service } => list(global, &service).await?,
        Backend::Get { backend } => get(global, &backend).await?,
    }
    Ok(Exit::Ok)
}

/// Sets the operator's state of one backend.
pub(super) async fn set_state(global: &Global, set: &SetState, state: OperatorState) -> Result<Exit, Error> {
    let client = global.connect_to(set.wait).await?;
    let request = v1::SetOperatorStateRequest {
        backend: set.backend.to_string(),
        state: v1::OperatorState::from(state) as i32,
        if_revision: set.if_revision,
    };
    let mut admin = client.admin();
    let revision = client.call(admin.set_operator_state(request)).await?.revision;
    let word = output::word(v1::OperatorState::from(state).as_str_name(), "OPERATOR_STATE_");
    let value = json!({ "backend": set.backend.to_string(), "operator_state": word, "revision": revision });
    let line = || format!("{} is {word}, as of revision {revision}", set.backend);
    wait::show(&client, global.output(), set.wait, revision, value, line).await?;
    Ok(Exit::Ok)
}

async fn deregister(global: &Global, deregister: &Deregister) -> Result<(), Error> {
    let default = if deregister.wait { WAIT } else { TIMEOUT } + deregister.drain.unwrap_or_default();
    let client = global.connect_for(default).await?;
    let request = v1::DeregisterRequest {
        target: Some(v1::deregister_request::Target::Backend(deregister.backend.to_string())),
        drain: deregister.drain.map(duration_to_wire),
    };
    let mut registry = client.registry();
    let response = client.call(registry.deregister(request)).await?;
    if !response.existed && !deregister.if_exists {
        return Err(Error::NotFound(format!(
            "there is no backend {}; `weir backend list` shows what there is, and with --if-exists this is no error",
            deregister.backend
        )));
    }
    let value = json!({
        "backend": deregister.backend.to_string(),
        "existed": response.existed,
        "revision": response.revision,
        "in_flight": response.in_flight,
        "unacknowledged_proxies": response.unacknowledged_proxies,
    });
    if response.in_flight > 0 {
        output::note(&format!("{} requests were still in flight when the time was up", response.in_flight));
    }
    if !response.unacknowledged_proxies.is_empty() {
        let proxies = response.unacknowledged_proxies.join(", ");
        output::note(&format!("these proxies had not acknowledged the drain: {proxies}"));
    }
    let line = || {
        if response.existed {
            format!("removed {} in revision {}", deregister.backend, response.revision)
        } else {
            format!("there was no {}", deregister.backend)
        }
    };
    wait::show(&client, global.output(), deregister.wait, response.revision, value, line).await
}

async fn list(global: &Global, service: &str) -> Result<(), Error> {
    let client = global.connect().await?;
    let infos = object::list(&client, ObjectKind::Backend, service).await?;
    if infos.is_empty() && !service.is_empty() {
        // That there is no such service is another answer than that it has no backend.
        let object = v1::ObjectRef { kind: ObjectKind::Service.wire() as i32, name: service.to_owned() };
        let mut admin = client.admin();
        client.call(admin.get_object(v1::GetObjectRequest { object: Some(object) })).await?;
    }
    let value = infos.iter().map(json).collect();
    let output = global.output();
    output.show(&value, || {
        let columns = ["BACKEND", "ADDRESS", "WEIGHT", "ZONE", "OPERATOR", "LEASE", "HEALTH", "OWNER"];
        let empty = match service {
            "" => "no backend; register one with `weir backend register`".to_owned(),
            of => {
                format!("service {of} has no backend; register one with `weir backend register {of} ADDRESS`")
            }
        };
        let mut table = Table::new(&columns, &empty);
        for info in &infos {
            let resource = info.resource.as_ref().and_then(|r| r.resource.as_ref());
            if let Some(v1::resource::Resource::Backend(backend)) = resource {
                table.row(row(info, backend));
            }
        }
        let mut lines = table.render(output.is_colored());
        for (n, reason) in held(&infos).into_iter().enumerate() {
            lines = if n == 0 { lines.and_apart(reason) } else { lines.and(reason) };
        }
        lines
    })
}

/// Why leases do not expire although they are due: a line for each reason, which is that of many.
fn held(infos: &[v1::ObjectInfo]) -> Vec<String> {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    for info in infos.iter().filter(|info| !info.hold_reason.is_empty()) {
        *reasons.entry(&info.hold_reason).or_default() += 1;
    }
    let held = |(reason, count): (&str, usize)| match count {
        1 => format!("1 lease is overdue and held: {reason}"),
        _ => format!("{count} leases are overdue and held: {reason}"),
    };
    reasons.into_iter().map(held).collect()
}

/// A backend with what proxies find of it, for programs.
fn json(info: &v1::ObjectInfo) -> Value {
    let mut value = output::info(info);
    let conditions: Vec<_> = info.conditions.iter().map(output::proxy_condition).collect();
    value["proxies"] = json!({ "connected": info.connected_proxies, "conditions": conditions });
    value
}

async fn get(global: &Global, backend: &BackendKey) -> Result<(), Error> {
    let client = global.connect().await?;
    let name = backend.to_string();
    let object = Some(v1::ObjectRef { kind: ObjectKind::Backend.wire() as i32, name: name.clone() });
    let mut admin = client.admin();
    let info = client.call(admin.get_object(v1::GetObjectRequest { object })).await?;
    let request = v1::ListConditionsRequest { service: backend.service.to_string() };
    let (conditions, silent) = match client.call(admin.list_conditions(request)).await {
        Ok(found) => (found.conditions, found.silent),
        Err(e) => {
            output::note(&format!("the proxies could not be asked, this is what they reported last: {e}"));
            (info.conditions.clone(), Vec::new())
        }
    };
    let of_it = |c: &v1::ProxyCondition| c.condition.as_ref().is_some_and(|c| c.backend == name);
    let conditions: Vec<_> = conditions.into_iter().filter(of_it).collect();
    let shown = output::info(&info);
    let mut value = shown.clone();
    value["proxies"] = json!({
        "connected": info.connected_proxies,
        "silent": silent,
        "conditions": conditions.iter().map(output::proxy_condition).collect::<Vec<_>>(),
    });
    let output = global.output();
    output.show(&value, || {
        let mut fields = Table::new(&["FIELD", "VALUE"], "");
        object::rows("", &shown, &mut fields);
        let fields = fields.render(output.is_colored());
        fields.and_apart(views(&conditions, &silent).render(output.is_colored()))
    })
}

/// What each proxy finds of one backend.
fn views(conditions: &[v1::ProxyCondition], silent: &[String]) -> Table {
    let columns = ["PROXY", "HEALTH", "EJECTION", "IN FLIGHT"];
    let mut table = Table::new(&columns, "no connected proxy knows it");
    for found in conditions {
        let Some(condition) = &found.condition else { continue };
        table.row([
            State::plain(&found.proxy_id),
            output::health(condition),
            output::ejection(condition),
            State::plain(condition.in_flight),
        ]);
    }
    for proxy in silent {
        let none = || State::plain("");
        table.row([State::plain(proxy), State::Doubtful.cell("did not answer"), none(), none()]);
    }
    table
}

fn row(info: &v1::ObjectInfo, backend: &v1::Backend) -> [(String, Option<State>); 8] {
    let operator = output::word(backend.operator_state().as_str_name(), "OPERATOR_STATE_");
    let operator = match backend.operator_state() {
        v1::OperatorState::Draining => State::Doubtful.cell(operator),
        v1::OperatorState::Disabled => State::Bad.cell(operator),
        _ => State::Good.cell(operator),
    };
    let own = backend.weight.unwrap_or(1);
    let weight = match backend.operator_weight {
        Some(weight) if weight != own => State::Doubtful.cell(format!("{weight} (own {own})")),
        _ => State::plain(own),
    };
    let lease = output::word(backend.lease_state().as_str_name(), "LEASE_STATE_");
    let lease = match backend.lease_state() {
        // It lives on after its time was up; why is what `weir backend get` says.
        v1::LeaseState::Live if !info.hold_reason.is_empty() => {
            let since = info.overdue_since.and_then(|since| SystemTime::try_from(since).ok());
            let overdue = since.and_then(|since| since.elapsed().ok()).unwrap_or_default();
            State::Doubtful.cell(format!("overdue {}s", overdue.as_secs()))
        }
        v1::LeaseState::Expired => State::Bad.cell(lease),
        v1::LeaseState::Live => {
            let left = info.lease_remaining.and_then(duration_read).unwrap_or_default();
            State::Good.cell(format!("{lease} {:.1}s", left.as_secs_f64()))
        }
        _ => State::plain(lease),
    };
    [
        State::plain(format!("{}/{}", backend.service, backend.id)),
        State::plain(&backend.address),
        weight,
        State::plain(&backend.zone),
        operator,
        lease,
        output::fleet_health(info),
        State::plain(object::owner(info)),
    ]
}

/// A refusal of what stands on the command line.
#[expect(clippy::needless_pass_by_value, reason = "it is what map_err gives")]
pub(super) fn invalid(invalid: Invalid) -> Error {
    Error::Invalid(vec![Problem::nowhere(&invalid.field, &invalid.reason)])
}

/// `SERVICE/ID`.
pub(super) fn key(text: &str) -> Result<BackendKey, String> {
    BackendKey::try_from(text).map_err(|e| e.reason)
}
