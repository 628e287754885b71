//! `weir route`: as of every kind, and the route that nobody declares.

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;
use weir_proto::{ObjectKind, v1};

use crate::{
    Error, Exit,
    commands::{
        Global,
        object::{self, Object},
        wait,
    },
    output,
};

/// What to do.
#[derive(Debug, Subcommand)]
pub(super) enum Route {
    #[command(flatten)]
    Object(Object),
    /// Turn the implicit route on or off: it takes what no declared route does, while none is for every host and path
    Default(Default),
}

/// On or off, and when.
#[derive(Debug, Args)]
pub(super) struct Default {
    /// `off`: what no declared route takes is answered 404
    #[arg(value_enum)]
    state: Switch,
    /// Only if this is the current revision
    #[arg(long, value_name = "N")]
    if_revision: Option<u64>,
    /// Return when every live proxy has acknowledged it
    #[arg(long)]
    wait: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Switch {
    On,
    Off,
}

pub(super) async fn run(global: &Global, verb: Route) -> Result<Exit, Error> {
    let Default { state, if_revision, wait } = match verb {
        Route::Object(verb) => return object::run(global, ObjectKind::Route, verb).await,
        Route::Default(default) => default,
    };
    let client = global.connect_to(wait).await?;
    let request = v1::SetDefaultRouteRequest { on: state == Switch::On, if_revision };
    let mut admin = client.admin();
    let answer = client.call(admin.set_default_route(request)).await?;
    let route = answer
        .route
        .clone()
        .map(|route| v1::Resource { resource: Some(v1::resource::Resource::Route(route)) });
    let value = json!({
        "on": state == Switch::On,
        "revision": answer.revision,
        "route": route.as_ref().and_then(output::resource).map(|(_, route)| route),
        "declared": (!answer.declared.is_empty()).then_some(&answer.declared),
    });
    wait::show(&client, global.output(), wait, answer.revision, value, || people(&answer)).await?;
    Ok(Exit::Ok)
}

fn people(answer: &v1::SetDefaultRouteResponse) -> String {
    let v1::SetDefaultRouteResponse { revision, route, declared } = answer;
    let stands = match route {
        Some(route) if route.off => {
            format!("route {} is off, as of revision {revision}: it takes no request", route.name)
        }
        Some(route) => {
            let to = route.services.first().map(|service| service.name.as_str()).unwrap_or_default();
            format!(
                "route {} is on, as of revision {revision}: what no other route takes goes to the service named by Host, \
                 else to {to}",
                route.name
            )
        }
        None if declared.is_empty() => "it is on, and comes with the first service".to_owned(),
        None => "it is on, and comes when no declared route is for every host and path".to_owned(),
    };
    match declared.as_str() {
        "" => stands,
        name => format!(
            "{stands}\nroute {name} is declared for every host and path, and takes all that is left now"
        ),
    }
}
