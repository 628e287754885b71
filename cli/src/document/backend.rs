//! A backend: an entry of a service's `backends`, an address or a mapping with one; or an entry of the section of that
//! name, which names the service and does not declare it.

use weir_proto::{Backend, v1};

use crate::{
    document::fields::{Context, Fields, Path},
    yaml::{Node, Value},
};

/// The place of the section's entries. The messages hold them after those of services.
pub(super) const ALONE: &str = "section_backends";

pub(super) fn backend(
    context: &mut Context<'_>,
    node: &Node,
    path: &Path,
    service: &str,
) -> Option<v1::Backend> {
    let before = context.problems();
    let backend = if let Value::Text(address) = &node.value {
        context.place(path, node.at);
        v1::Backend { service: service.to_owned(), address: address.clone(), ..Default::default() }
    } else {
        let mut fields = Fields::of(context, node, path)?;
        let backend = v1::Backend { service: service.to_owned(), ..mapping(&mut fields) };
        fields.finish();
        backend
    };
    context.check(before, path, node.at, Backend::try_from(backend.clone()));
    Some(backend)
}

/// The section of a document.
pub(super) fn section(document: &mut Fields<'_, '_>) -> Vec<v1::Backend> {
    let path = document.path.clone();
    let Some(node) = document.node("backends") else { return Vec::new() };
    match &node.value {
        Value::Null => Vec::new(),
        Value::List(items) => {
            let item = |(i, node)| {
                let path = Path { wire: path.key(ALONE).item(i).wire, ..path.key("backends").item(i) };
                alone(document.context, node, &path)
            };
            items.iter().enumerate().filter_map(item).collect()
        }
        Value::Text(_) | Value::Map(_) => {
            document.context.refuse(&path.key("backends"), node.at, "must be a list");
            Vec::new()
        }
    }
}

fn alone(context: &mut Context<'_>, node: &Node, path: &Path) -> Option<v1::Backend> {
    let before = context.problems();
    let mut fields = Fields::of(context, node, path)?;
    let service = fields.required_text("service");
    let backend = v1::Backend { service, ..mapping(&mut fields) };
    fields.finish();
    context.check(before, path, node.at, Backend::try_from(backend.clone()));
    Some(backend)
}

fn mapping(fields: &mut Fields<'_, '_>) -> v1::Backend {
    v1::Backend {
        id: fields.text("id"),
        address: fields.required_text("address"),
        weight: fields.number("weight"),
        zone: fields.text("zone"),
        metadata: fields.texts("metadata"),
        priority: fields.number("priority"),
        ..Default::default()
    }
}
