//! An entry of a service's `backends`: an address, or a mapping with one.

use weir_proto::{Backend, v1};

use crate::{
    document::fields::{Context, Fields, Path},
    yaml::{Node, Value},
};

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
        let backend = v1::Backend {
            service: service.to_owned(),
            id: fields.text("id"),
            address: fields.required_text("address"),
            weight: fields.number("weight"),
            zone: fields.text("zone"),
            metadata: fields.texts("metadata"),
            priority: fields.number("priority"),
            ..Default::default()
        };
        fields.finish();
        backend
    };
    context.check(before, path, node.at, Backend::try_from(backend.clone()));
    Some(backend)
}
