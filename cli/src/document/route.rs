//! An entry of the section `routes`.

use weir_proto::{Route, v1};

use crate::{
    document::{
        fields::{Context, Fields, Path},
        limits::rate_limit,
    },
    yaml::Node,
};

pub(super) fn route(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Route> {
    let before = context.problems();
    let mut fields = Fields::of(context, node, path)?;
    let mut route = v1::Route {
        name: fields.text("name"),
        r#match: fields.nested("match", matching),
        services: Vec::new(),
        rate_limits: fields.list("rate_limits", rate_limit),
        ..v1::Route::default()
    };
    let (one, many) = (fields.node("service").cloned(), fields.node("services").cloned());
    match (one, many) {
        (Some(_), None) => {
            // The messages know only the list.
            let (wire, user) = (path.key("services").item(0).key("name"), path.key("service"));
            fields.context.places.alias(&wire.wire, &user.wire);
            route.services = vec![v1::WeightedService { name: fields.text("service"), weight: None }];
        }
        (None, Some(_)) => route.services = fields.list("services", weighted),
        (one, _) => {
            let reason = if one.is_some() {
                "excludes `services`; leave one of them out"
            } else {
                "is missing; say `service: NAME` or `services: [...]`"
            };
            fields.context.refuse(&path.key("service"), node.at, reason);
        }
    }
    fields.finish();
    context.check(before, path, node.at, Route::try_from(route.clone()));
    Some(route)
}

fn matching(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::RouteMatch> {
    let mut fields = Fields::of(context, node, path)?;
    let host = fields.text("host");
    let prefix = fields.node("path_prefix").is_some().then(|| fields.text("path_prefix"));
    fields.finish();
    Some(v1::RouteMatch { host, path: prefix.map(v1::route_match::Path::PathPrefix) })
}

fn weighted(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::WeightedService> {
    let mut fields = Fields::of(context, node, path)?;
    let service = v1::WeightedService { name: fields.required_text("name"), weight: fields.number("weight") };
    fields.finish();
    Some(service)
}
