//! `weir service`, `weir route`, `weir listener`: the same verbs for each kind.

mod summary;

use clap::Subcommand;
use serde_json::{Value, json};
use weir_proto::{ObjectKind, v1};

use crate::{
    Error, Exit,
    client::Client,
    commands::{Global, apply, wait},
    output::{self, State, Table},
};

use self::summary::Summary;

/// Objects in one page of a listing.
const PAGE: u32 = 1_000;

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Object {
    /// Show all
    List,
    /// Show one with all that is known of it
    #[command(visible_alias = "show")]
    Get {
        /// Its name
        name: String,
    },
    /// Declare what files of this kind alone say; as `weir apply`
    Apply(Box<apply::Apply>),
    /// Delete one
    Delete {
        /// Its name
        name: String,
        /// Delete only if this is the current revision
        #[arg(long, value_name = "N")]
        if_revision: Option<u64>,
        /// A service: delete its backends with it
        #[arg(long)]
        cascade: bool,
        /// Return when every live proxy has acknowledged that it is gone
        #[arg(long)]
        wait: bool,
    },
}

pub(super) async fn run(global: &Global, kind: ObjectKind, verb: Object) -> Result<Exit, Error> {
    match verb {
        Object::Apply(apply) => return apply::run(global, &apply, Some(kind)).await,
        Object::List => {
            let infos = list(&global.connect().await?, kind, "").await?;
            let value = infos.iter().map(output::info).collect();
            global.output().show_table(&value, || match kind {
                ObjectKind::Service => services(&infos),
                _ => table(kind, &infos),
            })?;
        }
        Object::Get { name } => get(global, kind, name).await?,
        Object::Delete { cascade: true, .. } if kind != ObjectKind::Service => {
            return Err(Error::Usage("--cascade is for services only; leave it out".to_owned()));
        }
        Object::Delete { name, if_revision, cascade, wait } => {
            let client = global.connect_to(wait).await?;
            let object = Some(v1::ObjectRef { kind: kind.wire() as i32, name: name.clone() });
            let request = v1::DeleteObjectRequest { object, if_revision, cascade };
            let mut admin = client.admin();
            let revision = client.call(admin.delete_object(request)).await?.revision;
            let value = json!({ "deleted": name, "kind": kind.as_str(), "revision": revision });
            let line = || format!("deleted {} {name} in revision {revision}", kind.as_str());
            wait::show(&client, global.output(), wait, revision, value, line).await?;
        }
    }
    Ok(Exit::Ok)
}

/// Prints one object.
pub(super) async fn get(global: &Global, kind: ObjectKind, name: String) -> Result<(), Error> {
    let client = global.connect().await?;
    let object = Some(v1::ObjectRef { kind: kind.wire() as i32, name });
    let mut admin = client.admin();
    let info = client.call(admin.get_object(v1::GetObjectRequest { object })).await?;
    let value = output::info(&info);
    global.output().show_table(&value, || {
        let mut table = Table::new(&["FIELD", "VALUE"], "");
        if let Some(summary) = service(&info).and_then(Summary::of) {
            // What nobody declared, and everybody wants to know.
            for (field, word) in [("lb_policy", summary.policy), ("health_check", summary.health_check)] {
                if value["service"].get(field).is_none() {
                    table.row([State::plain(format!("service.{field}")), State::plain(word)]);
                }
            }
        }
        rows("", &value, &mut table);
        table
    })
}

/// Objects, and which revisions their pages show.
pub(super) struct Listed {
    pub(super) objects: Vec<v1::ObjectInfo>,
    pub(super) first: u64,
    pub(super) last: u64,
}

/// All objects of a kind; of backends those of `service`, unless that is empty.
pub(super) async fn list(
    client: &Client,
    kind: ObjectKind,
    service: &str,
) -> Result<Vec<v1::ObjectInfo>, Error> {
    listed(client, kind, service).await.map(|listed| listed.objects)
}

/// The same with their revisions.
pub(super) async fn listed(client: &Client, kind: ObjectKind, service: &str) -> Result<Listed, Error> {
    let mut admin = client.admin();
    let mut request = v1::ListObjectsRequest {
        kind: kind.wire() as i32,
        service: service.to_owned(),
        page_size: PAGE,
        page_token: String::new(),
    };
    let mut listed = Listed { objects: Vec::new(), first: u64::MAX, last: 0 };
    loop {
        let page = client.call(admin.list_objects(request.clone())).await?;
        listed.objects.extend(page.objects);
        listed.first = listed.first.min(page.revision);
        listed.last = listed.last.max(page.revision);
        if page.next_page_token.is_empty() {
            return Ok(listed);
        }
        request.page_token = page.next_page_token;
    }
}

/// Who owns it, in a word or two.
pub(super) fn owner(info: &v1::ObjectInfo) -> String {
    let meta = info.meta.clone().unwrap_or_default();
    match meta.owner {
        None if meta.implicit => "nobody (implicit)".to_owned(),
        _ if meta.implicit => "its backends".to_owned(),
        Some(owner) => {
            let kind = output::word(owner.kind().as_str_name(), "OWNER_KIND_").replace('_', " ");
            format!("{kind} {}", owner.name).trim_end().to_owned()
        }
        None => String::new(),
    }
}

fn services(infos: &[v1::ObjectInfo]) -> Table {
    let columns = ["NAME", "POLICY", "HEALTH CHECK", "OWNER", "REVISION", "SETTINGS"];
    let mut table = Table::new(&columns, "no service; register a backend or apply a file");
    for info in infos {
        let Some(service) = service(info) else { continue };
        let newer = Summary { policy: "?", health_check: "?", settings: "of a newer version".to_owned() };
        let Summary { policy, health_check, settings } = Summary::of(service).unwrap_or(newer);
        table.row([
            State::plain(&service.name),
            State::plain(policy),
            State::plain(health_check),
            State::plain(owner(info)),
            State::plain(info.meta.as_ref().map_or(0, |m| m.modified_revision)),
            State::plain(settings),
        ]);
    }
    table
}

fn service(info: &v1::ObjectInfo) -> Option<&v1::Service> {
    match info.resource.as_ref()?.resource.as_ref()? {
        v1::resource::Resource::Service(service) => Some(service),
        _ => None,
    }
}

fn table(kind: ObjectKind, infos: &[v1::ObjectInfo]) -> Table {
    use v1::resource::Resource;
    let (column, empty) = match kind {
        ObjectKind::Listener => ("ADDRESS", "no listener: proxies accept on their --listen address"),
        ObjectKind::Route => ("TO", "no route; the first service brings one, by the name default, to itself"),
        ObjectKind::Service | ObjectKind::Backend => ("ADDRESS", "nothing"),
    };
    let mut table = Table::new(&["NAME", column, "OWNER", "REVISION"], empty);
    for info in infos {
        let Some(resource) = &info.resource else { continue };
        let detail = match &resource.resource {
            Some(Resource::Listener(listener)) => listener.address.clone(),
            Some(Resource::Route(route)) if route.off => {
                "off: what no other route takes is answered 404".to_owned()
            }
            Some(Resource::Route(route)) => {
                let to = route.services.iter().map(|s| match s.weight.unwrap_or(1) {
                    1 => s.name.clone(),
                    weight => format!("{}:{weight}", s.name),
                });
                let to = to.collect::<Vec<_>>().join(" ");
                if route.by_host { format!("the service named by Host, else {to}") } else { to }
            }
            Some(Resource::Backend(backend)) => backend.address.clone(),
            Some(Resource::Service(_)) | None => String::new(),
        };
        let revision = info.meta.as_ref().map_or(0, |m| m.modified_revision);
        table.row([
            State::plain(output::resource_name(resource)),
            State::plain(detail),
            State::plain(owner(info)),
            State::plain(revision),
        ]);
    }
    table
}

/// A row for each field that a value has.
pub(super) fn rows(path: &str, value: &Value, table: &mut Table) {
    match value {
        Value::Object(map) if !map.is_empty() => {
            for (key, value) in map {
                let inner = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                rows(&inner, value, table);
            }
        }
        Value::Null => {}
        Value::String(text) => table.row([State::plain(path), State::plain(text)]),
        other => table.row([State::plain(path), State::plain(other)]),
    }
}
